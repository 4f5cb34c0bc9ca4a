//! What `create` and `run` have in common.

use std::path::PathBuf;

use anyhow::anyhow;

use crate::cli::Failure;
use crate::oci::{Bundle, ContainerId, Creation};
use crate::runtime::{Keyring, RootChange};
use crate::sys::fds;

/// How a container is made.
#[derive(Debug, clap::Args)]
pub(super) struct Making {
    /// Folder with config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Socket that the master side of the terminal is sent to
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// File that the process id is written to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// How many descriptors behind the standard streams the process gets, too
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    preserve_fds: u16,
    /// Move the root instead of pivoting to it, as on a RAM disk
    #[arg(long)]
    no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    no_new_keyring: bool,
    /// A name for the container, unique below --root
    #[arg(value_name = "ID")]
    pub(super) id: ContainerId,
}

impl Making {
    /// Reads the bundle, and enters the user namespace in which this user can make a container of
    /// it.
    pub(super) fn bundle(&self) -> Result<Bundle, Failure> {
        let mut bundle = Bundle::read(&self.bundle)?;
        bundle.enter_user_namespace()?;
        Ok(bundle)
    }

    pub(super) fn creation(&self) -> Result<Creation, Failure> {
        Ok(Creation {
            console_socket: self.console_socket.clone(),
            pid_file: self.pid_file.clone(),
            preserve_fds: preserved(self.preserve_fds)?,
            root_change: if self.no_pivot {
                RootChange::Move
            } else {
                RootChange::Pivot
            },
            keyring: if self.no_new_keyring {
                Keyring::Callers
            } else {
                Keyring::New
            },
        })
    }
}

/// Were one of them not open, a file of ours could come to stand in its place.
pub(super) fn preserved(count: u16) -> Result<u16, Failure> {
    if fds::are_open(count) {
        return Ok(count);
    }
    Err(anyhow!(
        "--preserve-fds {count}: not all of the descriptors 3 to {} are open; open them, or ask for fewer",
        2 + u32::from(count)
    )
    .into())
}
