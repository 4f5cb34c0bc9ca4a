//! The command line: a verb a file, each declaring its arguments, calling the library and
//! rendering what comes back.

mod attach;
mod build;
mod commit;
mod container;
mod cp;
mod create;
mod diff;
mod each;
mod events;
mod exec;
mod exit;
mod export;
pub(crate) mod fuzz;
mod history;
mod image;
mod images;
mod import;
mod info;
mod inspect;
mod kill;
mod load;
mod login;
mod logout;
mod logs;
mod pause;
mod port;
mod pruning;
mod ps;
mod pull;
mod push;
mod recipe;
mod registry;
mod rename;
mod restart;
mod rm;
mod rmi;
mod run;
mod runtime;
mod save;
mod search;
mod start;
mod stats;
mod stop;
mod system;
mod table;
mod tag;
mod template;
pub mod terminal;
mod top;
mod transfer;
mod unpause;
mod update;
mod version;
mod volume;
mod wait;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::container::{Containers, Error as ContainerError, health, monitor};
use crate::rootless;
use crate::storage::{DriverName, StorageError};
use crate::sys::pretend;

pub use exit::{ENGINE, FAILED, Failure, NOT_EXECUTABLE, NOT_FOUND, OK, Outcome, WithCode};

/// Runs containers, without a daemon.
#[derive(Debug, Parser)]
#[command(name = "keel", version, max_term_width = 100)]
#[command(after_help = "\
Examples:
  keel pull busybox                       get an image
  keel import rootfs.tar small            make an image of a root file system
  keel run --rm small /bin/echo hello     run a command in a new container
  keel run -d --name web small httpd -f   leave one running
  keel logs -f web                        see what it says

Exit codes of `run` and `exec`: the command's own; 125 the engine failed; 126 the command is not
executable; 127 there is no such command; 128+n it was killed by signal n.")]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb may be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Globals {
    /// Folder that holds images, layers and containers
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value_os_t = rootless::default_root()
    )]
    #[arg(help_heading = "Global options")]
    pub root: PathBuf,
    /// Storage driver: overlay, btrfs, aufs or vfs [default: the best that works here]
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub storage_driver: Option<String>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
enum Verb {
    Load(load::Args),
    Save(save::Args),
    Pull(pull::Args),
    Push(push::Args),
    Login(login::Args),
    Logout(logout::Args),
    Search(search::Args),
    Import(import::Args),
    Images(images::Args),
    Rmi(rmi::Args),
    Tag(tag::Args),
    History(history::Args),
    #[command(subcommand)]
    Image(image::Verb),
    Run(Box<run::Args>),
    Create(Box<create::Args>),
    Start(start::Args),
    Attach(attach::Args),
    Exec(exec::Args),
    Ps(ps::Args),
    Logs(logs::Args),
    Events(events::Args),
    Inspect(inspect::Args),
    Diff(diff::Args),
    Cp(cp::Args),
    Export(export::Args),
    Commit(commit::Args),
    Build(build::Args),
    Kill(kill::Args),
    Stop(stop::Args),
    Restart(restart::Args),
    Pause(pause::Args),
    Unpause(unpause::Args),
    Wait(wait::Args),
    Top(top::Args),
    Stats(stats::Args),
    Port(port::Args),
    Update(update::Args),
    Rename(rename::Args),
    Rm(rm::Args),
    #[command(subcommand)]
    Container(container::Verb),
    #[command(subcommand)]
    Volume(volume::Verb),
    #[command(subcommand)]
    System(system::Verb),
    Runtime(runtime::Rest),
    Info(info::Args),
    Version(version::Args),
}

/// How a verb gets on with a user who is not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// It needs no rights at all.
    Nothing,
    /// It reads what the user's own files say, and does so too where no container can run.
    Reading,
    /// It tells what is possible here, and so what is not.
    Telling,
    /// It handles files and processes that belong to the root of a user namespace.
    Namespace,
}

