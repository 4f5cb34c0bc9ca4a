//! `seaworthy suite`.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use matrix::outcome::Outcome;

use super::engine_args::EngineArgs;
use super::{Answer, Failure, InputContext};
use crate::render::plural;
use crate::selftest::Fault;
use crate::suite::{self, Case, Event, Interrupt, Plan, Selection};
use crate::terminal;

/// List the conformance cases, or run them on this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy suite list --only security
  seaworthy suite run --engine keel --only 'limits.*'")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArgs),
    Run(RunArgs),
}

/// Show every case with the requirements that it proves
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy suite list
  seaworthy suite list --only security
  seaworthy suite list --format json | jq '.requirements[] | select(.level == \"should\")'")]
struct ListArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// How to show them: one a line, or one JSON document
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Run cases against an engine, here and now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy suite run --engine keel
  seaworthy suite run --engine podman --storage-driver vfs --only 'limits,security.cap*'
  seaworthy suite run --engine keel --seed 7 --format json

Exit codes: 0 every case was proved or skipped; 1 a case failed or was flaky; 2 wrong use;
3 the harness or the machine failed.")]
struct RunArgs {
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    /// How to tell what they come to: a line for a person, or one JSON document a line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// How many cases at a time [default: the number of processors]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Shuffle the cases by this number [default: run them as listed]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How often to run a failing case again; one that then passes is flaky
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// Build a known fault into the engine, to see that the suite catches it
    #[arg(long, value_name = "FAULT", hide = true, value_parser = Fault::named)]
    sabotage: Option<&'static Fault>,
    /// The system was found fit for the engine: where the engine says that it can't work here, that
    /// is its own failure, and every case shows it
    #[arg(long, hide = true)]
    system_is_fit: bool,
}

#[derive(Debug, clap::Args)]
struct SelectionArgs {
    /// Only these: ids, areas or requirements, globs allowed, separated by commas
    #[arg(long, value_name = "EXPR")]
    only: Vec<String>,
    /// All but these
    #[arg(long, value_name = "EXPR")]
    skip: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl SelectionArgs {
    fn cases(&self) -> Result<Vec<Case>, Failure> {
        // What an unset variable of a script leaves is no wish for all cases.
        if self.only.iter().any(|text| text.trim().is_empty()) {
            let error = anyhow::anyhow!("`--only` is empty: name cases, or leave it out for all");
            return Err(Failure::Input(error));
        }
        Selection::new(&self.only, &self.skip)
            .of(&suite::catalogue())
            .or_bad_input()
    }
}

pub(super) fn run(args: Args) -> Result<Answer, Failure> {
    match args.verb {
        Verb::List(args) => list(&args),
        Verb::Run(args) => run_cases(args),
    }
}

fn list(args: &ListArgs) -> Result<Answer, Failure> {
    let cases = args.selection.cases()?;
    let text = match args.format {
        Format::Text => cases.iter().fold(String::new(), |mut text, case| {
            let _ = writeln!(text, "{}\t{}", case.id, case.requirements.join(","));
            text
        }),
        Format::Json => serde_json::to_string(&suite::listing(&cases)?)? + "\n",
    };
    terminal::answer(&text)?;
    Ok(Answer::Yes)
}

fn run_cases(args: RunArgs) -> Result<Answer, Failure> {
    let cases = args.selection.cases()?;
    let interrupt = Interrupt::by_signals()?;
    let engine = args.engine.open()?;
    if !args.system_is_fit {
        engine.see_that_it_works()?;
    }
    let workshop = Arc::new(engine.workshop()?);
    let jobs = args
        .jobs
        .or_else(|| std::thread::available_parallelism().ok())
        .map_or(1, NonZeroUsize::get);
    let plan = Plan {
        cli: engine.cli.with_fault(args.sabotage),
        workshop: Arc::clone(&workshop),
        cases,
        jobs,
        seed: args.seed,
        retries: args.retries,
        interrupt: interrupt.clone(),
    };
    let counts = suite::run(plan, |event| {
        let line = match args.format {
            Format::Json => serde_json::to_string(event)? + "\n",
            Format::Text => shown(event),
        };
        terminal::answer(&line)
    })?;
    workshop.close(&engine.cli);
    engine.close();
    if interrupt.is_set() {
        return Err(Failure::Harness(anyhow::anyhow!(
            "the run was interrupted after {} cases",
            counts.total()
        )));
    }
    if counts.broken > 0 {
        return Err(Failure::Harness(anyhow::anyhow!(
            "{} cases are broken: the harness or this machine failed, and nothing is known of them",
            counts.broken
        )));
    }
    Ok(Answer::from(counts.fail == 0 && counts.flaky == 0))
}

/// An event as a person reads it.
fn shown(event: &Event) -> String {
    match event {
        Event::Start {
            engine,
            cases,
            seed,
        } => {
            let seed = seed.map_or_else(String::new, |seed| format!(", shuffled by --seed {seed}"));
            let digest: String = engine.sha256.chars().take(12).collect();
            format!(
                "{} {} ({digest}): {}{seed}\n",
                engine.name,
                engine.version,
                plural(*cases, "case")
            )
        }
        Event::Case(case) => {
            let line = format!("{:<6} {} ({} ms)\n", case.outcome, case.id, case.ms);
            match case.outcome {
                Outcome::Pass => line,
                Outcome::Skip | Outcome::Flaky | Outcome::Fail | Outcome::Broken => {
                    format!("{line}       {}\n", case.detail.replace('\n', "\n       "))
                }
            }
        }
        Event::End {
            counts,
            leftovers,
            interrupted: _,
        } => {
            let mut text: String = Outcome::ALL
                .iter()
                .filter(|&&outcome| counts.of(outcome) > 0)
                .map(|&outcome| format!("{} {outcome}", counts.of(outcome)))
                .collect::<Vec<_>>()
                .join(", ");
            text.push('\n');
            for name in leftovers {
                let _ = writeln!(text, "left behind by the engine, and removed: {name}");
            }
            text
        }
    }
}
