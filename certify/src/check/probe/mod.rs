//! Trying it out on the running system: what works decides over what a configuration says.
//!
//! Everything is tried in a thread of its own, in a mount namespace of its own: whatever it
//! mounts ends with it, and nothing of it is seen outside.

mod cgroup;
mod filesystem;
mod namespace;
mod presence;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use matrix::requirement::RequirementId;
use matrix::support::Probe;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// What was tried out, by requirement.
pub(super) type Findings = BTreeMap<RequirementId, Probe>;

/// Tries out everything that can be tried without leaving a trace.
pub(super) fn all() -> Findings {
    let in_scratch = std::thread::spawn(|| {
        let mut findings = Findings::new();
        let scratch = enter_scratch();
        filesystem::probe(&mut findings, scratch);
        cgroup::probe(&mut findings, scratch);
        namespace::probe(&mut findings);
        findings
    });
    // A probe that panics has found out nothing; the configuration decides in its place.
    let mut findings = in_scratch.join().unwrap_or_default();
    presence::probe(&mut findings);
    findings
}

/// Where the thread has a tmpfs of its own.
const SCRATCH: &str = "/tmp";

/// A fresh folder to mount something on.
fn mount_point(name: &str) -> std::io::Result<PathBuf> {
    let folder = Path::new(SCRATCH).join(name);
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// Whether this thread has a mount namespace of its own, in which it may mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scratch {
    Ready,
    /// Without the privilege, only what the kernel says of itself can be read.
    Refused(Errno),
}

fn enter_scratch() -> Scratch {
    let entered = unshare(CloneFlags::CLONE_NEWNS).and_then(|()| {
        // Nothing that is mounted here may reach the namespace that this one was copied from.
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )?;
        mount(
            Some("seaworthy"),
            SCRATCH,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=1m"),
        )
    });
    match entered {
        Ok(()) => Scratch::Ready,
        Err(errno) => Scratch::Refused(errno),
    }
}

/// Notes what was found on the requirement `id`.
fn note(findings: &mut Findings, id: &str, probe: Probe) {
    // The ids are constants of this module; a test holds them against the catalogue.
    if let Ok(id) = id.parse() {
        findings.insert(id, probe);
    }
}

fn works(how: impl Into<String>) -> Probe {
    Probe::Works { how: how.into() }
}

fn fails(why: impl Into<String>) -> Probe {
    Probe::Fails { why: why.into() }
}

fn not_loaded(why: impl Into<String>) -> Probe {
    Probe::NotLoaded { why: why.into() }
}

fn undecided(why: impl Into<String>) -> Probe {
    Probe::Undecided { why: why.into() }
}

#[cfg(test)]
mod tests {
    use matrix::requirement::Catalogue;

    use super::*;

    #[test]
    fn every_probe_answers_for_a_requirement_of_the_catalogue() {
        let catalogue = Catalogue::built_in().unwrap();
        let findings = all();
        let unknown: Vec<_> = findings
            .keys()
            .filter(|id| catalogue.get(id.as_str()).is_none())
            .collect();
        assert!(unknown.is_empty(), "no requirement is called {unknown:?}");
        assert!(findings.len() > 20, "only {} probes", findings.len());
    }

    #[test]
    fn probing_leaves_no_mount_behind() {
        let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let before = mounts();
        drop(all());
        assert_eq!(mounts(), before);
    }
}
