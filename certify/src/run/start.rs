//! The beginning of a run: a fresh folder, or one to go on with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use matrix::event::Entry;

use super::facts::RunFacts;
use super::folder::{FolderError, name, read_run};
use crate::durable;
use crate::journal::{JournalError, Writer};

/// Whether a run goes on where an earlier one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// It goes on, if there is one.
    Yes,
    /// It starts anew; what an earlier one left is removed.
    No,
}

/// A run that has begun.
#[derive(Debug)]
pub struct Begun {
    /// What was fixed: for a resumed run, what was fixed then.
    pub run: RunFacts,
    /// What happened so far.
    pub journal: Vec<Entry>,
    /// Where it goes on.
    pub writer: Writer,
}

/// Why a run can't begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder is somebody else's.
    #[error("{} is not empty and not a run folder: give another `--out`", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{} can't be {verb}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The earlier run can't be read.
    #[error("the earlier run can't be resumed: start anew without `--resume`")]
    Earlier(#[source] FolderError),
    /// The journal can't be used.
    #[error("the journal can't be used")]
    Journal(#[source] JournalError),
    /// The earlier run was another.
    #[error("the run in {} has another {what} ({was}, now {is}): give the same again, or start anew without `--resume`", path.display())]
    Other {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What it was.
        was: String,
        /// What it would be.
        is: String,
    },
}

/// What a run leaves at the top of its folder, journal aside.
const LEFT: [&str; 5] = [
    name::RUN,
    name::RESULTS,
    name::CERTIFICATE,
    name::CELLS,
    name::REPORT,
];

/// Begins the run that `facts` describe in the folder at `path`, or goes on with it. A run that
/// is there and not gone on with is moved aside: it may be somebody's only certificate.
///
/// # Errors
/// The folder is not a run's, another process uses it, or the run to go on with is another.
pub fn begin(
    path: &Path,
    facts: RunFacts,
    resume: Resume,
    clock: fn() -> u64,
) -> Result<Begun, StartError> {
    make_folder(path)?;
    // The lock on the journal is the lock on the folder, so it comes first.
    let (mut writer, journal) =
        Writer::open(&path.join(name::JOURNAL), clock).map_err(StartError::Journal)?;
    if resume == Resume::Yes && path.join(name::RUN).exists() {
        let run = read_run(path).map_err(StartError::Earlier)?;
        compare(path, &run, &facts)?;
        // They are made anew at the end, from all that happened.
        for name in [name::RESULTS, name::CERTIFICATE, name::REPORT] {
            remove(&path.join(name))?;
        }
        return Ok(Begun {
            run,
            journal: journal.entries,
            writer,
        });
    }
    if path.join(name::RUN).exists() {
        move_aside(path)?;
        make_folder(path)?;
        // The lock was on the journal that has moved; this one is the new folder's.
        writer = Writer::open(&path.join(name::JOURNAL), clock)
            .map_err(StartError::Journal)?
            .0;
    }
    for name in LEFT {
        remove(&path.join(name))?;
    }
    writer.clear().map_err(StartError::Journal)?;
    let file = path.join(name::RUN);
    durable::write_json(&file, &facts).map_err(|source| StartError::Io {
        path: file,
        verb: "written",
        source,
    })?;
    Ok(Begun {
        run: facts,
        journal: Vec::new(),
        writer,
    })
}

/// Refuses a folder that holds anything but an earlier run; it need not be there.
///
/// # Errors
/// It is no folder, another's, or can't be read.
pub fn check_folder(path: &Path) -> Result<(), StartError> {
    let is_empty = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => false,
        Err(source) => return Err(io_error(path, "read")(source)),
    };
    let is_run = [name::RUN, name::JOURNAL]
        .iter()
        .any(|name| path.join(name).exists());
    if is_run || is_empty {
        Ok(())
    } else {
        Err(StartError::Foreign {
            path: path.to_owned(),
        })
    }
}

fn make_folder(path: &Path) -> Result<(), StartError> {
    check_folder(path)?;
    fs::create_dir_all(path).map_err(io_error(path, "made"))
}

/// Renames the folder of the run at `path` to `path.previous`, in place of the one before.
fn move_aside(path: &Path) -> Result<(), StartError> {
    let path = std::path::absolute(path).map_err(io_error(path, "found"))?;
    let mut previous = path.clone().into_os_string();
    previous.push(".previous");
    let previous = PathBuf::from(previous);
    check_folder(&previous)?;
    remove(&previous)?;
    fs::rename(&path, &previous).map_err(io_error(&path, "moved aside"))?;
    tracing::warn!(to = %previous.display(), "the run that was there is moved aside");
    Ok(())
}

fn io_error(path: &Path, verb: &'static str) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Io { path, verb, source }
}

fn remove(path: &Path) -> Result<(), StartError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StartError::Io {
            path: path.to_owned(),
            verb: "removed",
            source,
        }),
        _ => Ok(()),
    }
}

/// How a part of a run is shown.
type Show<'a> = &'a dyn Fn(&RunFacts) -> String;

/// Everything that the verdicts depend on must be what it was.
fn compare(path: &Path, was: &RunFacts, is: &RunFacts) -> Result<(), StartError> {
    let engine = |run: &RunFacts| {
        format!(
            "{} {} sha256 {}",
            run.engine.name, run.engine.version, run.engine.sha256
        )
    };
    let plan = |run: &RunFacts| {
        format!(
            "matrix {} of {} cells",
            run.plan.matrix,
            run.plan.cells.len()
        )
    };
    let size = |run: &RunFacts| match run.machine {
        Some(size) => format!("{} MiB, {} processors", size.memory_mib, size.cpus),
        None => "none".to_owned(),
    };
    let harness = |run: &RunFacts| {
        let programs = run.programs.iter().map(|program| {
            let digest: String = program.sha256.chars().take(12).collect();
            format!(", {} sha256 {digest}…", program.name)
        });
        let programs: String = programs.collect();
        format!("{} with {} cases{programs}", run.harness, run.cases.len())
    };
    let kernels = |run: &RunFacts| {
        let kernels = run.kernels.iter().map(|kernel| kernel.origin.join(", "));
        match kernels.collect::<Vec<_>>().join("; ").as_str() {
            "" => "none".to_owned(),
            origins => origins.to_owned(),
        }
    };
    let selftest = |run: &RunFacts| match &run.selftest {
        Some(selftest) => format!("{} of {} caught", selftest.caught, selftest.known_bad),
        None => "none".to_owned(),
    };
    let policy = |run: &RunFacts| run.policy.name.clone();
    let parts: [(bool, &'static str, Show<'_>); 7] = [
        (
            was.engine == is.engine && was.sabotage == is.sabotage,
            "engine",
            &engine,
        ),
        (was.plan == is.plan, "plan", &plan),
        (was.policy == is.policy, "policy", &policy),
        (
            was.harness == is.harness && was.cases == is.cases && was.programs == is.programs,
            "seaworthy",
            &harness,
        ),
        (was.machine == is.machine, "machine size", &size),
        (was.kernels == is.kernels, "set of kernels", &kernels),
        (was.selftest == is.selftest, "self-test", &selftest),
    ];
    match parts.iter().find(|(same, ..)| !same) {
        None => Ok(()),
        Some((_, what, show)) => Err(StartError::Other {
            path: path.to_owned(),
            what,
            was: show(was),
            is: show(is),
        }),
    }
}
