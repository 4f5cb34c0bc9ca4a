//! The command line: a verb a file, each declaring its arguments, calling the library and
//! rendering what comes back.

mod agent;
mod certify;
mod check;
mod completions;
mod doctor;
mod engine_args;
mod exit;
mod image;
mod judge;
mod man;
mod matrix;
mod plan;
mod report;
mod selftest;
mod suite;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use exit::{Answer, Failure, InputContext};

use crate::terminal;

/// Certifies container engines across Linux kernels and distributions.
#[derive(Debug, Parser)]
#[command(
    name = "seaworthy",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = "\
Examples:
  seaworthy doctor                                   what this host can do, and what it lacks
  seaworthy check                                    can this system carry a container engine?
  seaworthy certify --matrix quick --engine keel     boot real kernels, run the suites, sign
  seaworthy verify target/certify/certificate.dsse.json

Exit codes: 0 the answer is yes (supported, certified, valid); 1 the answer is no;
2 wrong use or bad input; 3 the harness or a machine failed, so there is no answer.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
enum Command {
    Certify(Box<certify::Args>),
    Check(check::Args),
    Plan(plan::Args),
    Judge(judge::Args),
    Verify(verify::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Image(image::Args),
    Man(man::Args),
    Report(report::Args),
    Selftest(selftest::Args),
    Suite(suite::Args),
    #[command(hide = true)]
    Agent(agent::Args),
}

/// The whole command line as data, for man pages and completions.
fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program with `args`, the first of which is its own name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(code) = agent::run_as_init(args.first().map(OsString::as_os_str)) {
        return code;
    }
    // Inside of a container this program answers to its applets' names.
    if let Some(status) = crate::guest_tool::dispatch(&args) {
        return ExitCode::from(status);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; clap itself chooses the stream.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    terminal::show_log();
    let result: Result<Answer, Failure> = match cli.command {
        Command::Certify(args) => certify::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Judge(args) => judge::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Selftest(args) => selftest::run(args),
        Command::Suite(args) => suite::run(args),
        Command::Agent(args) => agent::run(&args),
    };
    match result {
        Ok(answer) => answer.into(),
        Err(failure) => {
            terminal::message(&failure.to_string());
            failure.into()
        }
    }
}
