//! `keel exec`.

use std::process::ExitCode;

use super::attach::{Detaching, Keys, exit_code};
use super::{Globals, Outcome, terminal};
use crate::container::options::EnvVar;
use crate::container::{Containers, ExecRequest};

/// Run a command in a running container
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel exec web ps
  keel exec -it web sh
  keel exec -d -u nobody -e LEVEL=3 web /bin/worker

Exit codes are those of `keel run`.")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct Args {
    /// Do not wait for it, and do not show what it says
    #[arg(short, long)]
    detach: bool,
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// With a terminal
    #[arg(short, long)]
    tty: bool,
    /// A variable; without a value, that of the caller
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<EnvVar>,
    /// The user, by number or by the container's own names
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// The folder to start in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// All capabilities and no filter
    #[arg(long)]
    privileged: bool,
    #[command(flatten)]
    keys: Keys,
    /// Name or id
    container: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> Outcome {
    let container = Containers::new(&globals.root).find(&args.container)?;
    let request = ExecRequest {
        args: args.command,
        env: args.env,
        working_dir: args.workdir,
        user: args.user,
        tty: args.tty,
        open_stdin: args.interactive,
        privileged: args.privileged,
    };
    if args.detach {
        container.exec_detached(request).map_err(failure)?;
        return Ok(ExitCode::SUCCESS);
    }
    if request.tty && request.open_stdin {
        terminal::for_typing()?;
    }
    let left = container.exec(request, args.keys.keys).map_err(failure)?;
    Ok(exit_code(left, Detaching::IsTold))
}

/// A container that does not run, or is paused, is an ordinary failure, as Docker has it; what goes wrong behind
/// that has the exit codes of `run`.
fn failure(error: crate::container::Error) -> super::Failure {
    use crate::container::Error::{NotRunning, Paused};
    if matches!(error, NotRunning(_) | Paused(_)) {
        error.into()
    } else {
        super::run::failure(error)
    }
}
