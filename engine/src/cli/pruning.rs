//! Asking before much is removed, and telling what was.

use std::io::{self, BufRead as _, Write as _};

use super::images::size;
use crate::container::Pruned;
use crate::image::PrunedImages;
use crate::image::store::Removed;
use crate::volume::VolumeName;

/// Warns, and asks whether to go on. No answer is a no.
///
/// # Errors
/// Those of reading and writing.
pub(super) fn confirm(warning: &str) -> io::Result<bool> {
    let mut stderr = io::stderr().lock();
    write!(
        stderr,
        "WARNING! {warning}\nAre you sure you want to continue? [y/N] "
    )?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The containers that were removed, as Docker tells it; empty if there were none.
pub(super) fn deleted(pruned: &Pruned) -> String {
    if pruned.containers.is_empty() {
        return String::new();
    }
    let ids = pruned.containers.iter().map(|id| format!("{id}\n"));
    format!("Deleted Containers:\n{}\n", ids.collect::<String>())
}

/// The images that were removed, as Docker tells it; empty if there were none.
pub(super) fn deleted_images(pruned: &PrunedImages) -> String {
    if pruned.removed.is_empty() {
        return String::new();
    }
    let lines = pruned.removed.iter().map(|removed| match removed {
        Removed::Name(name) => format!("untagged: {}\n", name.familiar()),
        Removed::Image(id) => format!("deleted: {id}\n"),
        Removed::Layer(chain) => format!("deleted: {chain}\n"),
    });
    format!("Deleted Images:\n{}\n", lines.collect::<String>())
}

/// The volumes that were removed, as Docker tells it; empty if there were none.
pub(super) fn deleted_volumes(names: &[VolumeName]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let lines = names.iter().map(|name| format!("{name}\n"));
    format!("Deleted Volumes:\n{}\n", lines.collect::<String>())
}

/// What that has made free.
pub(super) fn reclaimed(bytes: u64) -> String {
    format!("Total reclaimed space: {}\n", size(bytes))
}
