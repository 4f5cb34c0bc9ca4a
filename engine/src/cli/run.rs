//! `keel run`.

use std::process::ExitCode;

use super::attach::{Detaching, Keys, Proxy, exit_code};
use super::recipe::{Detached, Prepared, Recipe};
use super::{Failure, Globals, Outcome, terminal};
use crate::container::{self, Interaction, TakeInput};
use crate::runtime::cgroup::begin_grace_period;

/// Run a command in a new container
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel run --rm small /bin/echo hello
  keel run -it --rm small sh
  keel run -d --name web --memory 64m --pids-limit 50 small httpd -f
  keel run -it --detach-keys ctrl-a,d small sh
  keel run --rm -v /srv/data:/data:ro --read-only --tmpfs /tmp small ls /data

Exit codes: the command's own; 125 the engine failed; 126 the command is not executable;
127 there is no such command; 128+n it was killed by signal n.")]
pub(super) struct Args {
    /// Leave it running, and print its id
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    proxy: Proxy,
    #[command(flatten)]
    recipe: Recipe,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> Outcome {
    begin_grace_period();
    let detached = if args.detach {
        Detached::Yes
    } else {
        Detached::No
    };
    let Prepared {
        store,
        hold,
        request,
    } = args.recipe.prepare(globals, detached)?;
    let (root, storage) = (globals.root.as_path(), store.storage());
    let made = move || drop(hold);
    match detached {
        Detached::Yes | Detached::NotYet => {
            let id = container::run_detached(root, storage, request, made).map_err(failure)?;
            terminal::answer(&format!("{id}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Detached::No => {
            if request.wishes.tty && request.wishes.open_stdin {
                terminal::for_typing()?;
            }
            let interaction = Interaction {
                keys: args.keys.keys,
                input: TakeInput::Yes,
                signals: args.proxy.signals(),
            };
            let left = container::run(root, storage, request, made, interaction);
            Ok(exit_code(left.map_err(failure)?, Detaching::IsFine))
        }
    }
}

/// A failure with the exit code that Docker gives it.
pub(super) fn failure(error: container::Error) -> Failure {
    let code = error.exit_code();
    Failure::new(code, error)
}
