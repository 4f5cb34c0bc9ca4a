//! The connection itself: a task that reads, a task that writes, and the streams between them.
//!
//! The reader never waits for a consumer: what arrives is put into the stream's queue, whose
//! length is bounded by the credit that the consumer has granted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use crate::agent::error::{AgentError, Lost};
use crate::agent::frame::{Decoder, Frame, Kind, MAX_DATA, MAX_PAYLOAD, WINDOW, encode};
use crate::agent::message::{Reply, Request};
use crate::agent::{DEAD_AFTER, PING_EVERY};
use crate::trouble::Trouble;

/// How long the reason is waited for when a connection breaks: QEMU's end and the last lines
/// of a console arrive by other ways.
const REASON_WITHIN: Duration = Duration::from_secs(3);

/// What arrives on a stream.
#[derive(Debug)]
pub(super) enum Event {
    Reply(Reply),
    Data(Kind, Vec<u8>),
}

/// The reader's side of a stream.
#[derive(Debug)]
struct Slot {
    events: UnboundedSender<Event>,
    /// Bytes of input that the peer will still take.
    credit: Arc<Semaphore>,
    /// Bytes of output and of error output that the peer may still send.
    output_window: usize,
    error_window: usize,
}

impl Slot {
    fn window(&mut self, kind: Kind) -> Option<&mut usize> {
        match kind {
            Kind::Output => Some(&mut self.output_window),
            Kind::Error => Some(&mut self.error_window),
            Kind::Request | Kind::Reply | Kind::Input | Kind::Credit | Kind::Ping | Kind::Pong => {
                None
            }
        }
    }
}

/// What the tasks and the streams share.
#[derive(Debug)]
pub(super) struct Connection {
    outgoing: UnboundedSender<Vec<u8>>,
    slots: Mutex<HashMap<u32, Slot>>,
    next_id: AtomicU32,
    /// Whether the peer has ever said something: before that, it is still starting.
    heard: AtomicBool,
    lost: watch::Sender<Option<Arc<Lost>>>,
}

/// Ends the connection when dropped.
#[derive(Debug)]
pub(super) struct Tasks {
    connection: Arc<Connection>,
    handles: [JoinHandle<()>; 2],
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.handles.iter().for_each(JoinHandle::abort);
        self.connection.lose(Lost::Ended);
    }
}

/// A reply that does not belong to the request.
pub(super) fn unexpected(reply: &Reply) -> AgentError {
    AgentError::Lost(Arc::new(Lost::Protocol(format!(
        "unexpected answer {reply:?}"
    ))))
}

impl Connection {
    pub(super) fn start(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        trouble: Option<watch::Receiver<Option<Trouble>>>,
    ) -> (Arc<Self>, Tasks) {
        let (outgoing, queue) = unbounded_channel();
        let connection = Arc::new(Self {
            outgoing,
            slots: Mutex::default(),
            next_id: AtomicU32::new(1),
            heard: AtomicBool::new(false),
            lost: watch::Sender::new(None),
        });
        let read = tokio::spawn(connection.clone().read(reader, trouble));
        let write = tokio::spawn(connection.clone().write(writer, queue));
        let tasks = Tasks {
            connection: connection.clone(),
            handles: [read, write],
        };
        (connection, tasks)
    }

    /// Begins an operation.
    pub(super) fn open(self: &Arc<Self>, request: &Request) -> Result<Stream, AgentError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (events, queue) = unbounded_channel();
        let credit = Arc::new(Semaphore::new(WINDOW));
        let slot = Slot {
            events,
            credit: credit.clone(),
            output_window: WINDOW,
            error_window: WINDOW,
        };
        // Before the loss is looked at, so that a loss between the two finds the slot.
        self.slots().insert(id, slot);
        if let Some(lost) = self.lost.borrow().clone() {
            self.slots().remove(&id);
            return Err(AgentError::Lost(lost));
        }
        let stream = Stream {
            connection: self.clone(),
            id,
            events: queue,
            credit,
            ended: false,
        };
        stream.request(request)?;
        Ok(stream)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<u32, Slot>> {
        // A panic while it was held can't have left the map half changed.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, kind: Kind, stream: u32, payload: &[u8]) {
        // Fails only when the writer has ended, and then the loss is reported to all readers.
        drop(self.outgoing.send(encode(kind, stream, payload)));
    }

