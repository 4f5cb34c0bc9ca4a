//! Starting a container that was made before.

use std::time::Duration;

use super::stop::pause;
use super::store::Hold;
use super::{Container, Containers, Error, Interaction, Left, monitor};

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
        self.start()?;
        self.tell("restart", &[]);
        Ok(())
    }

    /// Whether its restart policy promises it after a reboot. One that was never started has promised
    /// nothing yet.
    fn is_promised_after_boot(&self) -> bool {
        let policy = self.config().host.restart;
        !self.phase().is_live()
            && self.state().started.is_some()
            && policy.after_boot(self.asked_to_end())
    }

    /// Takes the folder of a container that is to be started. `None`: it runs.
    fn hold_to_start(&mut self) -> Result<Option<Hold>, Error> {
        let hold = loop {
            if !self.folder().is_dir() {
                return Err(Error::NotFound(self.name().to_string()));
            }
            if let Some(hold) = Hold::try_take(self.folder())? {
                break hold;
            }
            if self.phase().is_live() && (self.is_restarting() || self.process().is_ok()) {
                return Ok(None);
            }
            // It is just being started, or its end recorded.
            pause();
            self.refresh()?;
        };
        self.refresh()?;
        // Its monitor was killed, and it runs on.
        let runs = self.process().is_ok();
        if runs {
            return Ok(None);
        }
        self.forget_asked()?;
        Ok(Some(hold))
    }
}

impl Containers {
    /// The names of those that a reboot ended and restart policies promise, the oldest first: it
    /// may be what others need.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn promised_after_boot(&self) -> Result<Vec<String>, Error> {
        let all = self.list()?.into_iter().rev();
        let promised = all.filter(Container::is_promised_after_boot);
        Ok(promised
            .map(|container| container.name().to_string())
            .collect())
    }
}
