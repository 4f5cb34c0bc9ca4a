//! `keel update`.

use super::{Globals, Outcome, each};
use crate::container::Update;
use crate::container::options::{Bytes, Cpus, RestartPolicy, SwapLimit};

/// Change limits and restart policies of containers, also while they run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel update --memory 128m web
  keel update --cpus 0.5 --pids-limit 100 web worker
  keel update --restart no web")]
pub(super) struct Args {
    /// Memory limit
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<Bytes>,
    /// Limit of memory and swap space together; -1: any amount of swap
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<SwapLimit>,
    /// How many processors' time it may use
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<Cpus>,
    /// Its share when there is not enough for all
    #[arg(short, long, value_name = "SHARES")]
    #[arg(value_parser = clap::value_parser!(u64).range(2..=262_144))]
    cpu_shares: Option<u64>,
    /// How many processes and threads it may have; -1: no limit
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i64).range(-1..))]
    pids_limit: Option<i64>,
    /// Whether to start them again when they end: no, `on-failure[:N]`, always, unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<RestartPolicy>,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Changes them.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let update = Update {
        memory: args.memory,
        memory_swap: args.memory_swap,
        cpus: args.cpus,
        cpu_shares: args.cpu_shares,
        pids_limit: args.pids_limit,
        restart: args.restart,
    };
    each::for_each(globals, &args.containers, |mut container| {
        container.update(update).map(|()| None)
    })
}
