//! Stopping, killing and removing a group.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::group::Folders;
use super::{Cgroup, Error, tree};
use crate::runtime::requirement;
use crate::sys::signals;

/// How long the kernel gets to bring a group to rest.
const PATIENCE: Duration = Duration::from_secs(10);

/// Frozen or running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freezer {
    /// All tasks stopped.
    Frozen,
    /// All tasks run.
    Thawed,
}

impl Cgroup {
    /// Stops or resumes all tasks; returns when the kernel says that it is done.
    ///
    /// # Errors
    /// [`Error::Timeout`], and the group is thawed again, when a task does not come to rest.
    pub fn freeze(&self, to: Freezer) -> Result<(), Error> {
        let done = match &self.folders {
            Folders::Unified(folder) => freeze_unified(folder, to),
            Folders::Legacy(_) => match self.folder_of("freezer") {
                Some(folder) => freeze_legacy(folder, to),
                None => Err(requirement::controller("freezer").into()),
            },
        };
        if done.is_err() && to == Freezer::Frozen {
            // The first error is what matters.
            let _thawed = self.freeze(Freezer::Thawed);
        }
        done
    }

    /// Whether its tasks are stopped, or are to be. Without a freezer they never are.
    pub fn freezer(&self) -> Freezer {
        let (file, thawed) = match &self.folders {
            Folders::Unified(_) => ("cgroup.freeze", "0"),
            Folders::Legacy(_) => ("freezer.state", "THAWED"),
        };
        let state = self
            .folder_of("freezer")
            .and_then(|folder| tree::read(folder, file).ok());
        match state {
            Some(state) if state.trim() != thawed => Freezer::Frozen,
            _ => Freezer::Thawed,
        }
    }

    /// Kills every process in it, whatever they fork meanwhile. Does not wait for their end.
    pub fn kill_all(&self) -> Result<(), Error> {
        if let Folders::Unified(folder) = &self.folders {
            // Linux 5.14
            match tree::write(folder, "cgroup.kill", "1") {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                other => return other,
            }
        }
        // Frozen tasks cannot fork; without a freezer, repeat until none is left.
        if self.freeze(Freezer::Frozen).is_ok() {
            let killed = self.kill_listed();
            self.freeze(Freezer::Thawed)?;
            return killed.map(drop);
        }
        self.kill_repeatedly()
    }

    fn kill_repeatedly(&self) -> Result<(), Error> {
        let start = Instant::now();
        while self.kill_listed()? > 0 {
            if start.elapsed() > PATIENCE {
                let folder = self.tasks_folder().unwrap_or(Path::new("/sys/fs/cgroup"));
                return Err(timeout(folder, "empty"));
            }
            pause(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Kills those in it now; how many that were.
    fn kill_listed(&self) -> Result<usize, Error> {
        let pids = self.pids()?;
        for pid in &pids {
            // Ended meanwhile: just as well. Ids cannot be used again while their group is frozen.
            let _sent = signals::send(i32::try_from(*pid).unwrap_or_default(), libc::SIGKILL);
        }
        Ok(pids.len())
    }

    /// Removes it, sub-groups included. Fine when it is gone already; waits a moment for a dying
    /// process to leave.
    pub fn remove(&self) -> Result<(), Error> {
        for folder in self.all_folders() {
            remove(folder)?;
        }
        Ok(())
    }
}

fn freeze_legacy(folder: &Path, to: Freezer) -> Result<(), Error> {
    let (word, state) = match to {
        Freezer::Frozen => ("FROZEN", "frozen"),
        Freezer::Thawed => ("THAWED", "thawed"),
    };
    let start = Instant::now();
    for attempt in 1_u32.. {
        tree::write(folder, "freezer.state", word)?;
        if tree::read(folder, "freezer.state")?.trim() == word {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(timeout(folder, state));
        }
        // A task that waits for another, frozen one (vfork, ptrace) keeps the group FREEZING for
        // ever; letting them run for a moment helps (runc and crun do the same).
        if to == Freezer::Frozen && attempt % 50 == 0 {
            tree::write(folder, "freezer.state", "THAWED")?;
        }
        pause(Duration::from_millis(1));
    }
    Ok(())
}

fn freeze_unified(folder: &Path, to: Freezer) -> Result<(), Error> {
    let (value, line, state) = match to {
        Freezer::Frozen => ("1", "frozen 1", "frozen"),
        Freezer::Thawed => ("0", "frozen 0", "thawed"),
    };
    match tree::write(folder, "cgroup.freeze", value) {
        Err(Error::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound && folder.is_dir() =>
        {
            return Err(requirement::controller("freezer").into());
        }
        other => other?,
    }
    let start = Instant::now();
    let path = folder.join("cgroup.events");
    let events = fs::File::open(&path).map_err(|source| tree::failed("open", &path, source))?;
    loop {
        // The file must be read for the next change to be told.
        let mut text = [0; 256];
        let read = nix::sys::uio::pread(&events, &mut text, 0)
            .map_err(|errno| tree::failed("read", &path, errno.into()))?;
        let text = String::from_utf8_lossy(text.get(..read).unwrap_or_default()).into_owned();
        if text.lines().any(|found| found == line) {
            return Ok(());
        }
        let left = PATIENCE.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(timeout(folder, state));
        }
        let left = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
        let mut wait = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
        // An interruption only makes us look again.
        let _woken = poll(&mut wait, PollTimeout::from(left));
    }
}

fn timeout(folder: &Path, state: &'static str) -> Error {
    Error::Timeout {
        path: folder.to_owned(),
        state,
        seconds: PATIENCE.as_secs(),
    }
}

/// Waits where the kernel has no event to wait for.
fn pause(time: Duration) {
    let time = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
    let _interrupted = poll(&mut [], PollTimeout::from(time));
}

/// Removes a group and those below. The kernel says EBUSY until the last task is gone for good,
/// a moment after its parent could reap it.
fn remove(folder: &Path) -> Result<(), Error> {
    let start = Instant::now();
    let mut wait = Duration::from_millis(1);
    loop {
        let Err(error) = fs::remove_dir(folder) else {
            return Ok(());
        };
        match error.raw_os_error() {
            Some(libc::ENOENT) => return Ok(()),
            Some(libc::EBUSY | libc::ENOTEMPTY) if start.elapsed() < PATIENCE => {
                for child in tree::children(folder) {
                    remove(&child)?;
                }
                // The first try after the children is free.
                match fs::remove_dir(folder) {
                    Ok(()) => return Ok(()),
                    Err(_) => pause(wait),
                }
                wait = (wait * 2).min(Duration::from_millis(100));
            }
            _ => return Err(tree::failed("remove", folder, error)),
        }
    }
}
