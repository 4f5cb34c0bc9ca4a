//! `seaworthy doctor`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{Answer, Failure};
use crate::doctor::{self, Host};
use crate::terminal;

/// Say whether this machine can certify in virtual machines, and what to install
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy doctor
  seaworthy doctor --format json

`seaworthy check` asks whether a system can carry a container engine; this asks whether this
machine can find that out for others.

Exit codes: 0 everything required is there; 1 something is missing.")]
pub(super) struct Args {
    /// Where runs will be written, for the space there
    #[arg(long, value_name = "DIR", default_value = "target/certify")]
    out: PathBuf,
    /// How to tell
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person
    Text,
    /// One JSON document, `seaworthy.doctor/1`
    Json,
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let diagnosis = doctor::examine(&Host::this(&args.out));
    let text = match args.format {
        Format::Text => doctor::render(&diagnosis, terminal::has_colour().into()),
        Format::Json => serde_json::to_string_pretty(&diagnosis)? + "\n",
    };
    terminal::answer(&text)?;
    Ok(diagnosis.ready.into())
}
