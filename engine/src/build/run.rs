//! `RUN`: where a command's output goes, and what its container is made with.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::unistd::{dup2_stderr, dup2_stdout};

use super::state::State;
use crate::container::Request;
use crate::container::config::{HostConfig, ImageDefaults, ProcessWishes};
use crate::image::store::Store;
use crate::storage::StorageError;

/// Every build's containers have this name for themselves, so that what they make does not depend
/// on it.
const HOST_NAME: &str = "build";

/// The container of a command; `arguments`: what is known of `ARG`s.
pub(super) fn request(state: &State, command: Vec<String>, arguments: Vec<String>) -> Request {
    let config = &state.config.config;
    let mut env = arguments;
    // `ENV` comes before `ARG`.
    env.extend(config.env.iter().cloned());
    Request {
        name: None,
        id_file: None,
        image: state.base.clone(),
        top_layer: state.top().copied(),
        defaults: ImageDefaults {
            env,
            working_dir: config.working_dir.clone(),
            user: config.user.clone(),
            ..ImageDefaults::default()
        },
        wishes: ProcessWishes {
            cmd: command,
            hostname: Some(HOST_NAME.to_owned()),
            ..ProcessWishes::default()
        },
        host: HostConfig {
            // So that a signal ends the command, which as process 1 it might not.
            init: true,
            cgroup: "/keel".to_owned(),
            ..HostConfig::default()
        },
    }
}

/// This process's own output, led elsewhere for as long as this lives: a container of the
/// foreground writes to it.
#[derive(Debug)]
pub(super) struct Redirected {
    stdout: OwnedFd,
    stderr: OwnedFd,
    kept: Option<File>,
}

impl Redirected {
    /// All of it to standard error: standard output is for the answer.
    pub(super) fn to_stderr() -> io::Result<Self> {
        let redirected = Self::save(None)?;
        dup2_stdout(io::stderr().as_fd())?;
        Ok(redirected)
    }

    /// All of it to a file, to be looked at later.
    pub(super) fn kept(store: &Store) -> io::Result<Self> {
        let other = |error: StorageError| io::Error::other(error);
        let staged = store.staging().stage("build-output").map_err(other)?;
        // Nobody else has a name for it, and it goes with its last descriptor.
        let file = File::options()
            .read(true)
            .append(true)
            .create_new(true)
            .open(staged.path().join("output"))?;
        drop(staged);
        let redirected = Self::save(Some(file.try_clone()?))?;
        dup2_stdout(&file)?;
        dup2_stderr(&file)?;
        Ok(redirected)
    }

    fn save(kept: Option<File>) -> io::Result<Self> {
        Ok(Self {
            stdout: io::stdout().as_fd().try_clone_to_owned()?,
            stderr: io::stderr().as_fd().try_clone_to_owned()?,
            kept,
        })
    }

    /// What went to the file.
    pub(super) fn said(mut self) -> io::Result<Vec<u8>> {
        let mut said = Vec::new();
        if let Some(mut file) = self.kept.take() {
            file.rewind()?;
            file.read_to_end(&mut said)?;
        }
        Ok(said)
    }
}

impl Drop for Redirected {
    fn drop(&mut self) {
        // Both were ours a moment ago, and are open: it cannot fail.
        let _ = dup2_stdout(&self.stdout);
        let _ = dup2_stderr(&self.stderr);
    }
}
