//! This machine as a target.
//!
//! The agent's server runs in a thread, at the other end of a socket pair: what is tested here
//! is the code that runs in a guest.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::{self, JoinHandle};

use matrix::axis::TargetKind;

use super::{Promise, Target};
use crate::agent::client::{Client, Command, Running};
use crate::agent::message::Facts;
use crate::agent::{AgentError, server};
use crate::qemu::Acceleration;

/// This machine. When it has been dropped, programs that ran on it are killed.
#[derive(Debug)]
pub struct Host {
    client: Client,
    facts: Facts,
    acceleration: Acceleration,
    _agent: Agent,
}

/// The agent in its thread. Dropping it ends it, and waits until it has killed its programs.
#[derive(Debug)]
struct Agent {
    client: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // The client's tasks may hold on to the socket for a while yet. An error means that it is
        // closed already.
        let _closed = self.client.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Why this machine can't be a target.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The agent can't be started.
    #[error("can't start the agent in this process")]
    Start(#[source] io::Error),
    /// The agent does not answer.
    #[error("this process's own agent does not answer")]
    Agent(#[source] AgentError),
}

impl Host {
    /// Starts the agent. Must be called within a tokio runtime.
    pub async fn start() -> Result<Self, HostError> {
        let (ours, theirs) = UnixStream::pair().map_err(HostError::Start)?;
        let reader = OwnedFd::from(theirs.try_clone().map_err(HostError::Start)?);
        let serve = move || {
            // It ends when the client closes the socket, and there is nobody to tell.
            let _end = server::serve(reader, OwnedFd::from(theirs));
        };
        let mut agent = Agent {
            client: ours.try_clone().map_err(HostError::Start)?,
            thread: None,
        };
        let thread = thread::Builder::new().name("agent".to_owned()).spawn(serve);
        agent.thread = Some(thread.map_err(HostError::Start)?);
        ours.set_nonblocking(true).map_err(HostError::Start)?;
        let ours = tokio::net::UnixStream::from_std(ours).map_err(HostError::Start)?;
        let (reader, writer) = ours.into_split();
        let client = Client::new(reader, writer, None);
        let facts = client.hello().await.map_err(HostError::Agent)?;
        Ok(Self {
            client,
            facts,
            acceleration: Acceleration::none(),
            _agent: agent,
        })
    }
}

impl Target for Host {
    fn kind(&self) -> TargetKind {
        TargetKind::Host
    }

    fn acceleration(&self) -> &Acceleration {
        &self.acceleration
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn exec(&self, command: Command) -> Promise<'_, Running> {
        Box::pin(self.client.exec(command))
    }

    fn put<'a>(&'a self, from: &'a Path, to: &'a str, mode: u32) -> Promise<'a, ()> {
        Box::pin(self.client.put(from, to, mode))
    }

    fn get<'a>(&'a self, from: &'a str, to: &'a Path) -> Promise<'a, ()> {
        Box::pin(self.client.get(from, to))
    }

    /// Ends the agent; this machine, of course, stays.
    fn power_off(self: Box<Self>) -> Promise<'static, ()> {
        Box::pin(async move { self.client.power_off().await })
    }
}
