//! `keel volume ls`.

use std::process::ExitCode;
use std::str::FromStr;

use serde_json::{Value, json};

use super::super::template::Template;
use super::super::{Failure, Globals, Outcome, table, terminal};
use crate::container::Containers;
use crate::volume::{Volume, Volumes};

/// List volumes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel volume ls
  keel volume ls -q --filter dangling=true
  keel volume ls --format '{{.Name}} {{.Mountpoint}}'")]
pub(in crate::cli) struct Args {
    /// Only names
    #[arg(short, long)]
    quiet: bool,
    /// Only those of which this holds: `name=PART`, `label=NAME[=VALUE]`, `dangling=true|false`
    /// (no container uses it), `driver=local`
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// `table`, `json` (one object a line), or a template such as `{{.Name}}`
    #[arg(long)]
    format: Option<String>,
}

/// One `--filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Name(String),
    Label(String, Option<String>),
    Dangling(bool),
    Driver(String),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("`{text}` is none of `name=`, `label=`, `dangling=true|false` and `driver=`")
        };
        let (key, value) = text.split_once('=').ok_or_else(bad)?;
        Ok(match (key, value) {
            ("name", _) => Self::Name(value.to_owned()),
            ("driver", _) => Self::Driver(value.to_owned()),
            ("label", _) => match value.split_once('=') {
                Some((name, value)) => Self::Label(name.to_owned(), Some(value.to_owned())),
                None => Self::Label(value.to_owned(), None),
            },
            ("dangling", "true" | "1") => Self::Dangling(true),
            ("dangling", "false" | "0") => Self::Dangling(false),
            _ => return Err(bad()),
        })
    }
}

impl Filter {
    fn takes(&self, volume: &Volume, containers: &Containers) -> Result<bool, Failure> {
        Ok(match self {
            Self::Name(part) => volume.name.as_str().contains(part.as_str()),
            Self::Driver(driver) => driver == "local",
            Self::Label(name, wanted) => volume
                .record
                .labels
                .get(name)
                .is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value)),
            Self::Dangling(wanted) => {
                containers.users_of_volume(&volume.name)?.is_empty() == *wanted
            }
        })
    }
}

/// Lists them by name.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let containers = Containers::new(&globals.root);
    let mut rows = Vec::new();
    'volumes: for volume in Volumes::new(&globals.root).list()? {
        for filter in &args.filter {
            if !filter.takes(&volume, &containers)? {
                continue 'volumes;
            }
        }
        rows.push(row(&volume));
    }
    let text = match args.format.as_deref() {
        _ if args.quiet => "{{.Name}}".parse::<Template>()?.render_lines(&rows)?,
        None | Some("table") => {
            table::render(&[("DRIVER", "Driver"), ("VOLUME NAME", "Name")], &rows)
        }
        Some(template) => template.parse::<Template>()?.render_lines(&rows)?,
    };
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A row under Docker's names.
fn row(volume: &Volume) -> Value {
    let labels = volume.record.labels.iter();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    json!({
        "Driver": "local",
        "Name": volume.name,
        "Labels": labels.join(","),
        "Mountpoint": volume.data,
        "Scope": "local",
        "CreatedAt": volume.record.created,
    })
}
