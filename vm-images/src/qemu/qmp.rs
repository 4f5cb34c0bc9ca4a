//! QMP, QEMU's control channel: JSON, an object a line. Events come between answers, which are
//! matched by id.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

/// The longest line that is taken, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// Why QEMU was not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The channel has ended.
    #[error("QEMU closed its control channel")]
    Closed,
    /// The channel failed.
    #[error("QEMU's control channel failed")]
    Io(#[source] io::Error),
    /// QEMU refuses.
    #[error("QEMU refuses `{command}`: {message}")]
    Refused {
        /// The command.
        command: String,
        /// Its reason.
        message: String,
    },
}

/// Something that happened in QEMU.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// What: `SHUTDOWN`, `STOP`, …
    pub event: String,
    /// More, by the kind of event.
    #[serde(default)]
    pub data: Value,
}

type Waiting = Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>;

/// A control channel.
#[derive(Debug)]
pub struct Qmp {
    writer: AsyncMutex<OwnedWriteHalf>,
    waiting: Arc<Waiting>,
    next_id: AtomicU64,
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<Value, String>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Qmp {
    /// Takes the channel over; what happens is sent to the second part of the pair, which ends
    /// when the channel does.
    pub fn new(stream: UnixStream) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (reader, writer) = stream.into_split();
        let (events, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(Waiting::default());
        tokio::spawn(read(reader, waiting.clone(), events));
        let qmp = Self {
            writer: AsyncMutex::new(writer),
            waiting,
            next_id: AtomicU64::new(1),
        };
        (qmp, receiver)
    }

    /// Says the words without which QEMU takes no commands. Events come only afterwards.
    pub async fn negotiate(&self) -> Result<(), QmpError> {
        self.execute("qmp_capabilities").await.map(drop)
    }

    /// Executes a command without arguments.
    pub async fn execute(&self, command: &str) -> Result<Value, QmpError> {
        self.execute_with(command, json!({})).await
    }

    /// Executes a command with `arguments`, an object.
    pub async fn execute_with(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        self.ask(command, arguments, None).await
    }

    /// Gives QEMU a descriptor, which commands then know under `name`.
    pub async fn give(&self, name: &str, fd: BorrowedFd<'_>) -> Result<(), QmpError> {
        let arguments = json!({ "fdname": name });
        self.ask("getfd", arguments, Some(fd)).await.map(drop)
    }

    async fn ask(
        &self,
        command: &str,
        arguments: Value,
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<Value, QmpError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&self.waiting).insert(id, answer);
        let request = json!({ "execute": command, "arguments": arguments, "id": id });
        let mut line = request.to_string();
        line.push('\n');
        let mut writer = self.writer.lock().await;
        let mut rest = line.as_bytes();
        if let Some(fd) = fd {
            let sent = send_with(writer.as_ref(), rest, fd)
                .await
                .map_err(QmpError::Io)?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        writer.write_all(rest).await.map_err(QmpError::Io)?;
        drop(writer);
        match answered.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(message)) => Err(QmpError::Refused {
                command: command.to_owned(),
                message,
            }),
            Err(_) => Err(QmpError::Closed),
        }
    }
}

/// Sends bytes, or the first of them, and a descriptor along (`unix(7)`).
async fn send_with(stream: &UnixStream, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<usize> {
    let send = || {
        let fds = [fd.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        let bytes = [IoSlice::new(bytes)];
        let flags = MsgFlags::MSG_NOSIGNAL;
        Ok(sendmsg::<()>(
            stream.as_raw_fd(),
            &bytes,
            &rights,
            flags,
            None,
        )?)
    };
    stream.async_io(Interest::WRITABLE, send).await
}

/// What QEMU sends.
#[derive(Debug, PartialEq)]
enum Incoming {
    Answer(u64, Result<Value, String>),
    Event(Event),
    /// The greeting, or something newer.
    Other,
}

fn parse(line: &[u8]) -> Incoming {
    let Ok(mut value) = serde_json::from_slice::<Value>(line) else {
        return Incoming::Other;
    };
    let id = value.get("id").and_then(Value::as_u64);
    let message = value.pointer("/error/desc").and_then(Value::as_str);
    match (id, message) {
        (Some(id), Some(message)) => Incoming::Answer(id, Err(message.to_owned())),
        (Some(id), None) => {
            let answer = value.get_mut("return").map_or(Value::Null, Value::take);
            Incoming::Answer(id, Ok(answer))
        }
        (None, _) => serde_json::from_value(value).map_or(Incoming::Other, Incoming::Event),
    }
}

async fn read(reader: OwnedReadHalf, waiting: Arc<Waiting>, events: mpsc::UnboundedSender<Event>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(count) if count > 0 && line.ends_with(b"\n") => {}
            Ok(_) | Err(_) => break,
        }
        match parse(&line) {
            Incoming::Answer(id, answer) => {
                if let Some(waiting) = lock(&waiting).remove(&id) {
                    // Who asked may have stopped to wait.
                    drop(waiting.send(answer));
                }
            }
            // Nobody may be interested.
            Incoming::Event(event) => drop(events.send(event)),
            Incoming::Other => {}
        }
    }
    lock(&waiting).clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_events_and_the_greeting_are_told_apart() {
        assert_eq!(parse(br#"{"QMP": {"version": {}}}"#), Incoming::Other);
        assert_eq!(parse(b"garbage"), Incoming::Other);
        assert_eq!(
            parse(br#"{"return": {"status": "running"}, "id": 7}"#),
            Incoming::Answer(7, Ok(json!({"status": "running"})))
        );
        assert_eq!(
            parse(br#"{"id": 8, "error": {"class": "GenericError", "desc": "no"}}"#),
            Incoming::Answer(8, Err("no".to_owned()))
        );
        let event = br#"{"timestamp": {"seconds": 1}, "event": "STOP"}"#;
        assert_eq!(
            parse(event),
            Incoming::Event(Event {
                event: "STOP".to_owned(),
                data: Value::Null
            })
        );
    }

    #[tokio::test]
    async fn an_answer_finds_its_question_between_events() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (qmp, mut events) = Qmp::new(ours);
        let (mut reader, mut writer) = theirs.into_split();
        let script = concat!(
            "{\"QMP\": {}}\n",
            "{\"event\": \"RESUME\"}\n",
            "{\"error\": {\"desc\": \"not yet\"}, \"id\": 2}\n",
            "{\"return\": 5, \"id\": 1}\n"
        );
        let (first, second) = tokio::join!(qmp.execute("a"), async {
            let second = qmp.execute("b");
            writer.write_all(script.as_bytes()).await.unwrap();
            second.await
        });
        assert_eq!(first.unwrap(), 5);
        insta::assert_snapshot!(second.unwrap_err(), @"QEMU refuses `b`: not yet");
        assert_eq!(events.recv().await.unwrap().event, "RESUME");
        drop(writer);
        let mut asked = String::new();
        drop(qmp);
        reader.read_to_string(&mut asked).await.unwrap();
        insta::assert_snapshot!(asked, @r#"
        {"arguments":{},"execute":"a","id":1}
        {"arguments":{},"execute":"b","id":2}
        "#);
    }

    #[tokio::test]
    async fn a_question_to_a_qemu_that_dies_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (qmp, mut events) = Qmp::new(ours);
        let (answer, ()) = tokio::join!(qmp.execute("stop"), async { drop(theirs) });
        assert!(
            matches!(answer, Err(QmpError::Closed | QmpError::Io(_))),
            "{answer:?}"
        );
        assert!(events.recv().await.is_none());
    }
}
