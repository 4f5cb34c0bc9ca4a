//! The beginning of a run: a fresh folder, or one to go on with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use matrix::axis::TargetKind;
use matrix::event::Entry;

use super::facts::{HostFacts, RunFacts};
use super::folder::{FolderError, name, read_run};
use crate::durable;
use crate::journal::{JournalError, Locked, Writer};

/// Whether a run goes on where an earlier one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// It goes on, if there is one.
    Yes,
    /// It starts anew; what an earlier one left is moved aside or removed.
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
    #[error("{} is {}: give another `--out`", path.display(), if path.is_dir() { "not empty and not a run folder" } else { "no folder" })]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// Nothing can be written there.
    #[error("nothing can be written to {}: give another folder with `--out DIR`", path.display())]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
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
    /// An earlier run is in the way, and stays there.
    #[error(
        "{} has a certificate, and can't be moved to {} to make room: give another `--out`, or move it away yourself",
        path.display(), previous.display()
    )]
    Aside {
        /// The folder.
        path: PathBuf,
        /// Where it would go.
        previous: PathBuf,
        /// Why it can't.
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
/// is there and not gone on with is moved aside if it has a certificate, which may be the only one.
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
    // Without links, dots and a slash at its end: what is beside it is then beside the folder.
    let path = &fs::canonicalize(path).map_err(io_error(path, "found"))?;
    // The lock on the journal is the lock on the folder, so it comes first.
    let mut journal = lock(path)?;
    if resume == Resume::Yes && path.join(name::RUN).exists() {
        let run = read_run(path).map_err(StartError::Earlier)?;
        compare(path, &run, &facts)?;
        let (writer, journal) = journal
            .go_on(clock)
            .map_err(|error| StartError::Earlier(FolderError::Journal(error)))?;
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
    if path.join(name::CERTIFICATE).exists() {
        move_aside(path)?;
        make_folder(path)?;
        // The lock was on the journal that has moved; this one is the new folder's.
        journal = lock(path)?;
    }
    for name in LEFT {
        remove(&path.join(name))?;
    }
    let writer = journal.begin_anew(clock).map_err(StartError::Journal)?;
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

/// Sees that something can be written where the folder is, or will be, and leaves no trace.
///
/// # Errors
/// Nothing can.
pub fn check_writable(path: &Path) -> Result<(), StartError> {
    let tried = std::path::absolute(path).and_then(|whole| {
        let there = whole.ancestors().find(|ancestor| ancestor.exists());
        tempfile::tempfile_in(there.unwrap_or(&whole))
    });
    match tried {
        Ok(_) => Ok(()),
        Err(source) => Err(StartError::NotWritable {
            path: path.to_owned(),
            source,
        }),
    }
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

fn lock(path: &Path) -> Result<Locked, StartError> {
    Locked::take(&path.join(name::JOURNAL)).map_err(StartError::Journal)
}

/// Renames the folder of the run at `path`, which is canonical, to `path.previous`, in place of
/// the one before.
fn move_aside(path: &Path) -> Result<(), StartError> {
    let mut previous = path.to_owned().into_os_string();
    previous.push(".previous");
    let previous = PathBuf::from(previous);
    let refused = |source| StartError::Aside {
        path: path.to_owned(),
        previous: previous.clone(),
        source,
    };
    // Whoever is in it would go with it, and find the new run nowhere.
    if std::env::current_dir().is_ok_and(|here| here.starts_with(path)) {
        let error = "it is the folder that you are in, or holds it";
        return Err(refused(io::Error::other(error)));
    }
    let is_in_the_way = |error: &io::Error| {
        use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty};
        [AlreadyExists, DirectoryNotEmpty].contains(&error.kind())
    };
    match fs::rename(path, &previous) {
        // The one before goes only where nothing else is in the way.
        Err(error) if is_in_the_way(&error) => {
            check_folder(&previous)?;
            remove(&previous)?;
            fs::rename(path, &previous)
        }
        moved => moved,
    }
    .map_err(refused)?;
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
        let other = if std::ptr::eq(run, was) { is } else { was };
        let mut own = run.plan.cells.iter();
        let own = own.find(|cell| !other.plan.cells.contains(cell));
        let own = own.map(|cell| format!(", with `{}`", cell.id));
        format!(
            "matrix {} of {}{}",
            run.plan.matrix,
            super::listing::cells(run.plan.cells.len()),
            own.unwrap_or_default()
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
    let host = |run: &RunFacts| {
        let HostFacts {
            system,
            kernel_release,
            arch,
            cpus,
            memory_mib,
        } = &run.host;
        format!("{system}, kernel {kernel_release} {arch}, {cpus} processors, {memory_mib} MiB")
    };
    // Cells on this machine are about this machine.
    let is_about_the_host = was
        .plan
        .cells
        .iter()
        .any(|cell| cell.target == TargetKind::Host);
    let parts: [(bool, &'static str, Show<'_>); 8] = [
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
        (!is_about_the_host || was.host == is.host, "host", &host),
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
