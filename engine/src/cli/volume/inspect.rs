//! `keel volume inspect`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::super::template::Template;
use super::super::{FAILED, Failure, Globals, Outcome, terminal};
use crate::volume::{Volume, VolumeName, Volumes};

/// Show all about volumes, as JSON
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel volume inspect data
  keel volume inspect -f '{{.Mountpoint}}' data")]
pub(in crate::cli) struct Args {
    /// A template such as `{{.Mountpoint}}`, or `json` for one line a volume
    #[arg(short, long)]
    format: Option<Template>,
    /// Names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<VolumeName>,
}

/// Shows it. What is not there is told, and the others are shown all the same.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let volumes = Volumes::new(&globals.root);
    let mut code = ExitCode::SUCCESS;
    let mut found = Vec::new();
    for name in &args.names {
        match volumes.get(name) {
            Ok(volume) => found.push(document(&volume)),
            Err(error) => {
                terminal::message(&Failure::from(error).to_string());
                code = ExitCode::from(FAILED);
            }
        }
    }
    let text = match &args.format {
        Some(template) => template.render_lines(&found)?,
        None => format!("{:#}\n", Value::from(found)),
    };
    terminal::answer(&text)?;
    Ok(code)
}

/// Docker's document.
fn document(volume: &Volume) -> Value {
    let labels = Some(&volume.record.labels).filter(|labels| !labels.is_empty());
    json!({
        "CreatedAt": volume.record.created,
        "Driver": "local",
        "Labels": labels,
        "Mountpoint": volume.data,
        "Name": volume.name,
        "Options": null,
        "Scope": "local",
    })
}
