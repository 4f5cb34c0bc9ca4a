//! The harness's own programs, as they were when the run began.
//!
//! What a run says of them is said of these bytes, and machines are made to its very end. So
//! their files are held open, and what a build puts in their place meanwhile is another's.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Breakage;
use crate::certificate::evidence;
use crate::guest_tool;
use crate::run::facts::ProgramFacts;

/// `seaworthy`, and the guest tool if it lies beside it.
#[derive(Debug)]
pub struct Programs {
    seaworthy: Program,
    guest_tool: Option<Program>,
}

/// A program of the harness can't be had.
#[derive(Debug, thiserror::Error)]
#[error("can't read {}, which the machines are to run", path.display())]
pub struct ProgramError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

#[derive(Debug)]
struct Program {
    path: PathBuf,
    file: File,
    stamp: Stamp,
    facts: ProgramFacts,
}

/// Which file it is, and whether somebody wrote to it: device, inode, length, time of change.
type Stamp = (u64, u64, u64, (i64, i64));

impl Programs {
    /// This very program.
    ///
    /// # Errors
    /// It can't be read.
    pub fn running() -> Result<Self, ProgramError> {
        let path = PathBuf::from("/proc/self/exe");
        let path = std::env::current_exe().map_err(|source| ProgramError { path, source })?;
        Self::open(path, Path::new("/proc/self/exe"))
    }

    /// The `seaworthy` at `path`.
    ///
    /// # Errors
    /// It can't be read.
    pub fn at(path: &Path) -> Result<Self, ProgramError> {
        Self::open(path.to_owned(), path)
    }

    fn open(path: PathBuf, seaworthy: &Path) -> Result<Self, ProgramError> {
        let guest_tool = guest_tool::beside(&path)
            .map(|tool| Program::open(guest_tool::PROGRAM, tool.clone(), &tool))
            .transpose()?;
        Ok(Self {
            seaworthy: Program::open("seaworthy", path, seaworthy)?,
            guest_tool,
        })
    }

    /// What `run.json` says of them.
    pub fn facts(&self) -> Vec<ProgramFacts> {
        self.all().map(|program| program.facts.clone()).collect()
    }

    /// Where programs on this machine find `seaworthy`, and beside it the tool.
    pub(super) fn path(&self) -> &Path {
        &self.seaworthy.path
    }

    /// Where this process finds `seaworthy`, whatever happens to its path.
    pub fn seaworthy(&self) -> PathBuf {
        self.seaworthy.held()
    }

    /// Where this process finds the tool.
    pub(super) fn guest_tool(&self) -> Option<PathBuf> {
        self.guest_tool.as_ref().map(Program::held)
    }

    /// Sees that nobody has written to the files that are held.
    pub(super) fn are_as_held(&self) -> Result<(), Breakage> {
        self.are_same(|program| program.file.metadata())
    }

    /// Sees that their paths still lead to the files that are held.
    pub(super) fn are_in_place(&self) -> Result<(), Breakage> {
        self.are_same(|program| fs::metadata(&program.path))
    }

    fn are_same(&self, now: fn(&Program) -> io::Result<Metadata>) -> Result<(), Breakage> {
        let is_same =
            |program: &Program| now(program).is_ok_and(|now| stamp(&now) == program.stamp);
        match self.all().find(|program| !is_same(program)) {
            None => Ok(()),
            Some(Program { path, facts, .. }) => {
                let detail = format!(
                    "{} is no longer the {} with SHA-256 {} that the run began with: was it built anew meanwhile?",
                    path.display(),
                    facts.name,
                    facts.sha256,
                );
                Err(Breakage::new("other-harness", detail))
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Program> {
        [Some(&self.seaworthy), self.guest_tool.as_ref()]
            .into_iter()
            .flatten()
    }
}

impl Program {
    fn open(name: &str, path: PathBuf, file: &Path) -> Result<Self, ProgramError> {
        let read = || {
            let file = File::open(file)?;
            let stamp = stamp(&file.metadata()?);
            let digest = evidence::digest(&held(&file))?;
            Ok((file, stamp, digest.sha256))
        };
        match read() {
            Ok((file, stamp, sha256)) => Ok(Self {
                path,
                file,
                stamp,
                facts: ProgramFacts {
                    name: name.to_owned(),
                    sha256,
                },
            }),
            Err(source) => Err(ProgramError { path, source }),
        }
    }

    fn held(&self) -> PathBuf {
        held(&self.file)
    }
}

/// A path by which this process opens that very file anew, from its beginning.
fn held(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn stamp(file: &Metadata) -> Stamp {
    let changed = (file.mtime(), file.mtime_nsec());
    (file.dev(), file.ino(), file.len(), changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_built_anew_during_a_run_is_not_the_runs() {
        let folder = tempfile::tempdir().unwrap();
        let seaworthy = folder.path().join("seaworthy");
        let tool = folder.path().join(guest_tool::PROGRAM);
        fs::write(&seaworthy, "old").unwrap();
        fs::write(&tool, "old tool").unwrap();
        let programs = Programs::at(&seaworthy).unwrap();
        assert_eq!(programs.facts().len(), 2);
        assert_eq!(programs.are_in_place(), Ok(()));

        let new = folder.path().join("new");
        fs::write(&new, "new").unwrap();
        fs::rename(&new, &seaworthy).unwrap();

        assert_eq!(fs::read_to_string(programs.seaworthy()).unwrap(), "old");
        assert_eq!(programs.are_as_held(), Ok(()));
        let why = programs.are_in_place().unwrap_err();
        assert_eq!(why.kind, "other-harness");

        // Not replaced, but written to: what is held has changed too.
        fs::write(&tool, "new guest tool").unwrap();
        let why = programs.are_as_held().unwrap_err().detail;
        assert!(why.starts_with(tool.to_str().unwrap()), "{why}");
    }
}
