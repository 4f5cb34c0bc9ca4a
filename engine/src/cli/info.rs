//! `keel info`.

use std::fs;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::template::Template;
use super::{Globals, Outcome, terminal};
use crate::container::{Container, Containers, Phase};
use crate::image::store::Store;
use crate::rootless;
use crate::runtime::cgroup::{self, Mode};
use crate::runtime::requirement;

/// Show what this system offers to containers, and what it lacks
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel info
  keel info --format json
  keel info --format '{{.Driver}}'")]
pub(super) struct Args {
    /// `json`, a template such as `{{.Driver}}`, or nothing for people
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Template>,
}

/// Shows it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let info = gather(globals)?;
    let text = match &args.format {
        Some(template) => template.render_lines(&[info])?,
        None => for_people(&info),
    };
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn gather(globals: &Globals) -> Result<Value, super::Failure> {
    let store = Store::open(&globals.root, globals.driver()?)?;
    let containers = Containers::new(&globals.root).list()?;
    let count = |phase: Phase| {
        let phases = containers.iter().map(Container::phase);
        phases.filter(|other| *other == phase).count()
    };
    let system = nix::sys::utsname::uname()?;
    let memory = nix::sys::sysinfo::sysinfo()?.ram_total();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let missing = requirement::missing()
        .into_iter()
        .map(|missing| json!({"ID": missing.id, "What": missing.what, "Remedy": missing.remedy}));
    let id_map = rootless::id_map();
    let ranges = id_map
        .iter()
        .flatten()
        .map(|range| json!({"Inside": range.inside, "Host": range.host, "Count": range.count}));
    let mut security = vec!["name=seccomp,profile=builtin", "name=no-new-privileges"];
    if id_map.is_some() {
        security.push("name=rootless");
    }
    Ok(json!({
        "Name": system.nodename().to_string_lossy(),
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Containers": containers.len(),
        "ContainersRunning": count(Phase::Running),
        "ContainersPaused": count(Phase::Paused),
        "ContainersStopped": count(Phase::Created) + count(Phase::Restarting) + count(Phase::Exited),
        "Images": store.ids()?.len(),
        "Driver": store.storage().driver().name().to_string(),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": match cgroup::detect() {
            Mode::V1 | Mode::Hybrid => "1",
            Mode::V2 => "2",
            Mode::Absent => "none",
        },
        "KernelVersion": system.release().to_string_lossy(),
        "OperatingSystem": operating_system(),
        "OSType": "linux",
        "Architecture": system.machine().to_string_lossy(),
        "NCPU": processors,
        "MemTotal": memory,
        "DockerRootDir": globals.root,
        "SecurityOptions": security,
        "Rootless": id_map.is_some(),
        "IDMap": ranges.collect::<Vec<_>>(),
        "Missing": missing.collect::<Vec<_>>(),
    }))
}

/// The distribution's own name for itself.
fn operating_system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(
        || "Linux".to_owned(),
        |name| name.trim_matches('"').to_owned(),
    )
}

/// Whose users those in containers are.
fn users(info: &Value) -> String {
    let ranges = info.get("IDMap").and_then(Value::as_array);
    let number = |range: &Value, name: &str| range.get(name).and_then(Value::as_u64).unwrap_or(0);
    let shown = |range: &Value| {
        let count = number(range, "Count");
        let span = |first: u64| match count {
            0 | 1 => first.to_string(),
            _ => format!("{first}-{}", first + count - 1),
        };
        let (inside, host) = (number(range, "Inside"), number(range, "Host"));
        format!("{} is {} on the host", span(inside), span(host))
    };
    match ranges.map(|ranges| ranges.iter().map(shown).collect::<Vec<_>>()) {
        Some(ranges) if !ranges.is_empty() => format!("rootless, {}", ranges.join(", ")),
        Some(_) | None if nix::unistd::geteuid().is_root() => "the host's".to_owned(),
        Some(_) | None => "none can be had: no container can run".to_owned(),
    }
}

fn for_people(info: &Value) -> String {
    const LINES: [(&str, &str); 14] = [
        ("Containers", "Containers"),
        (" Running", "ContainersRunning"),
        (" Paused", "ContainersPaused"),
        (" Stopped", "ContainersStopped"),
        ("Images", "Images"),
        ("Storage driver", "Driver"),
        ("Logging driver", "LoggingDriver"),
        ("Cgroup version", "CgroupVersion"),
        ("Kernel", "KernelVersion"),
        ("Operating system", "OperatingSystem"),
        ("Architecture", "Architecture"),
        ("Processors", "NCPU"),
        ("Memory, bytes", "MemTotal"),
        ("Root folder", "DockerRootDir"),
    ];
    let shown = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let mut lines = Vec::new();
    for (title, field) in LINES {
        let value = info.get(field).map(shown).unwrap_or_default();
        lines.push(format!("{title}: {value}\n"));
    }
    lines.push(format!("Users: {}\n", users(info)));
    let missing = info.get("Missing").and_then(Value::as_array);
    for lack in missing.into_iter().flatten() {
        let part = |name: &str| lack.get(name).map(shown).unwrap_or_default();
        lines.push(format!(
            "Missing: {} ({}): {}\n",
            part("What"),
            part("ID"),
            part("Remedy")
        ));
    }
    lines.concat()
}