    /// Sends a piece of input; `bytes` have been taken from the stream's credit.
    pub(super) fn send_input(&self, stream: u32, bytes: &[u8]) {
        self.send(Kind::Input, stream, bytes);
    }

    /// Ends everything for `reason`; the first reason stands.
    fn lose(&self, reason: Lost) {
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            if first {
                *lost = Some(Arc::new(reason));
            }
            first
        });
        for (_, slot) in self.slots().drain() {
            slot.credit.close();
        }
    }

    /// Why the connection was lost.
    fn reason(&self) -> AgentError {
        let reason = self.lost.borrow().clone();
        AgentError::Lost(reason.unwrap_or_else(|| Arc::new(Lost::Closed)))
    }

    async fn read(
        self: Arc<Self>,
        mut reader: impl AsyncRead + Send + Unpin + 'static,
        mut trouble: Option<watch::Receiver<Option<Trouble>>>,
    ) {
        let reason = tokio::select! {
            reason = self.receive(&mut reader) => reason,
            trouble = befalls(&mut trouble) => Lost::Machine(trouble),
        };
        let reason = match (reason, trouble) {
            (
                reason @ (Lost::Closed | Lost::Io(_) | Lost::Silent { .. }),
                mut trouble @ Some(_),
            ) => match timeout(REASON_WITHIN, befalls(&mut trouble)).await {
                Ok(trouble) => Lost::Machine(trouble),
                Err(_) => reason,
            },
            (reason, _) => reason,
        };
        self.lose(reason);
    }

    /// Receives until that is no longer possible.
    async fn receive(&self, reader: &mut (impl AsyncRead + Unpin)) -> Lost {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; MAX_DATA];
        loop {
            let read = reader.read(&mut buffer);
            let count = if self.heard.load(Ordering::Relaxed) {
                match timeout_at(Instant::now() + DEAD_AFTER, read).await {
                    Ok(count) => count,
                    Err(_) => {
                        return Lost::Silent {
                            seconds: DEAD_AFTER.as_secs(),
                        };
                    }
                }
            } else {
                read.await
            };
            let count = match count {
                Ok(0) => return Lost::Closed,
                Ok(count) => count,
                Err(error) => return Lost::Io(error),
            };
            self.heard.store(true, Ordering::Relaxed);
            decoder.push(buffer.get(..count).unwrap_or_default());
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => {
                        if let Err(reason) = self.dispatch(frame) {
                            return reason;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return Lost::Frame(error),
                }
            }
        }
    }

    fn dispatch(&self, frame: Frame) -> Result<(), Lost> {
        let mut slots = self.slots();
        // The peer may still send to a stream that this side has cancelled.
        let Some(slot) = slots.get_mut(&frame.stream) else {
            return Ok(());
        };
        match frame.kind {
            Kind::Reply => {
                let reply: Reply = serde_json::from_slice(&frame.payload)
                    .map_err(|error| Lost::Protocol(format!("unreadable answer: {error}")))?;
                if matches!(reply, Reply::Exited(_) | Reply::Failed(_)) {
                    slot.credit.close();
                }
                // The consumer may have gone just now.
                drop(slot.events.send(Event::Reply(reply)));
            }
            kind @ (Kind::Output | Kind::Error) => {
                let size = frame.payload.len();
                let within = slot
                    .window(kind)
                    .and_then(|left| left.checked_sub(size).map(|rest| *left = rest));
                if within.is_none() {
                    return Err(Lost::Protocol("more output than was allowed".to_owned()));
                }
                drop(slot.events.send(Event::Data(kind, frame.payload)));
            }
            Kind::Credit => {
                let (kind, bytes) = frame.as_credit().map_err(Lost::Frame)?;
                // What the peer has already taken is all that it can grant again.
                if kind != Kind::Input || slot.credit.available_permits() + bytes > WINDOW {
                    return Err(Lost::Protocol("credit beyond the window".to_owned()));
                }
                slot.credit.add_permits(bytes);
            }
            Kind::Request | Kind::Input | Kind::Ping => {
                return Err(Lost::Protocol(format!("a server sent {:?}", frame.kind)));
            }
            Kind::Pong => {}
        }
        Ok(())
    }

    async fn write(
        self: Arc<Self>,
        mut writer: impl AsyncWrite + Send + Unpin + 'static,
        mut queue: UnboundedReceiver<Vec<u8>>,
    ) {
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let bytes = tokio::select! {
                bytes = queue.recv() => match bytes {
                    Some(bytes) => bytes,
                    None => return,
                },
                _ = ping.tick() => {
                    if !self.heard.load(Ordering::Relaxed) {
                        continue;
                    }
                    encode(Kind::Ping, 0, &[])
                }
            };
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                // The reader learns of it too, and of the reason.
                return;
            }
        }
    }
}

