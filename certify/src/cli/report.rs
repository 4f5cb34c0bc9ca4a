//! `seaworthy report`.

use std::path::PathBuf;

use anyhow::Context;

use super::{Answer, Failure, InputContext};
use crate::render::{self, FORMATS, Report};
use crate::run::folder::{RunFolder, name};
use crate::terminal;

/// Render a run folder again, as a web page and for programs
///
/// Rendering reads the run folder alone, so it can be repeated anywhere and at any time.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy report target/certify                      write every format into its report/
  seaworthy report target/certify --format markdown    print one to stdout
  seaworthy report target/certify --out public         write them elsewhere")]
pub(super) struct Args {
    /// The run folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print this format instead of writing files: html, markdown, junit, tap, json or text
    #[arg(long, value_name = "FORMAT", value_parser = format_names())]
    format: Option<String>,
    /// Where the files go [default: `report` in the run folder]
    #[arg(long, value_name = "DIR", conflicts_with = "format")]
    out: Option<PathBuf>,
}

fn format_names() -> Vec<&'static str> {
    FORMATS
        .iter()
        .map(|format| format.name)
        .chain(["text"])
        .collect()
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let folder = RunFolder::open(&args.folder).or_bad_input()?;
    let report = Report::from(&folder);
    if let Some(wanted) = &args.format {
        let text = match FORMATS.iter().find(|format| format.name == wanted) {
            Some(format) => (format.render)(&report),
            None => render::summary(&report, terminal::has_colour().into()),
        };
        terminal::answer(&text)?;
    } else {
        let dir = args
            .out
            .clone()
            .unwrap_or_else(|| folder.path.join(name::REPORT));
        render::write_all(&report, &dir)
            .with_context(|| format!("the report can't be written into {}", dir.display()))?;
        terminal::message(&format!("report: {}", dir.join("index.html").display()));
    }
    Ok(Answer::Yes)
}
