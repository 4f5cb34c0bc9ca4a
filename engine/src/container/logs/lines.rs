//! Output, as it comes, becomes lines.

use super::{MAX_LINE, Stream};

/// Lines that have no end yet, of each stream.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: [Vec<u8>; 2],
}

impl Lines {
    /// Takes output, and gives the lines that are whole now. One that is too long is given in
    /// parts, all but the last without an end.
    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8]) -> Vec<Vec<u8>> {
        let begun = self.begun(stream);
        begun.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut from = 0;
        while let Some(rest) = begun.get(from..) {
            let length = match rest.iter().position(|&byte| byte == b'\n') {
                Some(at) if at < MAX_LINE => at + 1,
                _ if rest.len() > MAX_LINE => split_at_char(rest),
                _ => break,
            };
            lines.push(rest.get(..length).unwrap_or(rest).to_vec());
            from += length;
        }
        begun.drain(..from);
        lines
    }

    /// What was begun and will not be continued; empty when there is nothing.
    pub(super) fn rest(&mut self, stream: Stream) -> Vec<u8> {
        std::mem::take(self.begun(stream))
    }

    fn begun(&mut self, stream: Stream) -> &mut Vec<u8> {
        let [stdout, stderr] = &mut self.begun;
        match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        }
    }
}

/// Where to split a line that is too long: not inside a character, if it is text.
fn split_at_char(line: &[u8]) -> usize {
    let is_continuation = |at: &usize| line.get(*at).is_some_and(|byte| byte & 0xC0 == 0x80);
    let back = (0..4).map(|n| MAX_LINE - n);
    back.into_iter()
        .find(|at| !is_continuation(at))
        .unwrap_or(MAX_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_line_is_split_between_characters() {
        let mut lines = Lines::default();
        let line = format!("{}{}\n", "x".repeat(MAX_LINE - 1), "é".repeat(MAX_LINE));
        let parts = lines.take(Stream::Stdout, line.as_bytes());
        assert!(parts.len() > 2);
        let whole: String = parts
            .into_iter()
            .map(|part| String::from_utf8(part).unwrap())
            .collect();
        assert_eq!(whole, line);
    }
}
