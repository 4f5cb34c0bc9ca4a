//! `keel inspect`.

use std::process::ExitCode;

use serde_json::Value;

use super::template::Template;
use super::{FAILED, Failure, Globals, Outcome, terminal};
use crate::container::Containers;

/// Show all about containers, as JSON
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel inspect web
  keel inspect -f '{{.State.Pid}}' web
  keel inspect -f '{{json .HostConfig.Binds}}' web")]
pub(super) struct Args {
    /// A template such as `{{.State.Status}}`, or `json` for one line a container
    #[arg(short, long)]
    format: Option<Template>,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Shows it. Containers that are not there are told, and the others are shown all the same.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let containers = Containers::new(&globals.root);
    let mut code = ExitCode::SUCCESS;
    let mut found = Vec::new();
    for given in &args.containers {
        match containers.find(given) {
            Ok(container) => found.push(container.inspect()),
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
