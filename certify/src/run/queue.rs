//! Which cell is next.
//!
//! Cells of one kernel begin from one snapshot, which takes a boot to make and memory to keep. So
//! who has run a cell goes on with the same kernel, then with one that nobody has begun, and only
//! then helps where most is left.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use matrix::cell::Cell;

use super::history::History;
use crate::provision::snapshots::Base;

/// The cells that wait, with what is known of them.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Vec<Group>>);

/// The cells of one kernel.
#[derive(Debug)]
struct Group {
    base: Base,
    waiting: VecDeque<(Cell, History)>,
    is_begun: bool,
}

impl Queue {
    pub(super) fn add(&mut self, cell: Cell, history: History) {
        let base = Base::of(&cell);
        let groups = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let known = groups.iter_mut().find(|group| group.base == base);
        match known {
            Some(group) => group.waiting.push_back((cell, history)),
            None => groups.push(Group {
                base,
                waiting: VecDeque::from([(cell, history)]),
                is_begun: false,
            }),
        }
    }

    /// The next cell for whoever ran one of that kernel last.
    pub(super) fn next(&self, last: Option<&Base>) -> Option<(Cell, History)> {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = groups.iter_mut().filter(|group| !group.waiting.is_empty());
        let group = left.min_by_key(|group| {
            let is_same = last == Some(&group.base);
            (!is_same, group.is_begun, usize::MAX - group.waiting.len())
        })?;
        group.is_begun = true;
        group.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use matrix::axis::StorageDriver;

    use super::*;
    use crate::provision::snapshots::cell;

    #[test]
    fn each_keeps_to_a_kernel_of_its_own_and_helps_in_the_end() {
        let mut queue = Queue::default();
        for kernel in ["5.10", "6.1", "6.12"] {
            for storage in [
                StorageDriver::Overlay,
                StorageDriver::Btrfs,
                StorageDriver::Vfs,
            ] {
                queue.add(cell(kernel, storage), History::default());
            }
        }
        let mut last = [None, None];
        let mut order = [Vec::new(), Vec::new()];
        // The second is slow.
        for turn in [0, 1, 0, 0, 0].into_iter().cycle() {
            let Some((cell, _)) = queue.next(last[turn].as_ref()) else {
                break;
            };
            order[turn].push(format!("{}/{}", cell.kernel, cell.storage));
            last[turn] = Some(Base::of(&cell));
        }
        insta::assert_snapshot!(order.map(|cells| cells.join(" ")).join("\n"), @r"
        5.10/overlay 5.10/btrfs 5.10/vfs 6.12/overlay 6.12/btrfs 6.12/vfs 6.1/vfs
        6.1/overlay 6.1/btrfs
        ");
    }
}
