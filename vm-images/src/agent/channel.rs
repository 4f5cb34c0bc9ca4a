//! The server's end of the channel: blocking, and bounded in all that it keeps.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::frame::{Decoder, Frame, FrameError, Kind, MAX_DATA, MAX_PAYLOAD, WINDOW, encode};
use super::message::{Refusal, Reply};

/// Locks; what these locks protect is never left half changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came from the client.
#[derive(Debug)]
pub(super) enum Received {
    /// A frame.
    Frame(Frame),
    /// The client has closed the channel.
    Closed,
    /// Nothing came for the time allowed.
    Silent,
}

/// Why nothing more can be received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The transport failed.
    #[error("can't read from the channel")]
    Io(#[source] io::Error),
    /// What came is no frame.
    #[error("the channel is out of step")]
    Frame(#[source] FrameError),
}

/// Reads frames.
#[derive(Debug)]
pub(super) struct Receiver {
    file: File,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Receiver {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self {
            file: File::from(fd),
            decoder: Decoder::default(),
            buffer: vec![0; MAX_DATA],
        }
    }

    /// The next frame, waiting at most `patience` for each of its bytes (for ever: `None`).
    pub(super) fn receive(&mut self, patience: Option<Duration>) -> Result<Received, ReceiveError> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(ReceiveError::Frame)? {
                return Ok(Received::Frame(frame));
            }
            if !readable_within(&self.file, patience).map_err(ReceiveError::Io)? {
                return Ok(Received::Silent);
            }
            match self.file.read(&mut self.buffer) {
                Ok(0) => return Ok(Received::Closed),
                Ok(count) => self
                    .decoder
                    .push(self.buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReceiveError::Io(error)),
            }
        }
    }
}

/// Waits for something to read, or the end. `false`: nothing came within `patience`.
fn readable_within(fd: &impl AsFd, patience: Option<Duration>) -> io::Result<bool> {
    let timeout = patience.map_or(PollTimeout::NONE, |patience| {
        PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)
    });
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, timeout) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes frames, whole ones at a time. When the client has gone, what is sent is lost: the
/// receiver notices the end and ends everything.
#[derive(Debug)]
pub(super) struct Sender(Mutex<File>);

impl Sender {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self(Mutex::new(File::from(fd)))
    }

    pub(super) fn send(&self, kind: Kind, stream: u32, payload: &[u8]) {
        let bytes = encode(kind, stream, payload);
        let _lost = lock(&self.0).write_all(&bytes);
    }

    pub(super) fn reply(&self, stream: u32, reply: &Reply) {
        let json = match serde_json::to_vec(reply) {
            Ok(json) if json.len() <= MAX_PAYLOAD => json,
            // The types can always be encoded, and only a refusal's text has no bound.
            Ok(_) | Err(_) => return self.refuse(stream, "the answer is too long", None),
        };
        self.send(Kind::Reply, stream, &json);
    }

    pub(super) fn refuse(&self, stream: u32, message: &str, errno: Option<i32>) {
        let message = message.chars().take(4096).collect();
        self.reply(stream, &Reply::Failed(Refusal { message, errno }));
    }
}

/// What the client still lets a stream send.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Bytes left; `None` when nobody wants any more.
    left: Mutex<Option<usize>>,
    changed: Condvar,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left: Mutex::new(Some(WINDOW)),
            changed: Condvar::new(),
        }
    }
}

impl Allowance {
    /// Waits until something may be sent; how much, at most `wanted`. `None`: nobody wants any.
    pub(super) fn take(&self, wanted: usize) -> Option<usize> {
        let mut left = lock(&self.left);
        loop {
            match left.as_mut() {
                None => return None,
                Some(0) => {
                    left = self
                        .changed
                        .wait(left)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Some(bytes) => {
                    let taken = wanted.min(*bytes);
                    *bytes -= taken;
                    return Some(taken);
                }
            }
        }
    }

    /// Gives back what was taken and not sent, or what the client has granted.
    pub(super) fn give(&self, bytes: usize) {
        if let Some(left) = lock(&self.left).as_mut() {
            *left = left.saturating_add(bytes).min(WINDOW);
        }
        self.changed.notify_all();
    }

    /// Nobody wants any more.
    pub(super) fn close(&self) {
        *lock(&self.left) = None;
        self.changed.notify_all();
    }
}

/// What a client sends to an operation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Bytes.
    Data(Vec<u8>),
    /// That was all.
    End,
    /// Commit what was sent: its digest.
    Commit(String),
}

/// More items than a full window, an end and a commit need.
const MAX_ITEMS: usize = 2 * WINDOW / MAX_DATA + 8;

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    closed: bool,
}

/// What a client has sent to an operation and the operation has not yet taken.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// A client that sends more than it was allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl Inbox {
    /// Adds what has come. The operation may have stopped to take anything: that is no error.
    pub(super) fn push(&self, item: Item) -> Result<(), Overflow> {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Ok(());
        }
        if let Item::Data(bytes) = &item {
            queue.bytes += bytes.len();
        }
        // With small pieces joined, the window is what bounds the items that hold data.
        if queue.bytes > WINDOW || queue.items.len() > MAX_ITEMS {
            return Err(Overflow);
        }
        if let (Some(Item::Data(last)), Item::Data(bytes)) = (queue.items.back_mut(), &item) {
            if last.len() + bytes.len() <= MAX_DATA {
                last.extend_from_slice(bytes);
                self.changed.notify_all();
                return Ok(());
            }
        }
        queue.items.push_back(item);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for what comes next. `None`: the operation is cancelled.
    pub(super) fn pop(&self) -> Option<Item> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.closed {
                return None;
            }
            if let Some(item) = queue.items.pop_front() {
                if let Item::Data(bytes) = &item {
                    queue.bytes -= bytes.len();
                }
                return Some(item);
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing will be taken any more.
    pub(super) fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        queue.items.clear();
        queue.bytes = 0;
        self.changed.notify_all();
    }
}
