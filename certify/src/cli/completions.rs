//! `seaworthy completions`.

use super::{Answer, Failure};
use crate::terminal;

/// Print the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seaworthy completions bash > /etc/bash_completion.d/seaworthy")]
pub(super) struct Args {
    /// The shell that will read it
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "seaworthy", &mut script);
    terminal::answer(&String::from_utf8_lossy(&script))?;
    Ok(Answer::Yes)
}
