//! `keel version`.

use std::process::ExitCode;

use serde_json::json;

use super::template::Template;
use super::{Outcome, terminal};

/// Show the version
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel version
  keel version --format json")]
pub(super) struct Args {
    /// `json`, a template such as `{{.Client.Version}}`, or nothing for people
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Template>,
}

/// Shows it. Nothing is read and no root folder is needed.
pub(super) fn run(args: &Args) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    let arch = std::env::consts::ARCH;
    if let Some(template) = &args.format {
        let document = json!({
            "Client": {"Platform": {"Name": "Keel"}, "Version": version, "Os": "linux", "Arch": arch},
            "OciVersion": "1.2.0",
        });
        terminal::answer(&template.render_lines(&[document])?)?;
    } else {
        terminal::answer(&format!(
            "Keel\n Version:  {version}\n OS/Arch:  linux/{arch}\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
