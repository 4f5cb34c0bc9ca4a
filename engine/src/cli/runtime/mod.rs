//! `keel runtime …`, or through a link named `keel-runtime`: the command line of an OCI runtime,
//! with runc's verbs and flags.

mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod log;
mod making;
mod pause;
mod ps;
mod resume;
mod run;
mod spec;
mod start;
mod state;
mod update;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Parser, Subcommand, ValueEnum};

use super::{FAILED, Failure, OK, Outcome, terminal};
use crate::oci::Runtime;
use crate::rootless::default_runtime_root;
use log::{Format, Level, Log};

/// The name that stands for `keel runtime`.
const NAME: &str = "keel-runtime";

/// Run OCI bundles, with the command line of runc
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
#[command(after_help = "\
Examples:
  keel runtime --help
  keel runtime run --bundle /bundles/web web
  ln -s keel /usr/local/bin/keel-runtime     for tools that want a program of its own")]
pub(super) struct Rest {
    /// What the runtime is told
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Makes, starts and ends containers as the OCI runtime specification has it.
#[derive(Debug, Parser)]
#[command(name = NAME, version, max_term_width = 100)]
#[command(after_help = "\
Examples:
  keel-runtime spec --bundle web                  a configuration to begin with
  keel-runtime run --bundle web web               make, start, wait, delete
  keel-runtime create --bundle web web            make
  keel-runtime start web                          … start
  keel-runtime kill web TERM
  keel-runtime delete web

Exit codes: `run` and `exec` give the process's own; 1 the runtime failed.")]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb may be told, before its name.
#[derive(Debug, clap::Args)]
struct Globals {
    /// Folder that holds the state of containers
    #[arg(long, value_name = "DIR", default_value_os_t = default_runtime_root())]
    root: PathBuf,
    /// File that errors are written to as well
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Form of its lines
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: Format,
    /// Write there what is being done, too
    #[arg(long)]
    debug: bool,
    /// Not supported: groups are made without systemd
    #[arg(long)]
    systemd_cgroup: bool,
    /// Whether to work for a user who is not root; root needs nothing of it
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    rootless: Rootless,
}

/// Whether a user who is not root may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rootless {
    /// As this user needs it.
    Auto,
    /// Yes.
    True,
    /// No.
    False,
}

/// The verbs.
#[derive(Debug, Subcommand)]
enum Verb {
    Create(create::Args),
    Start(start::Args),
    State(state::Args),
    Kill(kill::Args),
    Delete(delete::Args),
    Run(run::Args),
    Exec(Box<exec::Args>),
    List(list::Args),
    Ps(ps::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Update(Box<update::Args>),
    Events(events::Args),
    Features(features::Args),
    Spec(spec::Args),
}

/// A table, or JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// For people.
    Table,
    /// For programs.
    Json,
}

impl Verb {
    fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Start(_) => "start",
            Self::State(_) => "state",
            Self::Kill(_) => "kill",
            Self::Delete(_) => "delete",
            Self::Run(_) => "run",
            Self::Exec(_) => "exec",
            Self::List(_) => "list",
            Self::Ps(_) => "ps",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Update(_) => "update",
            Self::Events(_) => "events",
            Self::Features(_) => "features",
            Self::Spec(_) => "spec",
        }
    }
}

/// Whether the runtime is called, by the name of the link or by the first word. Looked for before
/// Keel's own options, some of which have the same names.
pub(super) fn called(args: &[OsString]) -> Option<Rest> {
    let [program, rest @ ..] = args else {
        return None;
    };
    let rest = if Path::new(program).file_name() == Some(NAME.as_ref()) {
        rest
    } else {
        let (verb, rest) = rest.split_first()?;
        (verb == "runtime").then_some(rest)?
    };
    Some(Rest {
        args: rest.to_vec(),
    })
}

/// Runs the runtime.
pub(super) fn main(rest: Rest) -> ExitCode {
    let args = std::iter::once(NAME.into()).chain(rest.args);
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; clap itself chooses the stream.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { FAILED } else { OK });
        }
    };
    let globals = &cli.globals;
    let log = Log::new(globals.log.as_deref(), globals.log_format);
    if globals.debug {
        log.write(Level::Debug, cli.verb.name());
    }
    let outcome = globals.refuse().and_then(|()| run(cli.verb, globals, &log));
    outcome.unwrap_or_else(|failure| {
        // The last line of the log is the error, for those who read it there.
        log.write(Level::Error, &failure.in_one_line());
        terminal::message(&failure.to_string());
        failure.into()
    })
}

fn run(verb: Verb, globals: &Globals, log: &Log) -> Outcome {
    let runtime = Runtime::new(&globals.root);
    match verb {
        Verb::Create(args) => create::run(&args, &runtime),
        Verb::Start(args) => start::run(&args, &runtime),
        Verb::State(args) => state::run(&args, &runtime),
        Verb::Kill(args) => kill::run(&args, &runtime),
        Verb::Delete(args) => delete::run(&args, &runtime, log),
        Verb::Run(args) => run::run(&args, &runtime, log),
        Verb::Exec(args) => exec::run(&args, &runtime),
        Verb::List(args) => list::run(&args, &runtime),
        Verb::Ps(args) => ps::run(&args, &runtime),
        Verb::Pause(args) => pause::run(&args, &runtime),
        Verb::Resume(args) => resume::run(&args, &runtime),
        Verb::Update(args) => update::run(&args, &runtime),
        Verb::Events(args) => events::run(&args, &runtime),
        Verb::Features(features::Args {}) => features::run(),
        Verb::Spec(args) => spec::run(&args),
    }
}

impl Globals {
    fn refuse(&self) -> Result<(), Failure> {
        if self.systemd_cgroup {
            return Err(anyhow!(
                "--systemd-cgroup is not supported: this runtime makes control groups itself; \
                 leave it out, and give linux.cgroupsPath as a path (cgroupfs)"
            )
            .into());
        }
        if self.rootless == Rootless::False && !nix::unistd::geteuid().is_root() {
            return Err(anyhow!(
                "--rootless false is for root alone: leave it out, or run as root"
            )
            .into());
        }
        Ok(())
    }
}
