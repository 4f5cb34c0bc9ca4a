//! What a guest's console says: the only witness of a kernel that is in trouble.
//!
//! A pure function of the bytes, so that it is tested on recorded consoles.

use std::collections::VecDeque;

use crate::agent::init;
use crate::trouble::{Trouble, TroubleKind};

/// Lines kept from before what is recognised.
const BEFORE: usize = 12;

/// Lines of an excerpt, at most.
const EXCERPT: usize = 80;

/// Lines kept for whoever asks what came last.
const TAIL: usize = 30;

/// A longer line is cut: an excerpt is for reading.
const MAX_LINE: usize = 1024;

/// Reads a console as it grows.
#[derive(Debug, Default)]
pub struct Console {
    /// The line that has not ended yet.
    line: Vec<u8>,
    tail: VecDeque<String>,
    found: Option<Found>,
}

#[derive(Debug)]
struct Found {
    kind: TroubleKind,
    lines: Vec<String>,
    complete: bool,
}

/// How far the recognition of trouble is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is wrong.
    Well,
    /// There is trouble, and the kernel may still be describing it.
    Describing,
    /// There is trouble, and its description has ended.
    Described,
}

impl Console {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) -> Progress {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else if self.line.len() < MAX_LINE {
                self.line.push(byte);
            }
        }
        self.progress()
    }

    /// How far the recognition of trouble is.
    pub fn progress(&self) -> Progress {
        match &self.found {
            None => Progress::Well,
            Some(found) if found.complete => Progress::Described,
            Some(_) => Progress::Describing,
        }
    }

    /// The trouble that was recognised, with the lines that show it.
    pub fn trouble(&self) -> Option<Trouble> {
        self.found.as_ref().map(|found| Trouble {
            kind: found.kind.clone(),
            excerpt: found.lines.join("\n"),
        })
    }

    /// The last lines, the unfinished one included.
    pub fn tail(&self) -> String {
        let mut lines: Vec<String> = self.tail.iter().cloned().collect();
        if !self.line.is_empty() {
            lines.push(readable(&self.line));
        }
        lines.join("\n")
    }

    fn end_line(&mut self) {
        let line = readable(&self.line);
        self.line.clear();
        let message = without_timestamp(&line);
        match &mut self.found {
            None => {
                if let Some(kind) = recognise(message) {
                    // The init process says all itself; the kernel's lines before are of no help.
                    let before = if kind == TroubleKind::InitFailed {
                        0
                    } else {
                        BEFORE
                    };
                    let skipped = self.tail.len().saturating_sub(before);
                    let mut lines: Vec<String> = self.tail.iter().skip(skipped).cloned().collect();
                    lines.push(line.clone());
                    self.found = Some(Found {
                        complete: is_whole(&kind),
                        kind,
                        lines,
                    });
                }
            }
            Some(found) if found.lines.len() < EXCERPT => {
                found.complete |= message.starts_with("---[ end ");
                found.lines.push(line.clone());
            }
            Some(found) => found.complete = true,
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

/// The text of a line: serial consoles end lines with CR LF.
fn readable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let printable = |c: &char| !c.is_control() || *c == '\t';
    text.chars().filter(printable).collect()
}

/// The message of `[    1.234567] message`, or of `[    1.234567][    T1] message`.
fn without_timestamp(line: &str) -> &str {
    let mut rest = line;
    while let Some((_, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        rest = after;
    }
    rest.trim_start()
}

/// Whether one line says it all.
fn is_whole(kind: &TroubleKind) -> bool {
    matches!(kind, TroubleKind::InitFailed | TroubleKind::OutOfMemory)
}

/// What a kernel's message means, if it means trouble. All are matched at their beginning: the
/// same words in a process's name or argument mean nothing.
fn recognise(message: &str) -> Option<TroubleKind> {
    const PANIC: &str = "Kernel panic - not syncing: ";
    // Beginnings, as the kernels from 3.8 on print them.
    const OOPS: [&str; 11] = [
        "BUG: ",
        "Oops: ",
        "kernel BUG at ",
        "general protection fault",
        "Unable to handle kernel ",
        "Internal error: ",
        "divide error: ",
        "invalid opcode: ",
        "double fault: ",
        "stack segment: ",
        "PANIC: ",
    ];
    const HANG: [&str; 6] = [
        "BUG: soft lockup",
        "BUG: workqueue lockup",
        "watchdog: BUG: soft lockup",
        "NMI watchdog: BUG: soft lockup",
        "Watchdog detected hard LOCKUP",
        "NMI watchdog: Watchdog detected hard LOCKUP",
    ];
    let begins = |beginnings: &[&str]| beginnings.iter().any(|text| message.starts_with(text));
    if message.starts_with(init::FAILED) {
        return Some(TroubleKind::InitFailed);
    }
    if let Some(reason) = message.strip_prefix(PANIC) {
        return Some(if reason.starts_with("Attempted to kill init") {
            TroubleKind::InitExited
        } else if reason.starts_with("Out of memory") || reason.contains("deadlocked on memory") {
            TroubleKind::OutOfMemory
        } else {
            TroubleKind::KernelPanic
        });
    }
    // A control group that runs into its own limit says "Memory cgroup out of memory".
    if begins(&["Out of memory: Kill"]) {
        return Some(TroubleKind::OutOfMemory);
    }
    let hung_task =
        message.starts_with("INFO: task ") && message.contains(" blocked for more than ");
    if hung_task || begins(&HANG) {
        return Some(TroubleKind::Hang);
    }
    begins(&OOPS).then_some(TroubleKind::KernelOops)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Console {
        let mut console = Console::default();
        console.push(text.as_bytes());
        console
    }

    fn kind(line: &str) -> Option<TroubleKind> {
        read(&format!("{line}\r\n")).trouble().map(|t| t.kind)
    }

    #[test]
    fn names_what_kernels_say_in_trouble() {
        for (line, expected) in [
            (
                "[    2.5] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
                TroubleKind::KernelPanic,
            ),
            (
                "[    1.1][    T1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000",
                TroubleKind::InitExited,
            ),
            (
                "[   10.0] Kernel panic - not syncing: System is deadlocked on memory",
                TroubleKind::OutOfMemory,
            ),
            (
                "[   10.0] Out of memory: Killed process 99 (tail) total-vm:1kB",
                TroubleKind::OutOfMemory,
            ),
            (
                "[   10.0] Out of memory: Kill process 99 (tail) score 5 or sacrifice child",
                TroubleKind::OutOfMemory,
            ),
            (
                "[   10.0] BUG: kernel NULL pointer dereference, address: 0000000000000000",
                TroubleKind::KernelOops,
            ),
            (
                "[   10.0] general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP",
                TroubleKind::KernelOops,
            ),
            (
                "[   10.0] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [cat:77]",
                TroubleKind::Hang,
            ),
            (
                "[  300.0] INFO: task keel:77 blocked for more than 120 seconds.",
                TroubleKind::Hang,
            ),
            (
                "seaworthy-init: failed: can't read the manifest",
                TroubleKind::InitFailed,
            ),
        ] {
            assert_eq!(kind(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn a_guest_that_could_not_be_set_up_shows_why_and_nothing_else() {
        let console = read(
            "[    0.9] Run /init as init process\n[    1.0] random: crng init done\nseaworthy-init: failed: /dev/vda did not appear\n",
        );
        assert_eq!(
            console.trouble().unwrap().excerpt,
            "seaworthy-init: failed: /dev/vda did not appear"
        );
    }

    #[test]
    fn what_a_cell_may_cause_on_purpose_is_no_trouble() {
        for line in [
            "[    5.0] Memory cgroup out of memory: Killed process 99 (tail) total-vm:1kB",
            "[    5.0] traps: true[99] general protection fault ip:4 sp:7 error:0 in true[4000+1000]",
            "[    5.0] true[99]: segfault at 0 ip 0 sp 0 error 14",
            "[    5.0] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task=tail",
            "[    5.0] WARNING: CPU: 0 PID: 1 at kernel/x.c:1 x+0x1/0x2",
            "[    0.0] Command line: console=ttyS0 panic=-1",
            "seaworthy-init: no v1 controller memory: EINVAL",
            "echo Kernel panic - not syncing",
        ] {
            assert_eq!(kind(line), None, "{line}");
        }
    }

    #[test]
    fn the_excerpt_begins_before_the_trouble_and_holds_its_description() {
        let before: String = (0..40)
            .flat_map(|n| {
                [
                    "[    1.0] line ".to_owned(),
                    n.to_string(),
                    "\r\n".to_owned(),
                ]
            })
            .collect();
        let text = before + "[    2.0] Kernel panic - not syncing: Fatal exception\r\n";
        let mut console = read(&text);
        assert_eq!(console.progress(), Progress::Describing);
        console.push(b"[    2.0] CPU: 0 PID: 1\r\n[    2.0] ---[ end Kernel panic - not");
        assert_eq!(console.progress(), Progress::Describing);
        assert_eq!(console.push(b" syncing ]---\r\n"), Progress::Described);
        let excerpt = console.trouble().unwrap().excerpt;
        let lines: Vec<&str> = excerpt.lines().collect();
        assert_eq!(lines.len(), BEFORE + 3);
        assert_eq!(lines[0], "[    1.0] line 28");
        assert_eq!(
            lines[BEFORE + 2],
            "[    2.0] ---[ end Kernel panic - not syncing ]---"
        );
    }

    #[test]
    fn the_first_trouble_stands_whatever_follows_from_it() {
        let console = read(
            "[ 1.0] BUG: kernel NULL pointer dereference\n[ 1.0] Kernel panic - not syncing: Fatal exception\n",
        );
        let trouble = console.trouble().unwrap();
        assert_eq!(trouble.kind, TroubleKind::KernelOops);
        assert!(trouble.excerpt.contains("Fatal exception"));
    }

    proptest::proptest! {
        #[test]
        fn garbage_never_panics_and_is_not_hoarded(
            pieces in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..3000), 0..20),
        ) {
            let mut console = Console::default();
            for piece in &pieces {
                console.push(piece);
            }
            proptest::prop_assert!(console.tail().len() <= (TAIL + 1) * (MAX_LINE * 3 + 1));
        }
    }
}
