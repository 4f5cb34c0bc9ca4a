//! Changing what a container may use.

use super::options::{Bytes, Cpus, RestartPolicy, SwapLimit};
use super::{Container, Containers, Error, facts, spec};
use crate::runtime;
use crate::runtime::cgroup::{self, Cgroup};

/// What is to change; `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Update {
    /// `--memory`.
    pub memory: Option<Bytes>,
    /// `--memory-swap`.
    pub memory_swap: Option<SwapLimit>,
    /// `--cpus`.
    pub cpus: Option<Cpus>,
    /// `--cpu-shares`.
    pub cpu_shares: Option<u64>,
    /// `--pids-limit`.
    pub pids_limit: Option<i64>,
    /// `--restart`.
    pub restart: Option<RestartPolicy>,
}

impl Container {
    /// Changes limits: those of a running container at once, and for each later start.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the kernel refuses a limit, such as less memory than is in use;
    /// nothing is recorded then.
    pub fn update(&mut self, update: Update) -> Result<(), Error> {
        let mut host = self.config().host.clone();
        host.memory = update.memory.or(host.memory);
        host.memory_swap = update.memory_swap.or(host.memory_swap);
        host.cpus = update.cpus.or(host.cpus);
        host.cpu_shares = update.cpu_shares.or(host.cpu_shares);
        host.pids_limit = update.pids_limit.or(host.pids_limit);
        host.restart = update.restart.unwrap_or(host.restart);
        if self.process().is_ok() {
            let swap_limit = facts::swap_limit(&host, cgroup::detect());
            let limits = spec::limits(&host, swap_limit).map_err(Error::Spec)?;
            Cgroup::open(&self.cgroup()?)
                .and_then(|group| group.apply(&limits))
                .map_err(|error| Error::Runtime(runtime::Error::from(error)))?;
        }
        let containers = Containers::new(self.root());
        containers.reconfigure(self, |config| {
            config.host.memory = host.memory;
            config.host.memory_swap = host.memory_swap;
            config.host.cpus = host.cpus;
            config.host.cpu_shares = host.cpu_shares;
            config.host.pids_limit = host.pids_limit;
            config.host.restart = host.restart;
        })?;
        self.tell("update", &[]);
        Ok(())
    }
}