impl Verb {
    fn needs(&self) -> Needs {
        match self {
            // The runtime sees to it by itself.
            Self::Version(_)
            | Self::Runtime(_)
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Search(_) => Needs::Nothing,
            Self::Images(_)
            | Self::History(_)
            | Self::Ps(_)
            | Self::Logs(_)
            | Self::Events(_)
            | Self::Inspect(_)
            | Self::Port(_)
            | Self::Wait(_) => Needs::Reading,
            Self::Info(_) => Needs::Telling,
            Self::Load(_)
            | Self::Save(_)
            | Self::Pull(_)
            | Self::Push(_)
            | Self::Import(_)
            | Self::Rmi(_)
            | Self::Tag(_)
            | Self::Image(_)
            | Self::Run(_)
            | Self::Create(_)
            | Self::Start(_)
            | Self::Attach(_)
            | Self::Exec(_)
            | Self::Diff(_)
            | Self::Cp(_)
            | Self::Export(_)
            | Self::Commit(_)
            | Self::Build(_)
            | Self::Kill(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::Pause(_)
            | Self::Unpause(_)
            | Self::Top(_)
            | Self::Stats(_)
            | Self::Update(_)
            | Self::Rename(_)
            | Self::Rm(_)
            | Self::Container(_)
            | Self::Volume(_)
            | Self::System(_) => Needs::Namespace,
        }
    }
}

impl Globals {
    /// Becomes root in a namespace, if this user is not root already.
    fn enter(&self, needs: Needs) -> Result<(), Failure> {
        if needs == Needs::Nothing {
            return Ok(());
        }
        let containers = Containers::new(&self.root);
        let entered = rootless::enter(&self.root, || containers.first_processes());
        match (needs, entered.or_code(ENGINE)) {
            (Needs::Nothing | Needs::Reading, _) => Ok(()),
            (Needs::Telling, entered) => {
                if let Err(failure) = entered {
                    terminal::message(&failure.to_string());
                }
                Ok(())
            }
            (Needs::Namespace, entered) => entered,
        }
    }

    /// The storage driver that was asked for.
    fn driver(&self) -> Result<Option<DriverName>, StorageError> {
        self.storage_driver.as_deref().map(str::parse).transpose()
    }
}

/// The forms of the monitor (see [`monitor`]) are called by keel itself, never by users; they are
/// looked for before anything else, so that one that waits has touched as little as possible.
fn as_monitor(args: &[OsString]) -> Option<Result<u8, ContainerError>> {
    let [_, verb, root, folder, rest @ ..] = args else {
        return None;
    };
    let (root, folder) = (Path::new(root), PathBuf::from(folder));
    match (verb.to_str()?, rest) {
        (monitor::START, args) => Some(monitor::start_container(root, folder, args).map(|()| OK)),
        (health::PROBE, []) => Some(health::probe(root, folder)),
        (monitor::WAIT, orders) => {
            Some(monitor::wait_for_container(root, folder, orders).map(|()| OK))
        }
        _ => None,
    }
}

/// Makes the kernel look like the old one that the environment names. The program is executed
/// anew, as its C library asks once what the kernel can, and stays with the answer.
fn pretend_as_asked(args: &[OsString]) -> anyhow::Result<()> {
    let Some(version) = std::env::var_os(pretend::VARIABLE) else {
        return Ok(());
    };
    let oldest = pretend::OLDEST;
    anyhow::ensure!(
        version == oldest,
        "`{}` can be `{oldest}` only: unset it to use the kernel as it is",
        pretend::VARIABLE
    );
    if pretend::is_old() {
        return Ok(());
    }
    let failed = || format!("cannot pretend to be on Linux {oldest}");
    pretend::oldest_kernel().with_context(failed)?;
    let mut anew = Command::new("/proc/self/exe");
    if let [name, rest @ ..] = args {
        anew.arg0(name).args(rest);
    }
    // `exec` returns only when it failed.
    Err(anew.exec()).with_context(failed)
}

/// Runs the program with `args`, the first of which is its own name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Err(error) = pretend_as_asked(&args) {
        terminal::message(&format!("{error:#}"));
        return ExitCode::from(ENGINE);
    }
    if let Some(result) = as_monitor(&args) {
        // Its streams are the container's: there is nobody to tell.
        return ExitCode::from(result.unwrap_or(FAILED));
    }
    if let Some(rest) = runtime::called(&args) {
        return runtime::main(rest);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; clap itself chooses the stream.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { ENGINE } else { OK });
        }
    };
    let globals = &cli.globals;
    // Before we are root, in a namespace.
    let is_root = nix::unistd::geteuid().is_root();
    let own_root = rootless::default_root();
    let outcome = globals
        .enter(cli.verb.needs())
        .and_then(|()| run(cli.verb, globals));
    outcome.unwrap_or_else(|failure| {
        terminal::message(&failure.to_string());
        if failure.is_for_lack_of_permission() && !is_root && globals.root != own_root {
            terminal::message(
                "keel: without --root a user who is not root has a folder of their own",
            );
        }
        failure.into()
    })
}

