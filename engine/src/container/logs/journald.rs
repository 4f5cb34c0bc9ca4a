//! systemd's journal, by its native protocol: a message of fields, `NAME=VALUE` a line each.

use std::io;

use super::Stream;
use super::socket::Line;

const ERROR: &str = "3";
const INFO: &str = "6";

/// Sends a line with the container's fields.
pub(super) fn send(
    to: &mut Line,
    fields: &[(String, String)],
    stream: Stream,
    line: &[u8],
) -> io::Result<()> {
    to.send(&message(fields, stream, line))
}

fn message(fields: &[(String, String)], stream: Stream, line: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let priority = match stream {
        Stream::Stdout => INFO,
        Stream::Stderr => ERROR,
    };
    add(&mut message, "PRIORITY", priority.as_bytes());
    for (name, value) in fields {
        add(&mut message, name, value.as_bytes());
    }
    let whole = line.strip_suffix(b"\n");
    if whole.is_none() {
        add(&mut message, "CONTAINER_PARTIAL_MESSAGE", b"true");
    }
    add(&mut message, "MESSAGE", whole.unwrap_or(line));
    message
}

/// A value with line ends in it has its length before it, 64 bits, little-endian.
fn add(message: &mut Vec<u8>, name: &str, value: &[u8]) {
    message.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        message.push(b'\n');
        message.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        message.push(b'=');
    }
    message.extend_from_slice(value);
    message.push(b'\n');
}

/// The name of a field of a label or variable: the journal takes `A-Z`, `0-9` and `_`, and keeps
/// names that begin with `_` for itself.
pub(super) fn field_name(name: &str) -> String {
    let upper = name.chars().map(|c| {
        let c = c.to_ascii_uppercase();
        if c.is_ascii_alphanumeric() { c } else { '_' }
    });
    upper.collect::<String>().trim_start_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_lines_or_have_their_length_before_them() {
        let fields = [("CONTAINER_TAG".to_owned(), "a\nb".to_owned())];
        let text = message(&fields, Stream::Stderr, b"said\n");
        assert_eq!(
            text,
            b"PRIORITY=3\nCONTAINER_TAG\n\x03\0\0\0\0\0\0\0a\nb\nMESSAGE=said\n"
        );
        assert_eq!(field_name("com.example-a"), "COM_EXAMPLE_A");
        assert_eq!(field_name("_private"), "PRIVATE");
    }
}
