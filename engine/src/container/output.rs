//! Reading what a container said and what it changed.

use std::io;
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::logs::{LogReader, Record};
use super::state::Status;
use super::{Container, Error};
use crate::storage::Change;

impl Container {
    /// Opens its log.
    ///
    /// # Errors
    /// [`Error::NoLog`] for a container that has none.
    pub fn log(&self) -> Result<LogReader, Error> {
        let host = &self.config().host;
        if host.auto_remove && !host.detached {
            return Err(Error::NoLog(self.name().clone()));
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
            let runs = self.state().status != Status::Exited && self.process().is_ok();
            let is_there = folder.is_dir();
            while let Some(record) = log.next_record().map_err(failed)? {
                if !show(&record).map_err(failed)? {
                    return Ok(());
                }
            }
            if !runs || !is_there {
                return Ok(());
            }
            // A monitor that was killed says nothing more: look again now and then.
            let timeout = PollTimeout::from(1000_u16);
            drop(poll(
                &mut [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)],
                timeout,
            ));
            drop(inotify.read_events());
        }
    }

    /// What it changed in comparison with its image, sorted by path.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn changes(&self) -> Result<Vec<Change>, Error> {
        Ok(self.storage()?.driver().changes(&self.tree()?)?)
    }
}
