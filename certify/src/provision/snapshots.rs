//! Which cells share a booted machine: those of one kernel and one control group mode.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use matrix::axis::{CgroupMode, StorageDriver, TargetKind};
use matrix::cell::{Cell, CellId};
use matrix::event::Entry;
use tokio::sync::OnceCell;
use vm_images::target::MicroSnapshot;

use super::Breakage;
use super::kernels::kernel_name;

/// A snapshot that is made by the first who needs it, or why it can't be had.
pub(super) type Shared = Arc<OnceCell<Result<MicroSnapshot, Breakage>>>;

/// What a guest has touched of its memory when it is saved, in MiB. Those that go on from it
/// share that until they write to it.
const SAVED_MIB: u64 = 160;

/// What cells must have in common to share one: kernel and control group mode.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Base(String, CgroupMode);

impl Base {
    pub(crate) fn of(cell: &Cell) -> Self {
        Self(kernel_name(cell), cell.cgroup)
    }
}

/// The snapshots of a run. Each is kept only until the last of its cells has been provisioned,
/// as it holds a machine's memory.
#[derive(Debug, Default)]
pub struct Snapshots(Mutex<BTreeMap<Base, Group>>);

/// The cells of one snapshot.
#[derive(Debug, Clone, Default)]
struct Group {
    to_come: usize,
    storage: BTreeSet<StorageDriver>,
    shared: Shared,
}

impl Snapshots {
    /// For the cells of a plan of which `journal` tells nothing yet: those that have begun never
    /// take one again. A kernel with one such cell has none: booting it is cheaper.
    pub fn for_cells(cells: &[Cell], journal: &[Entry]) -> Self {
        let begun: BTreeSet<&CellId> = journal.iter().map(|entry| &entry.cell).collect();
        let cells = cells
            .iter()
            .filter(|cell| cell.target == TargetKind::Micro && !begun.contains(&cell.id));
        let mut groups: BTreeMap<Base, Group> = BTreeMap::new();
        for cell in cells {
            let group = groups.entry(Base::of(cell)).or_default();
            group.to_come += 1;
            group.storage.insert(cell.storage);
        }
        groups.retain(|_, group| group.to_come > 1);
        Self(Mutex::new(groups))
    }

    /// How much more memory each machine takes for them, in MiB: every lane may be with another
    /// kernel.
    pub fn memory_mib(&self) -> u64 {
        let groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.is_empty() { 0 } else { SAVED_MIB }
    }

    /// The snapshot for a cell's one machine, and the storage drivers that it must be fit for.
    pub(super) fn take(&self, cell: &Cell) -> Option<(Shared, BTreeSet<StorageDriver>)> {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let base = Base::of(cell);
        let group = groups.get_mut(&base)?;
        group.to_come -= 1;
        let taken = (Arc::clone(&group.shared), group.storage.clone());
        if group.to_come == 0 {
            groups.remove(&base);
        }
        Some(taken)
    }
}

/// A cell for tests.
#[cfg(test)]
pub(crate) fn cell(kernel: &str, storage: StorageDriver) -> Cell {
    Cell {
        id: format!("debian-12/{kernel}/amd64/{storage}/v2")
            .parse()
            .unwrap(),
        distro: "debian".to_owned(),
        release: "12".to_owned(),
        kernel: kernel.to_owned(),
        arch: matrix::arch::Arch::Amd64,
        storage,
        cgroup: CgroupMode::V2,
        target: TargetKind::Micro,
        suites: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_one_kernel_share_a_snapshot_until_the_last_has_taken_it() {
        let cells = [
            cell("6.1", StorageDriver::Overlay),
            cell("6.1", StorageDriver::Vfs),
            cell("6.12", StorageDriver::Vfs),
        ];
        let snapshots = Snapshots::for_cells(&cells, &[]);
        let (first, storage) = snapshots.take(&cells[0]).unwrap();
        assert_eq!(storage.len(), 2);
        let (second, _) = snapshots.take(&cells[1]).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        drop(first);
        // Nobody else holds it: its memory goes with the last machine.
        assert_eq!(Arc::strong_count(&second), 1);
        assert!(snapshots.take(&cells[1]).is_none());
    }

    #[test]
    fn the_only_cell_of_a_kernel_boots_it() {
        let cell = cell("6.12", StorageDriver::Vfs);
        assert!(
            Snapshots::for_cells(std::slice::from_ref(&cell), &[])
                .take(&cell)
                .is_none()
        );
    }

    #[test]
    fn cells_that_have_begun_are_not_waited_for() {
        let cells = [
            cell("6.1", StorageDriver::Overlay),
            cell("6.1", StorageDriver::Btrfs),
            cell("6.1", StorageDriver::Vfs),
        ];
        let begun = |cell: &Cell| Entry {
            seq: 0,
            at_ms: 0,
            cell: cell.id.clone(),
            attempt: 1,
            event: matrix::event::Event::Interrupted,
        };
        let snapshots = Snapshots::for_cells(&cells, &[begun(&cells[0])]);
        assert_eq!(snapshots.memory_mib(), SAVED_MIB);
        assert!(snapshots.take(&cells[1]).is_some());
        let (last, _) = snapshots.take(&cells[2]).unwrap();
        assert_eq!(Arc::strong_count(&last), 1);

        let snapshots = Snapshots::for_cells(&cells, &[begun(&cells[0]), begun(&cells[1])]);
        assert_eq!(snapshots.memory_mib(), 0);
        assert!(snapshots.take(&cells[2]).is_none());
    }
}
