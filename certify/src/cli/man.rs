//! `seaworthy man`.

use std::path::PathBuf;

use anyhow::Context;

use super::{Answer, Failure};
use crate::terminal;

/// Print the man page, or write one page per verb into a folder
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  seaworthy man | man -l -\n  seaworthy man --dir /usr/local/share/man/man1"
)]
pub(super) struct Args {
    /// Write `seaworthy.1`, `seaworthy-certify.1`, … into this folder, which must exist
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    if let Some(dir) = &args.dir {
        clap_mangen::generate_to(super::command(), dir)
            .with_context(|| format!("can't write man pages into {}", dir.display()))?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(super::command()).render(&mut page)?;
        terminal::answer(&String::from_utf8_lossy(&page))?;
    }
    Ok(Answer::Yes)
}
