//! Starting a container that was made before.

use std::time::Duration;

use nix::fcntl::FlockArg;

use super::store::Hold;
use super::{Container, Error, Interaction, Left, monitor};

impl Container {
    /// Starts it, new or ended, and leaves it to a monitor. One that runs is left alone.
    ///
    /// # Errors
    /// When it could not be started; its state says why then too.
    pub fn start(&mut self) -> Result<(), Error> {
        let Some(hold) = self.hold_to_start()? else {
            return Ok(());
        };
        monitor::spawn(self, hold, None)
    }

    /// Starts it and takes part in it, or only takes part in one that runs.
    ///
    /// # Errors
    /// Those of [`start`](Self::start) and [`attach`](Self::attach).
    pub fn start_and_attach(&mut self, interaction: Interaction) -> Result<Left, Error> {
        match self.hold_to_start()? {
            Some(hold) => self.start_attached(hold, interaction),
            None => self.attach(interaction),
        }
    }

    /// Ends it, if it runs, as [`stop`](Self::stop) does, and starts it.
    ///
    /// # Errors
    /// Those of both.
    pub fn restart(&mut self, grace: Option<Duration>) -> Result<(), Error> {
        self.stop(grace)?;
        self.start()
    }

    /// Takes the folder of a container that is to be started. `None`: it runs.
    fn hold_to_start(&mut self) -> Result<Option<Hold>, Error> {
        let hold = match Hold::try_take(self.folder())? {
            Some(hold) => hold,
            None if self.process().is_ok() => return Ok(None),
            // It is just being started, or its end recorded.
            None => match self.hold(FlockArg::LockExclusive)? {
                Some(hold) => hold,
                None => return Err(Error::NotFound(self.name().to_string())),
            },
        };
        self.refresh()?;
        // Its monitor was killed, and it runs on.
        let runs = self.process().is_ok();
        Ok((!runs).then_some(hold))
    }
}
