//! `keel runtime update`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use crate::cli::{Failure, Outcome};
use crate::container::options::Bytes;
use crate::oci::{ContainerId, Runtime};

/// Change the limits of a running container
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime update --memory 128m --pids-limit 100 web
  echo '{\"cpu\": {\"quota\": 50000, \"period\": 100000}}' | keel-runtime update --resources - web

What is not given stays as it is. A file of resources wins over the other options.")]
pub(super) struct Args {
    /// File with the limits, as `linux.resources` in config.json; -: standard input
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Share of block devices
    #[arg(long, value_name = "10-1000")]
    blkio_weight: Option<u16>,
    /// Period of the processor quota, microseconds
    #[arg(long, value_name = "TIME")]
    cpu_period: Option<u64>,
    /// Processor time in a period, microseconds; -1: no limit
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// Processor time saved up for later, microseconds
    #[arg(long, value_name = "TIME")]
    cpu_burst: Option<u64>,
    /// Share of processor time when there is not enough for all
    #[arg(long, value_name = "SHARES")]
    cpu_share: Option<u64>,
    /// Period of real-time processes, microseconds
    #[arg(long, value_name = "TIME")]
    cpu_rt_period: Option<u64>,
    /// Processor time of real-time processes in a period, microseconds
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// 1: only when nobody else wants the processor
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<i64>,
    /// Processors
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory limit; -1: none
    #[arg(long, value_name = "BYTES", value_parser = limit, allow_hyphen_values = true)]
    memory: Option<i64>,
    /// Memory that is kept for it; -1: none
    #[arg(long, value_name = "BYTES", value_parser = limit, allow_hyphen_values = true)]
    memory_reservation: Option<i64>,
    /// Limit of memory and swap space together; -1: none
    #[arg(long, value_name = "BYTES", value_parser = limit, allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// How many processes and threads it may have; -1: no limit
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// The container
    #[arg(value_name = "ID")]
    id: ContainerId,
}

/// A size, or -1.
fn limit(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    let bytes: Bytes = text.parse().map_err(|error| format!("{error}"))?;
    i64::try_from(bytes.0).map_err(|error| error.to_string())
}

/// Changes them.
pub(super) fn run(args: &Args, runtime: &Runtime) -> Outcome {
    let resources = args.resources()?;
    runtime.find_to_change(&args.id)?.update(&resources)?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn resources(&self) -> Result<LinuxResources, Failure> {
        let resources = match &self.resources {
            Some(path) => read(path)?,
            None => self.options(),
        };
        Ok(
            serde_json::from_value(resources)
                .context("these are no limits of the specification")?,
        )
    }

    fn options(&self) -> Value {
        let cpu = given([
            ("period", json!(self.cpu_period)),
            ("quota", json!(self.cpu_quota)),
            ("burst", json!(self.cpu_burst)),
            ("shares", json!(self.cpu_share)),
            ("realtimePeriod", json!(self.cpu_rt_period)),
            ("realtimeRuntime", json!(self.cpu_rt_runtime)),
            ("idle", json!(self.cpu_idle)),
            ("cpus", json!(self.cpuset_cpus)),
            ("mems", json!(self.cpuset_mems)),
        ]);
        let memory = given([
            ("limit", json!(self.memory)),
            ("reservation", json!(self.memory_reservation)),
            ("swap", json!(self.memory_swap)),
        ]);
        given([
            ("cpu", cpu),
            ("memory", memory),
            ("pids", given([("limit", json!(self.pids_limit))])),
            ("blockIO", given([("weight", json!(self.blkio_weight))])),
        ])
    }
}

/// The members that have a value; null when none has.
fn given<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members: Map<String, Value> = members
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    if members.is_empty() {
        Value::Null
    } else {
        Value::Object(members)
    }
}

fn read(path: &Path) -> Result<Value, Failure> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_none_is_minus_one() {
        assert_eq!(limit("64m"), Ok(64 << 20));
        assert_eq!(limit("-1"), Ok(-1));
        limit("-2").expect_err("negative");
    }

    #[test]
    fn only_what_is_given_is_asked_for() {
        assert_eq!(given([("a", Value::Null)]), Value::Null);
        let some = given([("a", Value::Null), ("b", json!(1))]);
        assert_eq!(some, json!({"b": 1}));
    }
}
