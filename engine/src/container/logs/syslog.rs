//! The system's log: RFC 3164, RFC 5424, or as programs of this machine write it.

use std::io;

use jiff::Zoned;
use serde::{Deserialize, Serialize};

use super::Stream;
use super::socket::Line;
use crate::container::options::SyslogFormat;

/// How messages are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::container) struct Style {
    pub(super) facility: u8,
    pub(super) format: SyslogFormat,
    pub(super) tag: String,
    pub(super) hostname: String,
}

const ERROR: u8 = 3;
const INFO: u8 = 6;

impl Style {
    /// A message, without the end of its line.
    fn message(&self, stream: Stream, line: &[u8], now: &Zoned, pid: u32) -> Vec<u8> {
        let severity = match stream {
            Stream::Stdout => INFO,
            Stream::Stderr => ERROR,
        };
        let priority = self.facility * 8 + severity;
        let (tag, hostname) = (&self.tag, &self.hostname);
        let head = match self.format {
            SyslogFormat::Unix => {
                format!(
                    "<{priority}>{} {tag}[{pid}]: ",
                    now.strftime("%b %e %H:%M:%S")
                )
            }
            SyslogFormat::Rfc3164 => format!(
                "<{priority}>{} {hostname} {tag}[{pid}]: ",
                now.strftime("%b %e %H:%M:%S")
            ),
            SyslogFormat::Rfc5424 => format!(
                "<{priority}>1 {} {hostname} {tag} {pid} {tag} - ",
                now.strftime("%Y-%m-%dT%H:%M:%S%:z")
            ),
        };
        let mut message = head.into_bytes();
        message.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        message
    }

    pub(super) fn send(&self, to: &mut Line, stream: Stream, line: &[u8]) -> io::Result<()> {
        to.send(&self.message(stream, line, &Zoned::now(), std::process::id()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_as_each_format_has_them() {
        let now: Zoned = "2026-03-01T04:05:06+01:00[+01:00]".parse().unwrap();
        let message = |format, stream| {
            let style = Style {
                facility: 3,
                format,
                tag: "web".to_owned(),
                hostname: "host".to_owned(),
            };
            String::from_utf8(style.message(stream, b"said\n", &now, 7)).unwrap()
        };
        assert_eq!(
            message(SyslogFormat::Unix, Stream::Stdout),
            "<30>Mar  1 04:05:06 web[7]: said"
        );
        assert_eq!(
            message(SyslogFormat::Rfc3164, Stream::Stderr),
            "<27>Mar  1 04:05:06 host web[7]: said"
        );
        assert_eq!(
            message(SyslogFormat::Rfc5424, Stream::Stdout),
            "<30>1 2026-03-01T04:05:06+01:00 host web 7 web - said"
        );
    }
}
