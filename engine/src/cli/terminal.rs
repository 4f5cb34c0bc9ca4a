//! The only code that prints: stdout is for the answer, stderr for everything else.

use std::io::{self, Write};

/// Writes the answer. A reader that has gone away (`keel … | head`) is no error.
///
/// # Errors
/// Whatever writing gave, but for a broken pipe.
pub fn answer(text: &str) -> io::Result<()> {
    answer_bytes(text.as_bytes())
}

/// Writes an answer that may not be text, such as a container's output.
///
/// # Errors
/// Whatever writing gave, but for a broken pipe.
pub fn answer_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Says something to the person who watches; nothing that a program should read.
pub fn message(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody is left to be told when even stderr is gone.
    drop(writeln!(stderr, "{text}"));
}
