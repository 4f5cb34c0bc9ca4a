//! `keel runtime events`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Map, Value, json};

use crate::cli::{Failure, Outcome, terminal};
use crate::oci::{Container, ContainerId, Runtime};
use crate::runtime::cgroup::Stats;

/// Tell, in JSON, what a container uses, and when memory runs out in it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime events --stats web            what it has used so far
  keel-runtime events --interval 10s web     every ten seconds, until it ends")]
pub(super) struct Args {
    /// Tell what it has used so far, once
    #[arg(long)]
    stats: bool,
    /// Time between two answers
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    interval: Duration,
    /// The container
    #[arg(value_name = "ID")]
    id: ContainerId,
}

/// Looked for this often.
const OOM: Duration = Duration::from_secs(1);

/// `5s`, `500ms`, `2m`, or seconds.
fn interval(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time above 0, such as `5s` or `500ms`");
    let at = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(at.unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let time = match unit {
        "" | "s" => Duration::from_secs(number),
        "ms" => Duration::from_millis(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err(wrong()),
    };
    if time.is_zero() {
        Err(wrong())
    } else {
        Ok(time)
    }
}

/// Tells it.
pub(super) fn run(args: &Args, runtime: &Runtime) -> Outcome {
    let container = runtime.find(&args.id)?;
    let first = stats(&container)?;
    if args.stats {
        tell("stats", args, Some(first))?;
        return Ok(ExitCode::SUCCESS);
    }
    // Counted before anything is told: whoever reads that relies on hearing what comes after it.
    let mut killed = container.oom_kills()?;
    tell("stats", args, Some(first))?;
    let mut waited = Duration::ZERO;
    loop {
        let step = OOM.min(args.interval.saturating_sub(waited));
        let lives = container.watch(step);
        let now = container.oom_kills().unwrap_or(killed);
        if now > killed {
            killed = now;
            tell("oom", args, None)?;
        }
        if !lives {
            return Ok(ExitCode::SUCCESS);
        }
        waited += step;
        if waited >= args.interval {
            waited = Duration::ZERO;
            // It may have ended just now, and is seen to have the next time.
            if let Ok(stats) = stats(&container) {
                tell("stats", args, Some(stats))?;
            }
        }
    }
}

fn tell(kind: &str, args: &Args, data: Option<Value>) -> Result<(), Failure> {
    let mut event = json!({"type": kind, "id": args.id.as_str()});
    if let (Some(data), Some(event)) = (data, event.as_object_mut()) {
        event.insert("data".to_owned(), data);
    }
    terminal::answer(&format!("{event}\n")).map_err(|error| anyhow!(error).into())
}

fn stats(container: &Container) -> Result<Value, Failure> {
    Ok(shown(&container.stats()?))
}

/// In runc's form; what this system does not count is left out.
fn shown(stats: &Stats) -> Value {
    let members = |list: &[(&str, Option<u64>)]| -> Value {
        let some = list
            .iter()
            .filter_map(|(name, value)| Some(((*name).to_owned(), json!((*value)?))));
        Value::Object(some.collect::<Map<_, _>>())
    };
    let disks = stats.io_bytes.iter().flat_map(|(device, (read, written))| {
        let (major, minor) = device.split_once(':').unwrap_or((device, "0"));
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        let (major, minor) = (number(major), number(minor));
        [("Read", read), ("Write", written)]
            .map(|(op, value)| json!({"major": major, "minor": minor, "op": op, "value": value}))
    });
    json!({
        "cpu": {"usage": members(&[("total", stats.cpu_ns)])},
        "memory": {
            "usage": members(&[
                ("usage", stats.memory_bytes),
                ("max", stats.memory_peak_bytes),
                ("limit", stats.memory_limit_bytes),
            ]),
            "raw": members(&[("inactive_file", stats.memory_inactive_file_bytes)]),
        },
        "pids": members(&[("current", stats.pids)]),
        "blkio": {"ioServiceBytesRecursive": disks.collect::<Vec<_>>()},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("2m"), Ok(Duration::from_secs(120)));
        for bad in ["0s", "s", "-1s", "1h"] {
            interval(bad).expect_err(bad);
        }
    }

    #[test]
    fn what_is_not_counted_is_left_out() {
        let stats = Stats {
            cpu_ns: Some(7),
            io_bytes: [("8:1".to_owned(), (1, 2))].into(),
            ..Stats::default()
        };
        insta::assert_snapshot!(shown(&stats), @r#"{"blkio":{"ioServiceBytesRecursive":[{"major":8,"minor":1,"op":"Read","value":1},{"major":8,"minor":1,"op":"Write","value":2}]},"cpu":{"usage":{"total":7}},"memory":{"raw":{},"usage":{}},"pids":{}}"#);
    }
}
