//! That somebody asked a container to end, so that its restart policy lets it rest: an empty file
//! `stopped` in its folder, which outlives a reboot.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::options::{Asked, RestartPolicy};
use super::store::Durability;
use super::{Container, Error};

const NAME: &str = "stopped";

impl Container {
    /// Notes that somebody asks it to end. Of use only to a container that would start again.
    pub(super) fn note_asked(&self) -> Result<(), Error> {
        if self.config().host.restart == RestartPolicy::No {
            return Ok(());
        }
        let path = self.folder().join(NAME);
        let note = || {
            File::create(&path)?;
            if self.durability() == Durability::Durable {
                File::open(self.folder())?.sync_all()?;
            }
            Ok::<_, io::Error>(())
        };
        note().map_err(Error::io("write", &path))
    }

    /// Whether somebody asked.
    pub(super) fn asked_to_end(&self) -> Asked {
        if self.folder().join(NAME).exists() {
            Asked::Yes
        } else {
            Asked::No
        }
    }

    /// Forgets it: somebody starts it.
    pub(super) fn forget_asked(&self) -> Result<(), Error> {
        let path = self.folder().join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Waits, unless and until somebody asks it to end.
    pub(super) fn wait_unless_asked(&self, delay: Duration) -> Result<Asked, Error> {
        let watch = || {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            // Of the folder itself, whatever it is called by then.
            inotify.add_watch(self.folder(), AddWatchFlags::IN_CREATE)?;
            Ok::<_, nix::Error>(inotify)
        };
        let inotify = watch().map_err(Error::io("watch", self.folder()))?;
        let watched = File::open(self.folder()).map_err(Error::io("open", self.folder()))?;
        let until = Instant::now() + delay;
        loop {
            if asked_in(&watched) {
                return Ok(Asked::Yes);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Asked::No);
            }
            let left = PollTimeout::try_from(left + Duration::from_millis(1));
            let mut polled = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut polled, left.unwrap_or(PollTimeout::MAX));
            drop(inotify.read_events());
        }
    }
}

fn asked_in(folder: &File) -> bool {
    nix::sys::stat::fstatat(folder, NAME, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
}
