//! `keel volume rm`.

use std::process::ExitCode;

use super::super::{FAILED, Failure, Globals, Outcome, terminal};
use crate::container::Containers;
use crate::volume::{VolumeError, VolumeName, Volumes};

/// Remove volumes, with all their files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel volume rm data
  keel volume rm $(keel volume ls -q --filter dangling=true)")]
pub(in crate::cli) struct Args {
    /// Those that are not there are fine
    #[arg(short, long)]
    force: bool,
    /// Names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<VolumeName>,
}

/// Removes what can be removed, and tells the rest.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let volumes = Volumes::new(&globals.root);
    let containers = Containers::new(&globals.root);
    let users = |name: &VolumeName| Ok(containers.users_of_volume(name)?);
    let mut code = ExitCode::SUCCESS;
    for name in &args.names {
        match volumes.remove(name, &users) {
            Ok(()) => terminal::answer(&format!("{name}\n"))?,
            Err(VolumeError::NotFound(_)) if args.force => {
                terminal::answer(&format!("{name}\n"))?;
            }
            Err(error) => {
                terminal::message(&Failure::from(error).to_string());
                code = ExitCode::from(FAILED);
            }
        }
    }
    Ok(code)
}
