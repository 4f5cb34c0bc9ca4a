//! The server's end of the guest channel: one thread reads and dispatches, each operation has
//! a thread of its own, a command three more for its streams. Nothing here needs more than
//! Linux 3.8.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::mount::MsFlags;

use super::channel::{Allowance, Inbox, Item, ReceiveError, Received, Receiver, Sender};
use super::devices::{DEVICE_WITHIN, Devices};
use super::exec::Process;
use super::frame::{Frame, Kind};
use super::message::{Mount, Reply, Request};
use super::{DEAD_AFTER, exec, facts, files, modules, wake};

/// Operations that may be under way at once; what a client can make the server keep is this
/// times a window.
const MAX_OPERATIONS: usize = 64;

/// Stack of a server thread, in bytes: they hold no buffers on it.
pub(super) const STACK: usize = 256 * 1024;

/// Why serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client closed the channel.
    Closed,
    /// The client said nothing for [`DEAD_AFTER`].
    Silent,
    /// The client asked for it.
    PowerOff,
}

/// Why the channel can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nothing more can be read.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// What comes is not the protocol.
    #[error("the client does not keep to the protocol: {0}")]
    Protocol(String),
}

/// An operation under way, as the reader and the operation's threads share it.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) stream: u32,
    pub(super) sender: Arc<Sender>,
    /// What the client sends to it.
    pub(super) inbox: Inbox,
    /// What the client lets it send, as output and as error output.
    pub(super) output: Allowance,
    pub(super) error: Allowance,
    /// The program that it runs, if it runs one.
    pub(super) process: Process,
}

impl Operation {
    pub(super) fn reply(&self, reply: &Reply) {
        self.sender.reply(self.stream, reply);
    }

    /// Reports that `what` failed.
    pub(super) fn fail(&self, what: &str, error: &io::Error) {
        self.sender.refuse(
            self.stream,
            &format!("{what}: {error}"),
            error.raw_os_error(),
        );
    }

    /// Ends it: nobody wants its result.
    fn cancel(&self) {
        self.process.kill();
        self.inbox.close();
        self.output.close();
        self.error.close();
    }
}

type Operations = Arc<Mutex<HashMap<u32, Arc<Operation>>>>;

fn lock(operations: &Operations) -> MutexGuard<'_, HashMap<u32, Arc<Operation>>> {
    operations.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves one client until it goes, or asks for the end. All programs that it started are
/// killed before this returns.
pub fn serve(reader: OwnedFd, writer: OwnedFd) -> Result<End, ServeError> {
    let mut server = Server {
        sender: Arc::new(Sender::new(writer)),
        operations: Operations::default(),
    };
    let result = server.run(Receiver::new(reader));
    for operation in lock(&server.operations).values() {
        operation.cancel();
    }
    result
}

/// Serves the client at the other end of standard input and output: an ssh connection, or the
/// port that the init process found.
pub fn serve_stdio() -> Result<End, ServeError> {
    let copy = |stream: BorrowedFd<'_>| {
        stream
            .try_clone_to_owned()
            .map_err(|error| ServeError::Receive(ReceiveError::Io(error)))
    };
    serve(copy(io::stdin().as_fd())?, copy(io::stdout().as_fd())?)
}

struct Server {
    sender: Arc<Sender>,
    operations: Operations,
}

impl Server {
    fn run(&mut self, mut receiver: Receiver) -> Result<End, ServeError> {
        // Until the client has said something, it may not have started.
        let mut patience: Option<Duration> = None;
        loop {
            let frame = match receiver.receive(patience) {
                Ok(Received::Frame(frame)) => frame,
                Ok(Received::Closed) => return Ok(End::Closed),
                Ok(Received::Silent) => return Ok(End::Silent),
                Err(error) => return Err(error.into()),
            };
            patience = Some(DEAD_AFTER);
            if self.dispatch(frame)? == Next::End {
                return Ok(End::PowerOff);
            }
        }
    }

    fn dispatch(&mut self, frame: Frame) -> Result<Next, ServeError> {
        match frame.kind {
            Kind::Ping => self.sender.send(Kind::Pong, 0, &[]),
            Kind::Request => {
                let request = serde_json::from_slice(&frame.payload).map_err(|error| {
                    ServeError::Protocol(format!("unreadable request: {error}"))
                })?;
                return self.request(frame.stream, request);
            }
            Kind::Input => {
                let item = if frame.payload.is_empty() {
                    Item::End
                } else {
                    Item::Data(frame.payload)
                };
                self.deliver(frame.stream, item)?;
            }
            Kind::Credit => {
                let (kind, bytes) = frame
                    .as_credit()
                    .map_err(|error| ServeError::Protocol(error.to_string()))?;
                if let Some(operation) = lock(&self.operations).get(&frame.stream) {
                    match kind {
                        Kind::Output => operation.output.give(bytes),
                        Kind::Error => operation.error.give(bytes),
                        Kind::Request
                        | Kind::Reply
                        | Kind::Input
                        | Kind::Credit
                        | Kind::Ping
                        | Kind::Pong => {
                            return Err(ServeError::Protocol(format!("credit for {kind:?}")));
                        }
                    }
                }
            }
            Kind::Reply | Kind::Output | Kind::Error | Kind::Pong => {
                return Err(ServeError::Protocol(format!(
                    "a client sent {:?}",
                    frame.kind
                )));
            }
        }
        Ok(Next::Go)
    }

