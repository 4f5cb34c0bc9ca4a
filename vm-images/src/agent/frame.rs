//! The frames of the guest channel: a 4-byte little-endian payload length, a 1-byte kind, a
//! 4-byte little-endian stream id, the payload.
//!
//! Control payloads are JSON ([`super::message`]), streams are raw bytes. Everything that
//! arrives is foreign: the length is checked before anything is kept, so that a decoder never
//! holds more than one frame of the largest size and one read.

/// Bytes before the payload.
pub const HEADER: usize = 9;

/// The largest payload, in bytes. It bounds what one side can make the other keep; a request
/// with its arguments and environment has to fit.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// The largest piece of a stream that is sent in one frame, in bytes: small enough for the
/// frames of other streams, and for answers to pings, to pass between.
pub const MAX_DATA: usize = 64 * 1024;

/// What the receiver of a stream grants its sender before the first credit, in bytes.
pub const WINDOW: usize = 256 * 1024;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// JSON, client to server: begins an operation, whose id is the stream's, or goes on with it.
    Request = 1,
    /// JSON, server to client: what became of the operation.
    Reply = 2,
    /// Raw bytes to the operation (a command's input, a file put). Empty: the end.
    Input = 3,
    /// Raw bytes from the operation (a command's output, a file got). Empty: the end.
    Output = 4,
    /// Raw bytes of a command's standard error. Empty: the end.
    Error = 5,
    /// Lets the other side send more of one stream: its kind (1 byte), bytes (4, little-endian).
    Credit = 6,
    /// Asks whether the server lives.
    Ping = 7,
    /// It does.
    Pong = 8,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Request,
            2 => Self::Reply,
            3 => Self::Input,
            4 => Self::Output,
            5 => Self::Error,
            6 => Self::Credit,
            7 => Self::Ping,
            8 => Self::Pong,
            _ => return None,
        })
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: Kind,
    /// The operation that it belongs to; 0 for pings.
    pub stream: u32,
    /// At most [`MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
}

/// Bytes that are no frame. The channel can't be used further: where the next frame begins is
/// unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is over the limit.
    #[error(
        "the peer announced a frame of {length} bytes, more than the {MAX_PAYLOAD} allowed: it does not speak this protocol, or something else writes to the channel"
    )]
    TooLong {
        /// What the header says.
        length: u32,
    },
    /// The kind is none that this version knows.
    #[error(
        "the peer sent a frame of unknown kind {kind}: it does not speak this protocol, or something else writes to the channel"
    )]
    UnknownKind {
        /// What the header says.
        kind: u8,
    },
    /// A credit frame of the wrong shape.
    #[error("the peer sent a malformed credit frame")]
    MalformedCredit,
}

impl Frame {
    /// A frame; `payload` must not be longer than [`MAX_PAYLOAD`].
    pub fn new(kind: Kind, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            stream,
            payload: payload.into(),
        }
    }

    /// A frame that lets the peer send `bytes` more of `kind` on `stream`.
    pub fn credit(stream: u32, kind: Kind, bytes: usize) -> Self {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut payload = vec![kind as u8];
        payload.extend_from_slice(&bytes.to_le_bytes());
        Self::new(Kind::Credit, stream, payload)
    }

    /// What a credit frame grants.
    pub fn as_credit(&self) -> Result<(Kind, usize), FrameError> {
        let &[kind, a, b, c, d] = self.payload.as_slice() else {
            return Err(FrameError::MalformedCredit);
        };
        let kind = Kind::from_byte(kind).ok_or(FrameError::MalformedCredit)?;
        let bytes = u32::from_le_bytes([a, b, c, d]);
        Ok((kind, usize::try_from(bytes).unwrap_or(usize::MAX)))
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.kind, self.stream, &self.payload)
    }
}

/// The bytes on the wire of a frame whose payload is borrowed.
pub fn encode(kind: Kind, stream: u32, payload: &[u8]) -> Vec<u8> {
    debug_assert!(payload.len() <= MAX_PAYLOAD, "checked by every sender");
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.push(kind as u8);
    bytes.extend_from_slice(&stream.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Takes bytes as they arrive, gives whole frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// How much of the buffer's front has been given out.
    taken: usize,
}

impl Decoder {
    /// Adds what has been read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one. To be called until it gives `None`.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let &[l0, l1, l2, l3, kind, s0, s1, s2, s3] = header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size > MAX_PAYLOAD {
            return Err(FrameError::TooLong { length });
        }
        let kind = Kind::from_byte(kind).ok_or(FrameError::UnknownKind { kind })?;
        let Some(payload) = rest.get(..size) else {
            return Ok(None);
        };
        let frame = Frame::new(kind, u32::from_le_bytes([s0, s1, s2, s3]), payload);
        self.taken += HEADER + size;
        Ok(Some(frame))
    }

    /// How many bytes are kept.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind() -> impl Strategy<Value = Kind> {
        (1_u8..=8).prop_map(|byte| Kind::from_byte(byte).unwrap())
    }

    fn frame() -> impl Strategy<Value = Frame> {
        (
            kind(),
            any::<u32>(),
            proptest::collection::vec(any::<u8>(), 0..300),
        )
            .prop_map(|(kind, stream, payload)| Frame::new(kind, stream, payload))
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded_however_the_bytes_are_cut(
            frames in proptest::collection::vec(frame(), 0..8),
            cut in 1_usize..64,
        ) {
            let wire: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
            let mut decoder = Decoder::default();
            let mut decoded = Vec::new();
            for piece in wire.chunks(cut) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    decoded.push(frame);
                }
            }
            prop_assert_eq!(decoded, frames);
            prop_assert_eq!(decoder.pending(), 0);
        }

        #[test]
        fn garbage_never_panics_and_never_makes_the_decoder_keep_more_than_a_frame(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20),
        ) {
            let mut decoder = Decoder::default();
            'pieces: for piece in pieces {
                decoder.push(&piece);
                loop {
                    match decoder.next_frame() {
                        Ok(Some(frame)) => prop_assert!(frame.payload.len() <= MAX_PAYLOAD),
                        Ok(None) => break,
                        Err(_) => break 'pieces,
                    }
                }
                prop_assert!(decoder.pending() <= HEADER + MAX_PAYLOAD + 200);
            }
        }

        #[test]
        fn a_credit_says_what_it_grants(stream: u32, kind in kind(), bytes: u32) {
            let bytes = usize::try_from(bytes).unwrap();
            prop_assert_eq!(Frame::credit(stream, kind, bytes).as_credit(), Ok((kind, bytes)));
        }
    }

    #[test]
    fn an_announced_length_over_the_limit_is_refused_before_its_payload_arrives() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0]);
        assert_eq!(
            decoder.next_frame(),
            Err(FrameError::TooLong {
                length: 0x7fff_ffff
            })
        );
    }

    #[test]
    fn the_wire_format_is_the_documented_one() {
        let frame = Frame::new(Kind::Output, 0x0102_0304, *b"hi");
        assert_eq!(
            frame.encode(),
            [2, 0, 0, 0, 4, 4, 3, 2, 1, b'h', b'i'].as_slice()
        );
    }
}
