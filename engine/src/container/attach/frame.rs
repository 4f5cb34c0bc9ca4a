//! What a monitor and whoever attaches say to each other: a message of a sequenced socket each, so
//! that none is ever seen in part. The first byte says what it is.

use crate::container::logs::Stream;
use crate::container::monitor::Refusal;

/// The longest message.
pub(super) const MAX: usize = 16 << 10;
/// The most bytes of a stream in one message.
pub(in crate::container) const PAYLOAD: usize = MAX - 1;

const INPUT: u8 = b'I';
const INPUT_END: u8 = b'E';
const SIZE: u8 = b'S';
const STDOUT: u8 = b'O';
const STDERR: u8 = b'R';
const EXIT: u8 = b'X';
const REFUSED: u8 = b'F';

/// Said to the monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::container) enum Request<'a> {
    /// For the container's standard input.
    Input(&'a [u8]),
    /// There is no more of it.
    InputEnd,
    /// The terminal has this size now.
    Size {
        /// Lines.
        rows: u16,
        /// Characters in each.
        columns: u16,
    },
}

/// Said by the monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::container) enum Notice<'a> {
    /// The container said this.
    Output(Stream, &'a [u8]),
    /// It has ended, with this code, and that is on record.
    Exit(u8),
    /// It could not be started.
    Refused(Refusal),
}

impl<'a> Request<'a> {
    pub(super) fn encode(self, into: &mut Vec<u8>) {
        into.clear();
        match self {
            Self::Input(bytes) => {
                into.push(INPUT);
                into.extend_from_slice(bytes);
            }
            Self::InputEnd => into.push(INPUT_END),
            Self::Size { rows, columns } => {
                into.push(SIZE);
                into.extend_from_slice(&rows.to_be_bytes());
                into.extend_from_slice(&columns.to_be_bytes());
            }
        }
    }

    /// `None`: from another version, or from something else.
    pub(super) fn decode(message: &'a [u8]) -> Option<Self> {
        match message {
            [INPUT, bytes @ ..] => Some(Self::Input(bytes)),
            [INPUT_END] => Some(Self::InputEnd),
            &[SIZE, a, b, c, d] => Some(Self::Size {
                rows: u16::from_be_bytes([a, b]),
                columns: u16::from_be_bytes([c, d]),
            }),
            _ => None,
        }
    }
}

impl<'a> Notice<'a> {
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        into.clear();
        match self {
            Self::Output(stream, bytes) => {
                into.push(match stream {
                    Stream::Stdout => STDOUT,
                    Stream::Stderr => STDERR,
                });
                into.extend_from_slice(bytes);
            }
            Self::Exit(code) => into.extend_from_slice(&[EXIT, *code]),
            Self::Refused(refusal) => {
                let text = refusal.message.as_bytes();
                into.extend_from_slice(&[REFUSED, refusal.code]);
                into.extend_from_slice(text.get(..PAYLOAD - 1).unwrap_or(text));
            }
        }
    }

    pub(super) fn decode(message: &'a [u8]) -> Option<Self> {
        match message {
            [STDOUT, bytes @ ..] => Some(Self::Output(Stream::Stdout, bytes)),
            [STDERR, bytes @ ..] => Some(Self::Output(Stream::Stderr, bytes)),
            &[EXIT, code] => Some(Self::Exit(code)),
            [REFUSED, code, text @ ..] => Some(Self::Refused(Refusal {
                code: *code,
                message: String::from_utf8_lossy(text).into_owned(),
            })),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let mut message = Vec::new();
        for request in [
            Request::Input(b"x"),
            Request::Input(b""),
            Request::InputEnd,
            Request::Size {
                rows: 33,
                columns: 770,
            },
        ] {
            request.encode(&mut message);
            assert_eq!(Request::decode(&message), Some(request));
        }
        for notice in [
            Notice::Output(Stream::Stdout, b"x"),
            Notice::Output(Stream::Stderr, b""),
            Notice::Exit(137),
            Notice::Refused(Refusal {
                code: 127,
                message: "no such program".into(),
            }),
        ] {
            notice.encode(&mut message);
            assert_eq!(Notice::decode(&message), Some(notice));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Request::decode(&bytes);
            drop(Notice::decode(&bytes));
        }
    }
}
