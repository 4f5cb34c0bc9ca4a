//! The only code that prints: stdout is for the answer, stderr for everything else.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::filter::LevelFilter;

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

/// Tells on stderr what the libraries note by the way: warnings, or what `SEAWORTHY_LOG` asks for
/// (`off`, `error`, `warn`, `info`, `debug` or `trace`; anything else counts as `warn`).
pub fn show_log() {
    let level = std::env::var("SEAWORTHY_LOG").ok();
    let level = level.and_then(|name| name.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::WARN))
        .with_writer(io::stderr)
        .with_ansi(is_interactive())
        .with_target(false)
        .without_time()
        .init();
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