    /// Gives an operation what came for it. It may have ended already.
    fn deliver(&self, stream: u32, item: Item) -> Result<(), ServeError> {
        let operation = lock(&self.operations).get(&stream).cloned();
        match operation.map(|operation| operation.inbox.push(item)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(_overflow)) => Err(ServeError::Protocol(
                "more input than was allowed".to_owned(),
            )),
        }
    }

    fn request(&mut self, stream: u32, request: Request) -> Result<Next, ServeError> {
        let known = lock(&self.operations).get(&stream).cloned();
        match request {
            Request::Commit { sha256 } => self.deliver(stream, Item::Commit(sha256))?,
            Request::Signal { signal } => {
                if let Some(operation) = known {
                    operation.process.signal(signal);
                }
            }
            Request::Resize(size) => {
                if let Some(operation) = known {
                    operation.process.resize(size);
                }
            }
            Request::Cancel => {
                if let Some(operation) = known {
                    operation.cancel();
                }
            }
            Request::PowerOff => {
                nix::unistd::sync();
                self.sender.reply(stream, &Reply::Done);
                return Ok(Next::End);
            }
            Request::Hello { .. } => {
                let facts = facts::gather();
                self.sender.reply(stream, &Reply::Hello(facts));
            }
            Request::Put { path, mode } => {
                self.begin(stream, move |operation| files::put(operation, &path, mode))?;
            }
            Request::Get { path } => {
                self.begin(stream, move |operation| files::get(operation, &path))?;
            }
            Request::Exec(program) => {
                self.begin(stream, move |operation| exec::run(operation, &program))?;
            }
            Request::Mount(request) => {
                self.begin(stream, move |operation| match mount(&request) {
                    Ok(()) => operation.reply(&Reply::Done),
                    Err(error) => operation.fail(
                        &format!(
                            "can't mount {} ({}) on {}",
                            request.source, request.filesystem, request.target
                        ),
                        &error,
                    ),
                })?;
            }
            Request::Wake(request) => {
                self.begin(stream, move |operation| match wake::wake(&request) {
                    Ok(()) => operation.reply(&Reply::Done),
                    Err(error) => operation.fail("can't wake", &error),
                })?;
            }
            Request::LoadModule { path, parameters } => {
                self.begin(stream, move |operation| {
                    match modules::load(path.as_ref(), &parameters) {
                        Ok(_) => operation.reply(&Reply::Done),
                        Err(error) => operation.sender.refuse(
                            operation.stream,
                            &modules::with_causes(&error),
                            error.errno(),
                        ),
                    }
                })?;
            }
            Request::Sync => self.begin(stream, |operation| {
                nix::unistd::sync();
                operation.reply(&Reply::Done);
            })?,
        }
        Ok(Next::Go)
    }

    /// Starts an operation in a thread of its own.
    fn begin(
        &mut self,
        stream: u32,
        work: impl FnOnce(&Arc<Operation>) + Send + 'static,
    ) -> Result<(), ServeError> {
        let mut operations = lock(&self.operations);
        if operations.contains_key(&stream) {
            return Err(ServeError::Protocol(format!("stream {stream} is in use")));
        }
        if operations.len() >= MAX_OPERATIONS {
            let message = format!("more than {MAX_OPERATIONS} operations are under way");
            self.sender.refuse(stream, &message, None);
            return Ok(());
        }
        let operation = Arc::new(Operation {
            stream,
            sender: self.sender.clone(),
            inbox: Inbox::default(),
            output: Allowance::default(),
            error: Allowance::default(),
            process: Process::default(),
        });
        operations.insert(stream, operation.clone());
        drop(operations);
        let all = self.operations.clone();
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || {
            work(&operation);
            lock(&all).remove(&stream);
        });
        if let Err(error) = thread {
            lock(&self.operations).remove(&stream);
            let message = format!("can't start a thread: {error}");
            self.sender.refuse(stream, &message, error.raw_os_error());
        }
        Ok(())
    }
}

/// What to do after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    End,
}

/// Mounts a file system, on a device that may be still to come; makes the mount point.
pub(super) fn mount(request: &Mount) -> io::Result<()> {
    Devices::watch()
        .and_then(|mut devices| devices.wait_for_path(request.source.as_ref(), DEVICE_WITHIN))
        .map_err(io::Error::other)?;
    std::fs::create_dir_all(&request.target)?;
    nix::mount::mount(
        Some(request.source.as_str()),
        request.target.as_str(),
        Some(request.filesystem.as_str()),
        MsFlags::empty(),
        Some(request.options.as_str()).filter(|options| !options.is_empty()),
    )?;
    Ok(())
}