/// Waits for trouble; for ever when there is nobody to report any.
async fn befalls(trouble: &mut Option<watch::Receiver<Option<Trouble>>>) -> Trouble {
    if let Some(receiver) = trouble {
        if let Ok(trouble) = receiver.wait_for(Option::is_some).await {
            if let Some(trouble) = trouble.clone() {
                return trouble;
            }
        }
    }
    std::future::pending().await
}

/// An operation under way. Dropped before its end, it is cancelled.
#[derive(Debug)]
pub(super) struct Stream {
    connection: Arc<Connection>,
    id: u32,
    events: UnboundedReceiver<Event>,
    credit: Arc<Semaphore>,
    ended: bool,
}

impl Stream {
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(super) fn credit(&self) -> &Arc<Semaphore> {
        &self.credit
    }

    /// Sends a request on this stream.
    pub(super) fn request(&self, request: &Request) -> Result<(), AgentError> {
        // The types have no maps with keys that JSON can't hold, the only way for this to fail.
        let json = serde_json::to_vec(request).map_err(|error| AgentError::Local {
            operation: "encode",
            path: "request".into(),
            source: error.into(),
        })?;
        if json.len() > MAX_PAYLOAD {
            return Err(AgentError::TooLong {
                bytes: json.len(),
                limit: MAX_PAYLOAD,
            });
        }
        self.connection.send(Kind::Request, self.id, &json);
        Ok(())
    }

    /// What comes next.
    pub(super) async fn event(&mut self) -> Result<Event, AgentError> {
        let Some(event) = self.events.recv().await else {
            self.ended = true;
            return Err(self.connection.reason());
        };
        match &event {
            Event::Reply(Reply::Failed(refusal)) => {
                self.ended = true;
                return Err(AgentError::Refused(refusal.clone()));
            }
            Event::Reply(
                Reply::Hello(_) | Reply::Done | Reply::Digest { .. } | Reply::Exited(_),
            ) => self.ended = true,
            Event::Reply(Reply::File { .. } | Reply::Started { .. }) => {}
            Event::Data(kind, bytes) => {
                let bytes = bytes.len();
                self.consumed(*kind, bytes);
            }
        }
        Ok(event)
    }

    /// The next answer; data is not expected.
    pub(super) async fn reply(&mut self) -> Result<Reply, AgentError> {
        match self.event().await? {
            Event::Reply(reply) => Ok(reply),
            Event::Data(..) => Err(AgentError::Lost(Arc::new(Lost::Protocol(
                "data instead of an answer".to_owned(),
            )))),
        }
    }

    /// The answer of an operation that gives nothing back.
    pub(super) async fn done(&mut self) -> Result<(), AgentError> {
        let reply = self.reply().await?;
        if reply == Reply::Done {
            Ok(())
        } else {
            Err(unexpected(&reply))
        }
    }

    /// Gives credit back: only now is there room again.
    fn consumed(&self, kind: Kind, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if let Some(left) = self
            .connection
            .slots()
            .get_mut(&self.id)
            .and_then(|slot| slot.window(kind))
        {
            *left += bytes;
        }
        let credit = Frame::credit(self.id, kind, bytes);
        self.connection.send(credit.kind, self.id, &credit.payload);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.slots().remove(&self.id);
        self.credit.close();
        if !self.ended {
            // Can't be too long, and if the connection is gone the peer knows.
            drop(self.request(&Request::Cancel));
        }
    }
}