fn run(verb: Verb, globals: &Globals) -> Outcome {
    match verb {
        Verb::Load(args) => load::run(args, globals),
        Verb::Save(args) => save::run(&args, globals),
        Verb::Pull(args) => pull::run(&args, globals),
        Verb::Push(args) => push::run(&args, globals),
        Verb::Login(args) => login::run(args, globals),
        Verb::Logout(args) => logout::run(args, globals),
        Verb::Search(args) => search::run(&args, globals),
        Verb::Import(args) => import::run(args, globals),
        Verb::Images(args) => images::run(&args, globals),
        Verb::Rmi(args) => rmi::run(&args, globals),
        Verb::Tag(args) => tag::run(&args, globals),
        Verb::History(args) => history::run(&args, globals),
        Verb::Image(verb) => image::run(verb, globals),
        Verb::Run(args) => run::run(*args, globals),
        Verb::Create(args) => create::run(*args, globals),
        Verb::Start(args) => start::run(args, globals),
        Verb::Attach(args) => attach::run(args, globals),
        Verb::Exec(args) => exec::run(args, globals),
        Verb::Ps(args) => ps::run(&args, globals),
        Verb::Logs(args) => logs::run(&args, globals),
        Verb::Events(args) => events::run(&args, globals),
        Verb::Inspect(args) => inspect::run(&args, globals),
        Verb::Diff(args) => diff::run(&args, globals),
        Verb::Cp(args) => cp::run(&args, globals),
        Verb::Export(args) => export::run(&args, globals),
        Verb::Commit(args) => commit::run(args, globals),
        Verb::Build(args) => build::run(args, globals),
        Verb::Kill(args) => kill::run(&args, globals),
        Verb::Stop(args) => stop::run(&args, globals),
        Verb::Restart(args) => restart::run(&args, globals),
        Verb::Pause(args) => pause::run(&args, globals),
        Verb::Unpause(args) => unpause::run(&args, globals),
        Verb::Wait(args) => wait::run(&args, globals),
        Verb::Top(args) => top::run(&args, globals),
        Verb::Stats(args) => stats::run(&args, globals),
        Verb::Port(args) => port::run(&args, globals),
        Verb::Update(args) => update::run(&args, globals),
        Verb::Rename(args) => rename::run(&args, globals),
        Verb::Rm(args) => rm::run(&args, globals),
        Verb::Container(verb) => container::run(&verb, globals),
        Verb::Volume(verb) => volume::run(&verb, globals),
        Verb::System(verb) => system::run(&verb, globals),
        Verb::Runtime(rest) => Ok(runtime::main(rest)),
        Verb::Info(args) => info::run(&args, globals),
        Verb::Version(args) => version::run(&args),
    }
}
