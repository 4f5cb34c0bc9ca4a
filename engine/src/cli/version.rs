//! `keel version`.

use std::process::ExitCode;

use serde_json::json;

use super::{Outcome, terminal};

/// Show the version
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel version
  keel version --format json")]
pub(super) struct Args {
    /// `json`, or nothing for people
    #[arg(long, value_name = "FORMAT", value_parser = ["json"])]
    format: Option<String>,
}

/// Shows it. Nothing is read and no root folder is needed.
pub(super) fn run(args: &Args) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    let arch = std::env::consts::ARCH;
    if args.format.is_some() {
        terminal::answer(&format!(
            "{}\n",
            json!({
                "Client": {"Platform": {"Name": "Keel"}, "Version": version, "Os": "linux", "Arch": arch},
                "OciVersion": "1.2.0",
            })
        ))?;
    } else {
        terminal::answer(&format!(
            "Keel\n Version:  {version}\n OS/Arch:  linux/{arch}\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
