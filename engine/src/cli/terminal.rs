//! The only code that prints: stdout is for the answer, stderr for everything else.

use std::io::{self, IsTerminal as _, Write};

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

/// Writes a piece of an answer that goes on. A reader that has gone away is an error: nobody would
/// end us otherwise.
///
/// # Errors
/// Whatever writing gave.
pub fn show(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// A container's terminal that is to take what is typed at this one needs one here: what comes from
/// anything else has an end, which a terminal cannot pass on.
///
/// # Errors
/// Standard input is no terminal.
pub fn for_typing() -> Result<(), NoTerminal> {
    if io::stdin().is_terminal() {
        Ok(())
    } else {
        Err(NoTerminal)
    }
}

/// `-it` without a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the input device is not a terminal: leave out `-t`, or `-i`")]
pub struct NoTerminal;

/// Says something to the person who watches; nothing that a program should read.
pub fn message(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody is left to be told when even stderr is gone.
    drop(writeln!(stderr, "{text}"));
}
