//! A program that runs on a machine.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::command::{Command, Input};
use super::connection::{Connection, Event, Stream, unexpected};
use crate::agent::error::AgentError;
use crate::agent::frame::{Kind, MAX_DATA};
use crate::agent::message::{Exit, Reply, Request, TerminalSize};

/// A piece of what a program wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// To its standard output, or its terminal.
    Output(Vec<u8>),
    /// To its standard error.
    Error(Vec<u8>),
}

/// A program that runs. Dropped before its end, it is killed with its process group.
///
/// A program whose output nobody reads stops when pipe and window are full: call
/// [`Running::next`] until it gives `None`, or one of the methods that do.
#[derive(Debug)]
pub struct Running {
    stream: Stream,
    program: String,
    pid: i32,
    input: Option<InputSink>,
    /// Writes the input that was known beforehand.
    feeder: Option<JoinHandle<()>>,
    exit: Option<Exit>,
}

/// All that a program wrote, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Running {
    pub(super) async fn start(
        connection: &Arc<Connection>,
        command: Command,
    ) -> Result<Self, AgentError> {
        let program = command.program().to_owned();
        let mut stream = connection.open(&Request::Exec(command.exec))?;
        let reply = stream.reply().await?;
        let Reply::Started { pid } = reply else {
            return Err(unexpected(&reply));
        };
        let sink = InputSink {
            connection: stream.connection().clone(),
            stream: stream.id(),
            credit: stream.credit().clone(),
        };
        let (input, feeder) = match command.input {
            Input::Null => (None, None),
            Input::Piped => (Some(sink), None),
            Input::Bytes(bytes) => {
                let feeder = tokio::spawn(async move {
                    // A program need not read all of its input.
                    let _written = sink.write(&bytes).await;
                    sink.close();
                });
                (None, Some(feeder))
            }
        };
        Ok(Self {
            stream,
            program,
            pid,
            input,
            feeder,
            exit: None,
        })
    }

    /// Its process id on the machine.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What writes to the program, once, when its input is [`Input::Piped`].
    pub fn take_input(&mut self) -> Option<InputSink> {
        self.input.take()
    }

    /// The next piece of output; `None` when the program has ended and all has been given.
    pub async fn next(&mut self) -> Result<Option<Chunk>, AgentError> {
        if self.exit.is_some() {
            return Ok(None);
        }
        loop {
            match self.stream.event().await? {
                // The end of one stream; the other one may go on.
                Event::Data(_, bytes) if bytes.is_empty() => {}
                Event::Data(Kind::Error, bytes) => return Ok(Some(Chunk::Error(bytes))),
                Event::Data(_, bytes) => return Ok(Some(Chunk::Output(bytes))),
                Event::Reply(Reply::Exited(exit)) => {
                    self.exit = Some(exit);
                    return Ok(None);
                }
                Event::Reply(other) => return Err(unexpected(&other)),
            }
        }
    }

    /// How it ended, once [`Running::next`] has given `None`.
    pub fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// Waits for the end; output that comes until then is thrown away.
    pub async fn wait(&mut self) -> Result<Exit, AgentError> {
        loop {
            if let (None, Some(exit)) = (self.next().await?, self.exit) {
                return Ok(exit);
            }
        }
    }

    /// Waits for the end and gives all output, of at most `limit` bytes.
    pub async fn capture(mut self, limit: usize) -> Result<Captured, AgentError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(chunk) = self.next().await? {
            match chunk {
                Chunk::Output(bytes) => stdout.extend_from_slice(&bytes),
                Chunk::Error(bytes) => stderr.extend_from_slice(&bytes),
            }
            if stdout.len() + stderr.len() > limit {
                return Err(AgentError::TooMuchOutput {
                    program: self.program.clone(),
                    limit,
                });
            }
        }
        let exit = self.wait().await?;
        Ok(Captured {
            exit,
            stdout,
            stderr,
        })
    }

    /// Sends a signal to the program's process group.
    pub fn signal(&self, signal: i32) -> Result<(), AgentError> {
        self.stream.request(&Request::Signal { signal })
    }

    /// Tells the program's terminal its new size.
    pub fn resize(&self, size: TerminalSize) -> Result<(), AgentError> {
        self.stream.request(&Request::Resize(size))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(feeder) = &self.feeder {
            feeder.abort();
        }
    }
}

/// What writes to a program. Dropped, the program sees the end of its input.
#[derive(Debug)]
pub struct InputSink {
    connection: Arc<Connection>,
    stream: u32,
    credit: Arc<Semaphore>,
}

/// The program has ended, so it reads no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the program reads no more input: it has ended")]
pub struct InputClosed;

impl InputSink {
    /// Writes `bytes`, waiting for room while the program does not read.
    pub async fn write(&self, bytes: &[u8]) -> Result<(), InputClosed> {
        for piece in bytes.chunks(MAX_DATA) {
            let size = u32::try_from(piece.len()).map_err(|_| InputClosed)?;
            let permit = self.credit.acquire_many(size).await;
            permit.map_err(|_| InputClosed)?.forget();
            self.connection.send_input(self.stream, piece);
        }
        Ok(())
    }

    /// Lets the program see the end of its input.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for InputSink {
    fn drop(&mut self) {
        self.connection.send_input(self.stream, &[]);
    }
}
