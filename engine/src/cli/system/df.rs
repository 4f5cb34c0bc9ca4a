//! `keel system df`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::super::images::size;
use super::super::template::Template;
use super::super::{Failure, Globals, Outcome, table, terminal};
use crate::container::{Container, Containers};
use crate::image::digest::ChainId;
use crate::image::store::Store;
use crate::volume::Volumes;

/// Show how much images, containers, volumes and steps of builds take, and how much of it is of no use now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel system df
  keel system df --format '{{.Type}}: {{.Reclaimable}}'")]
pub(in crate::cli) struct Args {
    /// `table`, `json` (one object a line), or a template such as `{{.Type}}`
    #[arg(long)]
    format: Option<String>,
}

/// Shows it.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let containers = Containers::new(&globals.root).list()?;
    let rows = [
        images(globals, &containers)?,
        written(&containers)?,
        volumes(globals)?,
        steps(globals)?,
    ];
    let text = match args.format.as_deref() {
        None | Some("table") => table::render(
            &[
                ("TYPE", "Type"),
                ("TOTAL", "TotalCount"),
                ("ACTIVE", "Active"),
                ("SIZE", "Size"),
                ("RECLAIMABLE", "Reclaimable"),
            ],
            &rows,
        ),
        Some(template) => template.parse::<Template>()?.render_lines(&rows)?,
    };
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Layers count once, however many images have them. An image is active if a container uses it.
fn images(globals: &Globals, containers: &[Container]) -> Result<Value, Failure> {
    let store = Store::open(&globals.root, globals.driver()?)?;
    let ids = store.ids()?;
    let mut active = 0;
    // By layer: its bytes, and whether a container needs it.
    let mut layers: BTreeMap<ChainId, (u64, bool)> = BTreeMap::new();
    for id in &ids {
        let name = id.to_string();
        let used = containers
            .iter()
            .any(|container| container.config().image.id == name);
        active += usize::from(used);
        for layer in store.image(id)?.layers {
            let known = layers.entry(layer.chain_id).or_insert((layer.bytes, false));
            known.1 |= used;
        }
    }
    let total = layers.values().map(|(bytes, _)| bytes).sum();
    let free = layers.values().filter(|(_, used)| !used);
    let free = free.map(|(bytes, _)| bytes).sum();
    Ok(row("Images", ids.len(), active, total, free))
}

fn written(containers: &[Container]) -> Result<Value, Failure> {
    let (mut active, mut total, mut free) = (0, 0, 0);
    for container in containers {
        let bytes = container.own_bytes()?;
        total += bytes;
        if container.phase().is_live() {
            active += 1;
        } else {
            free += bytes;
        }
    }
    Ok(row("Containers", containers.len(), active, total, free))
}

/// A volume is active if a container uses it, running or not.
fn volumes(globals: &Globals) -> Result<Value, Failure> {
    let containers = Containers::new(&globals.root);
    let (mut active, mut total, mut free) = (0, 0, 0);
    let all = Volumes::new(&globals.root).list()?;
    for volume in &all {
        let bytes = volume.bytes()?;
        total += bytes;
        if containers.users_of_volume(&volume.name)?.is_empty() {
            free += bytes;
        } else {
            active += 1;
        }
    }
    Ok(row("Local Volumes", all.len(), active, total, free))
}

/// Of steps of builds, what no image needs too. None is active.
fn steps(globals: &Globals) -> Result<Value, Failure> {
    let store = Store::open(&globals.root, globals.driver()?)?;
    let (count, bytes) = store.steps_usage()?;
    Ok(row("Build Cache", count, 0, bytes, bytes))
}

/// A row under Docker's names.
fn row(kind: &str, count: usize, active: usize, total: u64, free: u64) -> Value {
    let percent = (free * 100).checked_div(total).unwrap_or(0);
    json!({
        "Type": kind,
        "TotalCount": count,
        "Active": active,
        "Size": size(total),
        "Reclaimable": format!("{} ({percent}%)", size(free)),
    })
}
