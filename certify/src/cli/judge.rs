//! `seaworthy judge`.

use std::path::PathBuf;

use clap::ValueEnum;
use jiff::civil::Date;

use super::{Answer, Failure};
use crate::judge::{self, Changed, JudgeError, Write};
use crate::run::folder::name;
use crate::terminal;

/// Judge a run again from its journal, and say whether its results change; those that differ are
/// stored, unless a certificate stands over the old ones
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy judge target/certify
  seaworthy judge target/certify --on 2027-07-01
  seaworthy judge target/certify --write

Exit codes: 0 certified; 1 not certified; 2 not a run folder; 3 nothing was tested.")]
pub(super) struct Args {
    /// The run folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Judge as of this day, when waivers may have run out; stores nothing [default: the day
    /// of the run]
    #[arg(long, value_name = "YYYY-MM-DD")]
    on: Option<Date>,
    /// Store results that differ even where the run has a certificate, which is no longer valid then
    #[arg(long, conflicts_with = "on")]
    write: bool,
    /// How to tell
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person
    Text,
    /// The results as one JSON document, `seaworthy.results/1`
    Json,
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let (results, note) = if let Some(day) = args.on {
        let results = judge::judge_as_of(&args.folder, Some(day)).map_err(failure)?;
        (results, format!("as of {day}; nothing was stored"))
    } else {
        let write = if args.write {
            Write::Always
        } else {
            Write::UnlessCertified
        };
        let rejudged = judge::rejudge(&args.folder, write).map_err(failure)?;
        let note = match rejudged.changed {
            Changed::No => format!("{} is unchanged", name::RESULTS),
            Changed::Yes if args.folder.join(name::CERTIFICATE).exists() => format!(
                "{} has changed: the certificate over the old one is no longer valid",
                name::RESULTS
            ),
            Changed::Yes => format!("{} has changed", name::RESULTS),
            Changed::Kept => format!(
                "{} says otherwise, and is left as it is: the certificate would no longer be valid (`--write` stores what was judged now)",
                name::RESULTS
            ),
        };
        (rejudged.results, note)
    };
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&results)? + "\n",
        Format::Text => {
            let mut lines = vec![results.verdict.to_string()];
            lines.extend(results.reasons.iter().map(|reason| format!("  {reason}")));
            lines.join("\n") + "\n"
        }
    };
    terminal::answer(&text)?;
    terminal::message(&note);
    super::certify::answer(results.verdict)
}

fn failure(error: JudgeError) -> Failure {
    match error {
        error @ JudgeError::Folder(_) => Failure::Input(error.into()),
        error @ JudgeError::Store { .. } => Failure::Harness(error.into()),
    }
}
