//! Control groups as both programs take them, whatever the host has mounted.
//!
//! crun refuses the hybrid layout that some hosts have (v1 controllers, and an empty unified
//! hierarchy beside them). So both run in a private mount namespace that shows one kind only.

use std::fmt;
use std::io;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

const ROOT: &str = "/sys/fs/cgroup";
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// What stands at `/sys/fs/cgroup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A folder for each hierarchy of version 1, as the host has them.
    Legacy,
    /// The unified hierarchy, with the controllers that no hierarchy of version 1 has.
    Unified,
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "cgroup v1",
            Self::Unified => "cgroup v2",
        })
    }
}

impl View {
    /// Those that this host can show.
    ///
    /// # Errors
    /// `/sys/fs/cgroup` can't be examined.
    pub fn possible() -> io::Result<Vec<Self>> {
        let known = std::fs::read_to_string("/proc/filesystems")?;
        let mut views = Vec::new();
        if !is_unified(ROOT) {
            views.push(Self::Legacy);
        }
        if known.lines().any(|line| line.ends_with("\tcgroup2")) {
            views.push(Self::Unified);
        }
        Ok(views)
    }

    /// Does `work` in a thread that sees the control groups so, and so do the processes that it
    /// starts. Nobody else does.
    ///
    /// # Errors
    /// The view can't be made (it needs root), and those of `work`.
    pub fn within<T: Send>(self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A mount namespace belongs to a thread, and a new one is given up with it.
    fn enter(self) -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| {
            io::Error::other(format!("a mount namespace (run it as root): {errno}"))
        })?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
        match self {
            Self::Legacy if is_unified(UNIFIED) => umount2(UNIFIED, MntFlags::MNT_DETACH)?,
            Self::Unified if !is_unified(ROOT) => {
                // With all that is mounted below.
                umount2(ROOT, MntFlags::MNT_DETACH)?;
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
                mount(Some("cgroup2"), ROOT, Some("cgroup2"), flags, None::<&str>)?;
            }
            Self::Legacy | Self::Unified => {}
        }
        Ok(())
    }
}

fn is_unified(path: &str) -> bool {
    statfs(Path::new(path)).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC)
}
