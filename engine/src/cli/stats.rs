//! `keel stats`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollTimeout, poll};
use serde_json::{Value, json};

use super::images::size;
use super::template::Template;
use super::{Globals, Outcome, table, terminal};
use crate::container::{Container, Containers, Error, Phase, Usage};

/// Show what running containers use of processors, memory, disks and networks
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel stats
  keel stats --no-stream web
  keel stats --no-stream --format '{{.Name}} {{.CPUPerc}}'")]
pub(super) struct Args {
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    /// Show it once, and not again every second
    #[arg(long)]
    no_stream: bool,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// `table`, `json` (one object a line), or a template such as `{{.Name}}`
    #[arg(long)]
    format: Option<String>,
    /// Names or ids [default: all]
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Between two looks: processor use is what was used from one to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// A look at a container; `None`: it does not run.
struct Look {
    id: String,
    usage: Option<Usage>,
}

/// Shows it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let containers = Containers::new(&globals.root);
    let mut before = (Instant::now(), looks(&select(args, &containers)?)?);
    loop {
        // Nothing to wait for but time; a signal ends this program as any other.
        let _ = poll(
            &mut [],
            PollTimeout::try_from(INTERVAL).unwrap_or(PollTimeout::MAX),
        );
        let chosen = select(args, &containers)?;
        let now = (Instant::now(), looks(&chosen)?);
        let elapsed = now.0.duration_since(before.0);
        let rows: Vec<Value> = chosen
            .iter()
            .zip(&now.1)
            .map(|(container, look)| {
                let earlier = before.1.iter().find(|earlier| earlier.id == look.id);
                let earlier = earlier.and_then(|earlier| earlier.usage);
                row(container, args, look.usage, earlier, elapsed)
            })
            .collect();
        let mut text = render(args, &rows)?;
        if !args.no_stream && io::stdout().is_terminal() {
            // Over what was shown before: home, and clear what is below.
            text = format!("\x1b[H\x1b[J{text}");
        }
        terminal::answer(&text)?;
        if args.no_stream {
            return Ok(ExitCode::SUCCESS);
        }
        before = now;
    }
}

fn select(args: &Args, containers: &Containers) -> Result<Vec<Container>, Error> {
    if args.containers.is_empty() {
        let mut all = containers.list()?;
        all.retain(|container| args.all || container.phase().is_live());
        return Ok(all);
    }
    args.containers
        .iter()
        .map(|given| containers.find(given))
        .collect()
}

fn looks(containers: &[Container]) -> Result<Vec<Look>, Error> {
    let look = |container: &Container| {
        let usage = match container.phase() {
            Phase::Running | Phase::Paused => match container.usage() {
                Ok(usage) => Some(usage),
                Err(Error::NotRunning(_)) => None,
                Err(error) => return Err(error),
            },
            Phase::Created | Phase::Restarting | Phase::Exited => None,
        };
        let id = container.id().to_string();
        Ok(Look { id, usage })
    };
    containers.iter().map(look).collect()
}

fn render(args: &Args, rows: &[Value]) -> anyhow::Result<String> {
    Ok(match args.format.as_deref() {
        None | Some("table") => table::render(
            &[
                ("CONTAINER ID", "ID"),
                ("NAME", "Name"),
                ("CPU %", "CPUPerc"),
                ("MEM USAGE / LIMIT", "MemUsage"),
                ("MEM %", "MemPerc"),
                ("NET I/O", "NetIO"),
                ("BLOCK I/O", "BlockIO"),
                ("PIDS", "PIDs"),
            ],
            rows,
        ),
        Some(template) => template.parse::<Template>()?.render_lines(rows)?,
    })
}

/// A row under Docker's names.
fn row(
    container: &Container,
    args: &Args,
    usage: Option<Usage>,
    earlier: Option<Usage>,
    elapsed: Duration,
) -> Value {
    let id = if args.no_trunc {
        container.id().as_str()
    } else {
        container.id().short()
    };
    let none = || "--".to_owned();
    let pair = |(a, b): (String, String)| format!("{a} / {b}");
    let sizes = |(a, b): (u64, u64)| pair((size(a), size(b)));
    let cpu = usage.and_then(|usage| {
        let used = usage.cpu_ns?.saturating_sub(earlier?.cpu_ns?);
        Some(percent(u128::from(used), elapsed.as_nanos()))
    });
    let memory = usage.and_then(|usage| {
        let used = usage.memory_bytes?;
        let limit = usage.memory_limit_bytes;
        let shown = pair((binary_size(used), binary_size(limit)));
        Some((shown, percent(u128::from(used), u128::from(limit))))
    });
    let (memory, memory_percent) = memory.unwrap_or_else(|| (pair((none(), none())), none()));
    json!({
        "ID": id,
        "Container": id,
        "Name": container.name(),
        "CPUPerc": cpu.unwrap_or_else(none),
        "MemUsage": memory,
        "MemPerc": memory_percent,
        "NetIO": usage.map_or_else(none, |usage| sizes(usage.network_bytes)),
        "BlockIO": usage.map_or_else(none, |usage| sizes(usage.disk_bytes)),
        "PIDs": usage.and_then(|usage| usage.pids).map_or_else(none, |pids| pids.to_string()),
    })
}

/// With two decimals.
fn percent(part: u128, whole: u128) -> String {
    let hundredths = (part * 10_000).checked_div(whole).unwrap_or(0);
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

/// In powers of 1024, four figures at most.
fn binary_size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut unit, mut name) = (1_u64, "B");
    for larger in units {
        if bytes / 1024 < unit {
            break;
        }
        unit = unit.saturating_mul(1024);
        name = larger;
    }
    if unit == 1 {
        return format!("{bytes}B");
    }
    let thousandths = u128::from(bytes) * 1000 / u128::from(unit);
    let (whole, part) = (thousandths / 1000, thousandths % 1000);
    match whole {
        0..=9 => format!("{whole}.{part:03}{name}"),
        10..=99 => format!("{whole}.{:02}{name}", part / 10),
        100..=999 => format!("{whole}.{}{name}", part / 100),
        _ => format!("{whole}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_dockers_way() {
        let told = [0, 1023, 1024, 1_300_000, 67_108_864, 1_072_693_248].map(binary_size);
        assert_eq!(
            told,
            ["0B", "1023B", "1.000KiB", "1.239MiB", "64.00MiB", "1023MiB"]
        );
    }

    #[test]
    fn shares_have_two_decimals_and_may_be_of_nothing() {
        assert_eq!(percent(1, 3), "33.33%");
        assert_eq!(percent(5, 2), "250.00%");
        assert_eq!(percent(1, 0), "0.00%");
    }
}
