//! `seaworthy selftest`.

use clap::ValueEnum;

use super::engine_args::EngineArgs;
use super::{Answer, Failure};
use crate::selftest::{self, Finding};
use crate::suite::Interrupt;
use crate::terminal;

/// Prove that the suites can fail: build known faults into an engine, and see each one caught
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy selftest
  seaworthy selftest --engine podman --storage-driver vfs --format json

Exit codes: 0 every fault was caught and the honest engine passed; 1 a fault was missed, or the
honest engine failed; 3 the harness or the machine failed.")]
pub(super) struct Args {
    #[command(flatten)]
    engine: EngineArgs,
    /// How to tell what came of it: lines for a person, or one JSON document
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(args: Args) -> Result<Answer, Failure> {
    let interrupt = Interrupt::by_signals()?;
    let engine = args.engine.open()?;
    let findings = selftest::run(&engine.cli, &interrupt, |finding| {
        let line = shown(finding);
        match args.format {
            Format::Text => terminal::answer(&line),
            Format::Json => {
                terminal::message(line.trim_end());
                Ok(())
            }
        }
    });
    engine.close();
    let report = selftest::report(&findings?);
    let text = match args.format {
        Format::Json => serde_json::to_string(&report)? + "\n",
        Format::Text => format!(
            "{} of {} known faults were caught; {} of {} honest engines failed\n",
            report.caught, report.known_bad, report.good_failed, report.good
        ),
    };
    terminal::answer(&text)?;
    if interrupt.is_set() {
        return Err(Failure::Harness(anyhow::anyhow!(
            "the self-test was interrupted"
        )));
    }
    Ok(Answer::from(
        report.missed.is_empty() && report.good_failed == 0,
    ))
}

/// A finding as a person reads it.
fn shown(finding: &Finding) -> String {
    match finding {
        Finding::Caught { fault, case } => format!("caught  {fault} by {case}\n"),
        Finding::Missed { fault, case } => format!("MISSED  {fault}: {case} passed\n"),
        Finding::NotHere { fault, why } => format!("skip    {fault}: {why}\n"),
        Finding::Honest { failed } if failed.is_empty() => {
            "good    the honest engine passed\n".to_owned()
        }
        Finding::Honest { failed } => format!("FAILED  the honest engine: {}\n", failed.join(", ")),
    }
}
