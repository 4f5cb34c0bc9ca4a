//! The only code that prints: stdout is for the answer, stderr for everything else.

use std::io::{self, IsTerminal, Write};

/// Writes the answer. A reader that has gone away (`seaworthy … | head`) is no error.
pub fn answer(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
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

/// Whether progress may be drawn and redrawn.
pub fn is_interactive() -> bool {
    io::stderr().is_terminal()
}

/// The part of the terminal where progress is drawn; none where it may not be.
pub fn progress() -> Option<indicatif::MultiProgress> {
    is_interactive().then(indicatif::MultiProgress::new)
}

/// Whether the answer may carry colour: only on a terminal, and never against `NO_COLOR`.
pub fn has_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
