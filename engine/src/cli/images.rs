//! `keel images`.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::ps::since;
use super::template::Template;
use super::{Globals, Outcome, table, terminal};
use crate::image::digest::ImageId;
use crate::image::reference::Reference;
use crate::image::store::{Image, Store, StoreError};

/// List images
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel images
  keel images -q busybox
  keel images --format '{{.Repository}}:{{.Tag}} {{.ID}}'
  keel images --format json")]
pub(super) struct Args {
    /// Only those with this name
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// `table`, `json` (one object a line), or a template such as `{{.Repository}}`
    #[arg(long)]
    format: Option<String>,
}

const COLUMNS: [(&str, &str); 5] = [
    ("REPOSITORY", "Repository"),
    ("TAG", "Tag"),
    ("IMAGE ID", "ID"),
    ("CREATED", "CreatedSince"),
    ("SIZE", "Size"),
];

/// Lists them by name; those without a name come last.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let store = Store::open(&globals.root, globals.driver()?)?;
    let now = Timestamp::now();
    let mut rows = Vec::new();
    for (name, id) in named(&store)? {
        if !wanted(args, name.as_ref()) {
            continue;
        }
        // One may be removed since its name was read.
        if let Some(image) = store.image_if_there(&id)? {
            rows.push(row(&image, name.as_ref(), args, now));
        }
    }
    let text = match args.format.as_deref() {
        _ if args.quiet => {
            let mut ids = rows;
            ids.dedup_by(|a, b| a.get("ID") == b.get("ID"));
            "{{.ID}}".parse::<Template>()?.render_lines(&ids)?
        }
        None | Some("table") => table::render(&COLUMNS, &rows),
        Some(template) => template.parse::<Template>()?.render_rows(&COLUMNS, &rows)?,
    };
    terminal::answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Every name with its image, then the images that have none.
fn named(store: &Store) -> Result<Vec<(Option<Reference>, ImageId)>, StoreError> {
    let names = store.names()?;
    let mut nameless = store.ids()?;
    nameless.retain(|id| names.iter().all(|(_, named)| named != id));
    let with_name = names.into_iter().map(|(name, id)| (Some(name), id));
    Ok(with_name
        .chain(nameless.into_iter().map(|id| (None, id)))
        .collect())
}

/// `busybox` wants every tag of it, `busybox:1` that one.
fn wanted(args: &Args, name: Option<&Reference>) -> bool {
    match (&args.name, name) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wanted), Some(name)) => {
            *wanted == name.familiar_name() || wanted.parse().is_ok_and(|wanted| name == &wanted)
        }
    }
}

/// A row under Docker's names.
fn row(image: &Image, name: Option<&Reference>, args: &Args, now: Timestamp) -> Value {
    let none = || "<none>".to_owned();
    let id = if args.no_trunc {
        image.id.to_string()
    } else {
        image.id.digest().short()
    };
    let created = image.config.created.as_deref().unwrap_or(&image.loaded);
    json!({
        "ID": id,
        "Repository": name.map_or_else(none, Reference::familiar_name),
        "Tag": name.and_then(Reference::tag).map_or_else(none, str::to_owned),
        "Digest": name.and_then(Reference::digest).map_or_else(none, ToString::to_string),
        "CreatedAt": created,
        "CreatedSince": format!("{} ago", since(created, now)),
        "Size": size(image.bytes()),
    })
}

/// In Docker's way: powers of 1000, three figures.
pub(super) fn size(bytes: u64) -> String {
    let mut unit = 1;
    let mut name = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        if bytes / 1000 < unit {
            break;
        }
        unit *= 1000;
        name = larger;
    }
    // In thousandths of the unit.
    let scaled = u128::from(bytes) * 1000 / u128::from(unit);
    let (whole, part) = (scaled / 1000, scaled % 1000);
    match whole {
        _ if unit == 1 => format!("{bytes}{name}"),
        0..=9 => format!("{whole}.{:02}{name}", part / 10),
        10..=99 => format!("{whole}.{}{name}", part / 100),
        _ => format!("{whole}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_dockers_way() {
        let told: Vec<String> = [
            0,
            999,
            1000,
            1_234,
            45_678,
            999_999,
            4_261_550,
            12_345_678_901,
        ]
        .into_iter()
        .map(size)
        .collect();
        assert_eq!(
            told,
            [
                "0B", "999B", "1.00kB", "1.23kB", "45.6kB", "999kB", "4.26MB", "12.3GB"
            ]
        );
    }
}
