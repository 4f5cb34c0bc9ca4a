//! `seaworthy man`.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap_mangen::Man;

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
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    if let Some(dir) = &args.dir {
        write(command, dir)
            .with_context(|| format!("can't write man pages into {}", dir.display()))?;
    } else {
        terminal::answer(&page(command)?)?;
    }
    Ok(Answer::Yes)
}

/// Writes the page of a command and those of its verbs.
fn write(command: clap::Command, dir: &Path) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write(verb.clone(), dir)?;
    }
    let file = dir.join(Man::new(command.clone()).get_filename());
    std::fs::write(file, page(command)?)
}

/// What follows the help of a verb by its first words, and the section of a page that it is.
const SECTIONS: [(&str, &str); 5] = [
    ("\n.SH EXTRA\nExamples:\n", "\n.SH EXAMPLES\n"),
    ("\n.SH EXTRA\nExample:\n", "\n.SH EXAMPLES\n"),
    ("\n.SH EXTRA\n", "\n.SH NOTES\n"),
    ("\nPolicies:\n", "\n.SH POLICIES\n"),
    ("\nExit codes: ", "\n.SH EXIT STATUS\n"),
];

/// A command's page, with the usage that its help shows.
fn page(mut command: clap::Command) -> io::Result<String> {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    let mut page = Vec::new();
    Man::new(command.override_usage(usage)).render(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for (words, section) in SECTIONS {
        page = page.replace(words, section);
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_the_usual_sections_and_the_usage_of_the_help() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = super::super::command();
        command.build();
        write(command, dir.path()).unwrap();
        let page = std::fs::read_to_string(dir.path().join("seaworthy-verify.1")).unwrap();
        for line in [".SH EXAMPLES", ".SH EXIT STATUS"] {
            assert!(page.lines().any(|found| found == line), "{line}: {page}");
        }
        assert!(page.contains("verify\\fR [OPTIONS] <FILE>"), "{page}");
        assert!(!page.contains("EXTRA"), "{page}");
        assert!(dir.path().join("seaworthy-image-fetch.1").exists());
    }
}
