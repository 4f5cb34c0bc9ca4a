//! The only code that prints: stdout is for the answer, stderr for everything else.

use std::io::{self, IsTerminal as _, Write};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

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

/// Standard output for an answer that is no text, unless somebody reads it.
///
/// # Errors
/// Standard output is a terminal.
pub fn for_bytes() -> Result<impl Write, Terminal> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        Err(Terminal)
    } else {
        Ok(stdout.lock())
    }
}

/// Bytes that a terminal would take for commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an archive is not written to a terminal: redirect it, or name a file")]
pub struct Terminal;

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

/// Whether a person watches what is said on standard error.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Writes a line that the next one takes the place of. Only for a terminal.
pub fn status(text: &str) {
    let mut stderr = io::stderr().lock();
    // Back to the start of the line, and what was on it is erased.
    drop(write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush()));
}

/// Whether what is typed is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It is.
    On,
    /// It is a secret.
    Off,
}

/// Asks whoever sits at the terminal for a line.
///
/// # Errors
/// Standard input is no terminal, or is closed.
pub fn ask(prompt: &str, echo: Echo) -> io::Result<String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(io::Error::other(
            "standard input is no terminal that could be asked: give the name by `--username` and the password by `--password-stdin`",
        ));
    }
    let mut stderr = io::stderr().lock();
    let mut line = String::new();
    let result = match echo {
        Echo::On => {
            write!(stderr, "{prompt}")?;
            stderr.flush()?;
            stdin.read_line(&mut line)
        }
        Echo::Off => {
            let shown = tcgetattr(&stdin)?;
            let mut hidden = shown.clone();
            // Without ISIG, as a signal would leave the terminal without an echo.
            hidden.local_flags &= !(LocalFlags::ECHO | LocalFlags::ISIG);
            // Before anybody is asked: what is typed then is hidden, and not flushed.
            tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden)?;
            let result = write!(stderr, "{prompt}")
                .and_then(|()| stderr.flush())
                .and_then(|()| stdin.read_line(&mut line));
            tcsetattr(&stdin, SetArg::TCSANOW, &shown)?;
            writeln!(stderr)?;
            result
        }
    };
    if result? == 0 || line.contains('\x03') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Says something to the person who watches; nothing that a program should read.
pub fn message(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody is left to be told when even stderr is gone.
    drop(writeln!(stderr, "{text}"));
}
