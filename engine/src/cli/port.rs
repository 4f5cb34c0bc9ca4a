//! `keel port`.

use std::process::ExitCode;

use anyhow::anyhow;

use super::{Globals, Outcome};
use crate::container::Containers;

/// Show the ports of a container that the host passes on
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel port web
  keel port web 80/tcp")]
pub(super) struct Args {
    /// Name or id
    container: String,
    /// A port of the container
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
}

/// Shows them: the only network of this version, `none`, publishes no port.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let container = Containers::new(&globals.root).find(&args.container)?;
    match &args.port {
        None => Ok(ExitCode::SUCCESS),
        Some(port) => {
            let name = container.name();
            Err(anyhow!("container `{name}` publishes no port `{port}`").into())
        }
    }
}
