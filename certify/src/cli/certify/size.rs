//! How large machines are, and how many run at a time.

use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;

use crate::run::facts::MachineSize;

/// What a guest takes besides its memory: QEMU itself and its translated code.
const OVERHEAD_MIB: u64 = 160;

/// The least memory of a guest: cases that overrun a limit take 256 MiB if there is none, and that
/// must be the engine's failure, not the guest's end.
const LEAST_MIB: u32 = 512;

/// Size and number of machines.
#[derive(Debug, clap::Args)]
pub(super) struct SizeArgs {
    /// How many virtual machines run at a time [default: by processors and free memory]
    #[arg(long, value_name = "N", value_parser = above_zero::<NonZeroUsize>)]
    jobs: Option<NonZeroUsize>,
    /// The memory of each virtual machine, in MiB; at least 512, or an engine that limits no memory
    /// brings down the machine instead of failing
    #[arg(long, value_name = "MIB", default_value_t = 768, value_parser = memory)]
    memory: u32,
    /// The processors of each virtual machine
    #[arg(long, value_name = "N", default_value = "1", value_parser = above_zero::<NonZeroU32>)]
    cpus: NonZeroU32,
}

fn above_zero<N: FromStr>(text: &str) -> Result<N, &'static str> {
    text.parse().map_err(|_| "expected a whole number above 0")
}

fn memory(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(mib) if mib >= LEAST_MIB => Ok(mib),
        Ok(_) | Err(_) => Err(format!("expected a number of MiB, {LEAST_MIB} or more")),
    }
}

impl SizeArgs {
    /// The size of each machine.
    pub(super) fn machine(&self) -> MachineSize {
        MachineSize {
            memory_mib: self.memory,
            cpus: self.cpus.get(),
        }
    }

    /// How many run at a time on a host with so many processors and so much free memory (0:
    /// unknown), where each takes `more_mib` besides.
    pub(super) fn jobs(&self, host_cpus: usize, free_mib: u64, more_mib: u64) -> usize {
        if let Some(jobs) = self.jobs {
            return jobs.get();
        }
        let by_memory = match free_mib {
            0 => 1,
            free => free / (u64::from(self.memory) + OVERHEAD_MIB + more_mib),
        };
        let by_cpus = host_cpus / usize::try_from(self.cpus.get()).unwrap_or(usize::MAX);
        by_cpus
            .min(usize::try_from(by_memory).unwrap_or(usize::MAX))
            .max(1)
    }
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    fn size(jobs: Option<usize>, memory: u32, cpus: u32) -> SizeArgs {
        SizeArgs {
            jobs: jobs.and_then(NonZeroUsize::new),
            memory,
            cpus: NonZeroU32::new(cpus).unwrap(),
        }
    }

    #[test]
    fn a_guest_has_room_for_what_breaks_a_limit() {
        let taken = |memory| {
            let command = SizeArgs::augment_args(clap::Command::new("certify"));
            command.try_get_matches_from(["certify", "--memory", memory])
        };
        assert!(taken("512").is_ok());
        assert!(taken("511").is_err());
    }

    #[test]
    fn jobs_fit_into_processors_and_memory() {
        assert_eq!(size(None, 512, 1).jobs(8, 100_000, 0), 8);
        assert_eq!(size(None, 512, 2).jobs(8, 100_000, 0), 4);
        assert_eq!(size(None, 512, 1).jobs(8, 2048, 0), 3);
        assert_eq!(size(None, 512, 1).jobs(8, 2048, 160), 2);
        assert_eq!(size(None, 512, 4).jobs(2, 300, 0), 1, "one always runs");
        assert_eq!(
            size(None, 512, 1).jobs(8, 0, 0),
            1,
            "unknown memory is no invitation"
        );
        assert_eq!(
            size(Some(5), 512, 1).jobs(1, 0, 0),
            5,
            "the user knows best"
        );
    }
}
