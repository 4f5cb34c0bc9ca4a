//! Reading what a container said and what it changed.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::logs::{LogReader, Record};
use super::state::Status;
use super::store::Hold;
use super::{Container, Error};
use crate::storage::{Change, ChangeKind};

impl Container {
    /// Opens its log.
    ///
    /// # Errors
    /// [`Error::NoLog`] for a container that has none.
    pub fn log(&self) -> Result<LogReader, Error> {
        let config = self.config();
        if config.host.auto_remove && !config.has_monitor() {
            return Err(Error::NoLog(self.name().clone()));
        }
        let driver = config.host.log.driver;
        if !driver.is_readable() {
            return Err(Error::LogElsewhere {
                name: self.name().clone(),
                driver,
            });
        }
        let path = self.log_path();
        LogReader::open(&path).map_err(Error::io("read", path))
    }

    /// Shows each further line of its log until it ends, or `show` gives `false`.
    ///
    /// # Errors
    /// [`Error::Io`], also of `show`.
    pub fn follow_log(
        &mut self,
        log: &mut LogReader,
        mut show: impl FnMut(&Record) -> io::Result<bool>,
    ) -> Result<(), Error> {
        let folder = self.folder().to_owned();
        let failed = |source: io::Error| Error::io("follow", folder.clone())(source);
        // Both the log and the state change in the folder.
        let watch = || {
            let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
            let inotify = Inotify::init(flags)?;
            let events = AddWatchFlags::IN_MODIFY
                | AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_DELETE_SELF;
            inotify.add_watch(&folder, events)?;
            Ok::<_, io::Error>(inotify)
        };
        let inotify = match watch() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            inotify => inotify.map_err(failed)?,
        };
        loop {
            // First the state, then the log: what was said before the end is all there.
            self.refresh()?;
            let is_over = self.is_over()?;
            while let Some(record) = log.next_record().map_err(failed)? {
                if !show(&record).map_err(failed)? {
                    return Ok(());
                }
            }
            if is_over {
                return Ok(());
            }
            // A monitor that was killed says nothing more: look again now and then.
            let timeout = PollTimeout::from(1000_u16);
            let _ = poll(
                &mut [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)],
                timeout,
            );
            drop(inotify.read_events());
        }
    }

    /// Whether nothing more will be said: it has ended, or whoever made it died before starting it.
    fn is_over(&self) -> Result<bool, Error> {
        if !self.folder().is_dir() {
            return Ok(true);
        }
        match self.state().status {
            Status::Created => Ok(Hold::try_take(self.folder())?.is_some()),
            // Its end may be about to be recorded, and another start to follow.
            Status::Running => {
                Ok(self.process().is_err() && Hold::try_take(self.folder())?.is_some())
            }
            Status::Restarting => Ok(false),
            Status::Exited => Ok(true),
        }
    }

    /// Bytes of the files that it has made or changed.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn own_bytes(&self) -> Result<u64, Error> {
        Ok(self.storage()?.own_bytes(&self.tree()?)?)
    }

    /// What it changed in comparison with its image, sorted by path.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn changes(&self) -> Result<Vec<Change>, Error> {
        let changes = self.storage()?.driver().changes(&self.tree()?)?;
        Ok(without_places_of_mounts(changes))
    }
}

/// Made by the runtime in an image that lacks them, to mount something there: what the container
/// writes to these is not in its tree, and Docker does not show them either.
const PLACES: [&str; 6] = [
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
];

fn without_places_of_mounts(changes: Vec<Change>) -> Vec<Change> {
    let is_place = |change: &Change| {
        change.kind == ChangeKind::Added
            && PLACES.iter().any(|place| change.path == Path::new(place))
    };
    let (places, rest): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_place);
    // A folder that holds no other change is there only because something was made in it.
    let mut kept: Vec<Change> = Vec::new();
    for change in rest.into_iter().rev() {
        let holds =
            |other: &Change| other.path != change.path && other.path.starts_with(&change.path);
        let only_holds_places = change.kind != ChangeKind::Deleted
            && places.iter().any(holds)
            && !kept.iter().any(holds);
        if !only_holds_places {
            kept.push(change);
        }
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(paths: &[(ChangeKind, &str)]) -> Vec<Change> {
        let change = |&(kind, path): &(ChangeKind, &str)| Change {
            path: path.into(),
            kind,
        };
        paths.iter().map(change).collect()
    }

    #[test]
    fn only_what_the_container_did_is_shown() {
        use ChangeKind::{Added, Changed, Deleted};
        let shown = |paths| without_places_of_mounts(changes(paths));
        assert_eq!(
            shown(&[(Changed, "/etc"), (Added, "/etc/hosts"), (Added, "/proc")]),
            []
        );
        let own = [
            (Changed, "/etc"),
            (Added, "/etc/hosts"),
            (Added, "/etc/mine"),
        ];
        assert_eq!(
            shown(&own),
            changes(&[(Changed, "/etc"), (Added, "/etc/mine")])
        );
        let deleted = [(Changed, "/etc"), (Deleted, "/etc/hosts")];
        assert_eq!(shown(&deleted), changes(&deleted));
    }
}
