//! Attaching to containers: to one that runs, or to one that is about to start.

use std::io;

use super::session::{Interaction, Left, Session, TakeInput, own_size};
use super::socket::Connection;
use crate::container::monitor::{self, First};
use crate::container::store::Hold;
use crate::container::{Container, Error, supervise};

impl Container {
    /// Takes part in it until it ends or the detach keys are typed. Signals of this process are
    /// held back from here on.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::Paused`]; [`Error::NotAttachable`] when nobody holds its
    /// streams for others.
    pub fn attach(&self, interaction: Interaction) -> Result<Left, Error> {
        self.process()?;
        self.not_paused()?;
        supervise::hold_signals();
        let connection = Connection::to(self.folder()).map_err(|error| {
            let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
            if nobody.contains(&error.kind()) {
                Error::NotAttachable(self.name().clone())
            } else {
                Error::io("connect to", self.folder().join("attach.sock"))(error)
            }
        })?;
        self.take_part(connection, interaction)
    }

    /// Starts it, whose folder is held, and takes part in it from its first word.
    ///
    /// # Errors
    /// When it could not be started.
    pub(in crate::container) fn start_attached(
        &mut self,
        hold: Hold,
        interaction: Interaction,
    ) -> Result<Left, Error> {
        let pair = Connection::pair();
        let (ours, theirs) = pair.map_err(Error::io("make a socket for", self.folder()))?;
        let first = First {
            connection: theirs,
            size: own_size().ok(),
        };
        supervise::hold_signals();
        monitor::spawn(self, hold, Some(first))?;
        // Its process, to pass signals on to; it may have ended, and be gone, already.
        self.refresh()?;
        self.take_part(ours, interaction)
    }

    fn take_part(&self, connection: Connection, interaction: Interaction) -> Result<Left, Error> {
        let process = &self.config().process;
        let input = if process.open_stdin {
            interaction.input
        } else {
            TakeInput::No
        };
        let send = |signal| {
            // It may have ended just now, and then nobody misses the signal.
            if let Ok(process) = self.process() {
                let _ = supervise::send(process.pid, signal);
            }
        };
        let session = Session {
            connection,
            interaction: Interaction {
                input,
                ..interaction
            },
            tty: process.tty,
            send: &send,
        };
        self.tell("attach", &[]);
        let left = session.run()?;
        if left == Left::Detached {
            self.tell("detach", &[]);
        }
        Ok(left)
    }
}
