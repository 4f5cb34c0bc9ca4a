//! `seaworthy image list`.

use std::fmt::Write;

use serde::Serialize;
use vm_images::store::{Cached, Listed};

use super::{Answer, Failure, StoreArgs, megabytes};
use crate::terminal;

/// List the kernels of the catalogue, and which of them are on this machine
///
/// Asks no network: releases and sizes are those of the index that was fetched last.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  seaworthy image list\n  seaworthy image list --format json | jq -r '.kernels[].id'"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table
    Text,
    /// One JSON document (`seaworthy.images/1`)
    Json,
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let listed = args.store.open()?.list()?;
    let text = match args.format {
        Format::Text => table(&listed),
        Format::Json => json(&listed)?,
    };
    terminal::answer(&text)?;
    Ok(Answer::Yes)
}

/// The columns' heads.
const HEAD: [&str; 5] = ["ID", "RELEASE", "SIZE", "CACHED", "SOURCE"];

fn table(listed: &[Listed]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    for kernel in listed {
        rows.push([
            kernel.settled.as_ref().unwrap_or(&kernel.id).to_string(),
            kernel.release.clone().unwrap_or_else(|| "-".to_owned()),
            kernel.size.map_or_else(|| "-".to_owned(), megabytes),
            match &kernel.cached {
                Cached::No => "no".to_owned(),
                Cached::Yes => "yes".to_owned(),
                Cached::Older(release) => format!("older: {release}"),
            },
            format!("{} {}", kernel.suite, kernel.flavour),
        ]);
    }
    let widths: [usize; 5] = std::array::from_fn(|column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(String::len).max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _infallible = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    kernels: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    /// The name with its series settled, if an index has told it; what stands in cell ids.
    id: String,
    /// The name in the catalogue.
    entry: String,
    release: Option<&'a str>,
    /// Bytes to fetch.
    size: Option<u64>,
    /// `no`, `yes`, `older`.
    cached: &'static str,
    /// The release of the older build.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_release: Option<&'a str>,
    source: Source<'a>,
}

#[derive(Serialize)]
struct Source<'a> {
    suite: &'a str,
    flavour: &'a str,
}

fn json(listed: &[Listed]) -> serde_json::Result<String> {
    let document = Document {
        schema: "seaworthy.images/1",
        kernels: listed.iter().map(Row::from).collect(),
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

impl<'a> From<&'a Listed> for Row<'a> {
    fn from(kernel: &'a Listed) -> Self {
        let (cached, cached_release) = match &kernel.cached {
            Cached::No => ("no", None),
            Cached::Yes => ("yes", None),
            Cached::Older(release) => ("older", Some(release.as_str())),
        };
        Self {
            id: kernel.settled.as_ref().unwrap_or(&kernel.id).to_string(),
            entry: kernel.id.to_string(),
            release: kernel.release.as_deref(),
            size: kernel.size,
            cached,
            cached_release,
            source: Source {
                suite: &kernel.suite,
                flavour: &kernel.flavour,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Vec<Listed> {
        let kernel = |id: &str, settled: Option<&str>, release: Option<&str>, cached| Listed {
            id: id.parse().unwrap(),
            settled: settled.map(|id| id.parse().unwrap()),
            release: release.map(str::to_owned),
            size: release.map(|_| 26_484_304),
            cached,
            suite: "bookworm".to_owned(),
            flavour: "cloud-amd64".to_owned(),
        };
        vec![
            kernel(
                "debian-12/6.1/amd64",
                Some("debian-12/6.1/amd64"),
                Some("6.1.0-50-cloud-amd64"),
                Cached::Yes,
            ),
            kernel(
                "debian-13/newest/amd64",
                Some("debian-13/7.3/amd64"),
                Some("7.3.4+deb13-cloud-amd64"),
                Cached::Older("7.2.9+deb13-cloud-amd64".to_owned()),
            ),
            kernel("debian-sid/newest/amd64", None, None, Cached::No),
        ]
    }

    #[test]
    fn the_table_settles_names_and_tells_older_builds() {
        insta::assert_snapshot!(table(&listed()));
    }

    #[test]
    fn the_document_tells_the_same() {
        insta::assert_snapshot!(json(&listed()).unwrap());
    }
}
