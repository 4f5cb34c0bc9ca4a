//! The search for a number in a tree of ranges, as instructions.
//!
//! It is written from its end: jumps only go forward, so what they go to is there already, and
//! how far it is. An answer that many ranges share is written once, and again only where a jump
//! can't reach it.

use std::collections::BTreeMap;

use super::bpf::{at_least, give, skip};
use crate::sys::program::Instruction;

/// The farthest that a comparison jumps.
const REACH: usize = u8::MAX as usize;

/// What a range leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leaf {
    /// One answer to all.
    Give(u32),
    /// Instructions that never go on behind themselves.
    Ask(Vec<Instruction>),
}

/// The instructions that go to the leaf in whose range the accumulator is. `leaves` are the first
/// number of each range, ascending from 0, with what it leads to.
pub(super) fn search(leaves: &[(u32, Leaf)]) -> Vec<Instruction> {
    let mut tree = Tree::default();
    if let Some(root) = tree.add(leaves) {
        let root = tree.reach(root);
        let distance = tree.distance(root);
        if distance > 0 {
            tree.go(distance);
        }
    }
    tree.backwards.reverse();
    tree.backwards
}

/// Where a part of the tree begins.
#[derive(Clone, Copy)]
enum Start {
    /// Wherever that answer is within reach.
    Give(u32),
    /// There.
    At(usize),
}

#[derive(Default)]
struct Tree {
    backwards: Vec<Instruction>,
    /// Where each answer was last written.
    answers: BTreeMap<u32, usize>,
}

impl Tree {
    fn add(&mut self, leaves: &[(u32, Leaf)]) -> Option<Start> {
        match leaves {
            [] => None,
            [(_, Leaf::Give(value))] => Some(Start::Give(*value)),
            [(_, Leaf::Ask(instructions))] => {
                self.backwards.extend(instructions.iter().rev());
                Some(Start::At(self.last()))
            }
            [..] => {
                let (lower, upper) = leaves.split_at(leaves.len() / 2);
                let boundary = upper.first()?.0;
                let upper = self.add(upper)?;
                let lower = self.add(lower)?;
                let upper = self.reach(upper);
                let lower = self.reach(lower);
                let [upper, lower] = [upper, lower].map(|place| self.distance(place));
                self.backwards
                    .push(at_least(boundary, byte(upper), byte(lower)));
                Some(Start::At(self.last()))
            }
        }
    }

    /// A place within reach of the next two instructions that leads to `start`.
    fn reach(&mut self, start: Start) -> usize {
        match start {
            Start::At(place) if self.distance(place) < REACH => place,
            Start::At(place) => self.go(self.distance(place)),
            Start::Give(value) => {
                let written = self.answers.get(&value).copied();
                if let Some(place) = written.filter(|place| self.distance(*place) < REACH) {
                    return place;
                }
                self.backwards.push(give(value));
                self.answers.insert(value, self.last());
                self.last()
            }
        }
    }

    fn go(&mut self, distance: usize) -> usize {
        self.backwards
            .push(skip(u32::try_from(distance).unwrap_or(u32::MAX)));
        self.last()
    }

    fn last(&self) -> usize {
        self.backwards.len().saturating_sub(1)
    }

    /// How many instructions lie between the next one and that place.
    fn distance(&self, place: usize) -> usize {
        self.backwards.len() - place - 1
    }
}

fn byte(distance: usize) -> u8 {
    u8::try_from(distance).unwrap_or(u8::MAX)
}
