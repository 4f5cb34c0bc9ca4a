//! The client's end of the guest channel: async, for many machines at once.

mod command;
mod connection;
mod running;
mod transfer;

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::error::{AgentError, Lost};
use super::message::{Facts, Mount, PROTOCOL, Reply, Request, Wake};
use crate::trouble::Trouble;
use connection::{Connection, Tasks};

pub use command::{Command, Input};
pub use running::{Captured, Chunk, InputSink, Running};

/// A connection to an agent. Clones share it; it ends with the last one.
#[derive(Debug, Clone)]
pub struct Client {
    connection: Arc<Connection>,
    /// Ends the connection's tasks with the last clone.
    _tasks: Arc<Tasks>,
}

impl Client {
    /// Takes a connection over. Must be called within a tokio runtime.
    ///
    /// Nothing is waited for: requests are answered when the peer has started. When the
    /// connection is lost, `trouble` is asked for the reason.
    pub fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        trouble: Option<watch::Receiver<Option<Trouble>>>,
    ) -> Self {
        let (connection, tasks) = Connection::start(reader, writer, trouble);
        Self {
            connection,
            _tasks: Arc::new(tasks),
        }
    }

    /// Asks the machine what it is: the first thing to do with a connection.
    pub async fn hello(&self) -> Result<Facts, AgentError> {
        let mut stream = self
            .connection
            .open(&Request::Hello { protocol: PROTOCOL })?;
        let reply = stream.reply().await?;
        let Reply::Hello(facts) = reply else {
            return Err(connection::unexpected(&reply));
        };
        if facts.protocol == PROTOCOL {
            Ok(facts)
        } else {
            Err(AgentError::Lost(Arc::new(Lost::Version {
                theirs: facts.protocol,
                ours: PROTOCOL,
            })))
        }
    }

    /// Starts a program.
    pub async fn exec(&self, command: Command) -> Result<Running, AgentError> {
        Running::start(&self.connection, command).await
    }

    /// Copies the local file `from` to the machine's `to`, with these permission bits.
    pub async fn put(&self, from: &Path, to: &str, mode: u32) -> Result<(), AgentError> {
        transfer::put(&self.connection, from, to, mode).await
    }

    /// Copies the machine's file `from` to the local path `to`; nothing appears there unless
    /// its digest is right.
    pub async fn get(&self, from: &str, to: &Path) -> Result<(), AgentError> {
        transfer::get(&self.connection, from, to).await
    }

    /// Mounts a file system on the machine.
    pub async fn mount(&self, mount: Mount) -> Result<(), AgentError> {
        self.simply(&Request::Mount(mount)).await
    }

    /// Loads the kernel module in the machine's file `path`.
    pub async fn load_module(&self, path: &str, parameters: &str) -> Result<(), AgentError> {
        self.simply(&Request::LoadModule {
            path: path.to_owned(),
            parameters: parameters.to_owned(),
        })
        .await
    }

    /// Has a restored machine go on as one of its own.
    pub async fn wake(&self, wake: Wake) -> Result<(), AgentError> {
        self.simply(&Request::Wake(wake)).await
    }

    /// Has the machine write everything to its disks.
    pub async fn sync(&self) -> Result<(), AgentError> {
        self.simply(&Request::Sync).await
    }

    /// Has the machine power itself off. The answer comes before it does.
    pub async fn power_off(&self) -> Result<(), AgentError> {
        self.simply(&Request::PowerOff).await
    }

    /// An operation that gives nothing back.
    async fn simply(&self, request: &Request) -> Result<(), AgentError> {
        self.connection.open(request)?.done().await
    }
}
