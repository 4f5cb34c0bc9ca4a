//! `seaworthy selftest`.

use clap::ValueEnum;

use super::engine_args::EngineArgs;
use super::{Answer, Failure};
use crate::certificate::evidence;
use crate::selftest::{self, Finding};
use crate::suite::Interrupt;
use crate::{render, terminal};

/// Prove that the suites can fail: build known faults into an engine, and see each one caught
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy selftest
  seaworthy selftest --format json >selftest.json      for `certify --selftest-report`
  seaworthy selftest --engine podman --storage-driver vfs --format json

Exit codes: 0 every fault was caught and the honest engine passed; 1 a fault was missed, or the
honest engine failed; 3 the harness or the machine failed, or nothing could be shown here.")]
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
    engine.see_that_it_works()?;
    let findings = selftest::run(&engine.cli, engine.workshop()?, &interrupt, |finding| {
        let line = shown(finding);
        match args.format {
            Format::Text => terminal::answer(&line),
            Format::Json => {
                terminal::message(line.trim_end());
                Ok(())
            }
        }
    });
    let identity = engine.cli.identity();
    engine.close();
    let findings = findings?;
    // Before the report: one that says less than it seems to may end up in a certificate.
    if interrupt.is_set() {
        return Err(Failure::Harness(anyhow::anyhow!(
            "the self-test was interrupted: there is no report"
        )));
    }
    let harness = evidence::digest(&std::env::current_exe()?)?;
    let report = selftest::report(&findings, identity?, harness.sha256);
    let text = match args.format {
        Format::Json => serde_json::to_string(&report)? + "\n",
        Format::Text => render::selftest(&report) + "\n",
    };
    terminal::answer(&text)?;
    Ok(Answer::from(selftest::answer(&findings, &report)?))
}

/// A finding as a person reads it.
fn shown(finding: &Finding) -> String {
    match finding {
        Finding::Caught { fault, case } => format!("caught  {fault} by {case}\n"),
        Finding::Missed { fault, case } => format!("MISSED  {fault}: {case} passed\n"),
        Finding::NotHere { fault, why } => format!("skip    {fault}: {why}\n"),
        Finding::Broken { fault, why } => format!("broken  {fault}: {why}\n"),
        Finding::Honest { failed, .. } if !failed.is_empty() => {
            format!("FAILED  the honest engine: {}\n", failed.join(", "))
        }
        Finding::Honest { broken, .. } if !broken.is_empty() => {
            format!("broken  the honest engine: {}\n", broken.join(", "))
        }
        Finding::Honest { passed, .. } => format!("good    the honest engine: {passed} passed\n"),
    }
}
