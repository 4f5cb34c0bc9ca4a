//! Starting a container's program.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::sys::socket::connect;
use oci_spec::runtime::Spec;

use super::create::{start_address, start_socket};
use super::{Container, Error, Force, Status};
use crate::runtime::{self, HookPoint};

impl Container {
    /// Starts its program. The container was found to be changed.
    ///
    /// # Errors
    /// [`Error::Status`], and nothing is changed; [`Error::Runtime`] when the program or a hook
    /// failed, and then the container is stopped.
    pub fn start(&self) -> Result<(), Error> {
        if self.status() != Status::Created {
            return Err(self.refuse("start", "only one that is created can be started"));
        }
        let spec = self.spec()?;
        if spec.process().is_none() {
            return Err(Error::Use(
                "`process` is missing in config.json: nothing can be started",
            ));
        }
        let failed = |errno: nix::errno::Errno| Error::io("call", &self.folder)(errno);
        let folder = File::open(&self.folder).map_err(Error::io("open", &self.folder))?;
        let connection = start_socket().map_err(failed)?;
        let address = start_address(folder.as_fd()).map_err(failed)?;
        connect(connection.as_raw_fd(), &address).map_err(failed)?;
        let process = self.record.process.as_ref();
        let pid = process.map_or(0, |process| process.pid);
        let state = |status: &'static str, pid| self.record.hook_state(status, Some(pid));
        if let Err(error) = runtime::await_start(connection, pid, &spec, &state) {
            // Whatever failed, the container is stopped then. The first error is what matters.
            let _ended = self.end(Force::Yes);
            return Err(error.into());
        }
        self.poststart(&spec)
    }

    /// Runs the hooks behind the start. One that fails ends the container, as with runc.
    pub(super) fn poststart(&self, spec: &Spec) -> Result<(), Error> {
        let hooks = spec.hooks().as_ref();
        let hooks = hooks.and_then(|hooks| hooks.poststart().as_ref());
        if hooks.is_none() {
            return Ok(());
        }
        let pid = self.record.process.as_ref().map(|process| process.pid);
        let state = self.record.hook_state("running", pid);
        runtime::run_hooks(HookPoint::Poststart, hooks, &state).map_err(|error| {
            // The first error is what matters.
            let _ended = self.end(Force::Yes);
            Error::Runtime(error)
        })
    }
}
