//! The command line: a verb a file, each declaring its arguments, calling the library and
//! rendering what comes back.

mod exit;
pub mod terminal;
mod version;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::{ENGINE, FAILED, Failure, NOT_EXECUTABLE, NOT_FOUND, OK, Outcome, WithCode};

/// Runs containers, without a daemon.
#[derive(Debug, Parser)]
#[command(name = "keel", version, max_term_width = 100)]
#[command(after_help = "\
Examples:
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
        default_value = "/var/lib/keel"
    )]
    #[arg(help_heading = "Global options")]
    pub root: PathBuf,
    /// Storage driver: overlay, btrfs or vfs [default: the best that works here]
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
    Version(version::Args),
}

/// Runs the program with `args`, the first of which is its own name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; clap itself chooses the stream.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { ENGINE } else { OK });
        }
    };
    let outcome: Outcome = match cli.verb {
        Verb::Version(args) => version::run(&args),
    };
    outcome.unwrap_or_else(|failure| {
        terminal::message(&failure.to_string());
        failure.into()
    })
}
