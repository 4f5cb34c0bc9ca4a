//! A container's changes as a new image.

use std::io::{BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::libc::{S_IFMT, S_IFREG};
use nix::sys::stat::{Mode, fstatat};

use super::view::{Sight, View};
use super::{Container, Error, Phase};
use crate::dockerfile::{Changes, ConfigInstruction, Escape, InstructionError};
use crate::files::{Devices, Look, PackError, Packed, Packer, Times, stream};
use crate::image;
use crate::image::config::{History, RunConfig};
use crate::image::digest::{Digest, ImageId};
use crate::image::load::{LoadError, Loaded};
use crate::image::reference::Reference;
use crate::image::store::{Image, Store, StoreError};
use crate::storage::{Change, ChangeKind};
use crate::sys::in_root;

/// Why no image was made of a container.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The container is at fault.
    #[error(transparent)]
    Container(#[from] Error),
    /// Its image cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new one cannot be stored.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A `--change` has no meaning.
    #[error("the change `{text}` is refused")]
    Change {
        /// As it was given.
        text: String,
        /// Why.
        #[source]
        source: InstructionError,
    },
    /// A layer cannot hold such a file: its readers would remove another instead.
    #[error(
        "the container has a file `{0}`, and names that start with `.wh.` mean a removal in a layer: rename or remove it first"
    )]
    Whiteout(String),
}

/// Whether a container that runs is paused meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// So that its files fit together; one without a control group goes on.
    Yes,
    /// It goes on.
    No,
}

/// What the new image is to be.
#[derive(Debug)]
pub struct Commit {
    /// Its name.
    pub name: Option<Reference>,
    /// Who made it.
    pub author: Option<String>,
    /// A remark.
    pub message: Option<String>,
    /// Instructions such as `CMD ["/bin/server"]`.
    pub changes: Vec<String>,
    /// Whether the container is paused meanwhile.
    pub pause: Pause,
}

impl Container {
    /// Makes an image of the container's own image and what it changed. `store` is of the
    /// container's storage driver.
    ///
    /// # Errors
    /// When there is none; nothing of it stays then.
    pub fn commit(&mut self, store: &Store, commit: Commit) -> Result<Loaded, CommitError> {
        let base = self.image(store)?;
        let run = self.run_config(&base, &commit.changes)?;
        let step = History {
            created: Some(image::created()),
            created_by: Some(self.config().process.cmd.join(" ")),
            author: commit.author,
            comment: commit.message,
            empty_layer: false,
        };
        let paused = Paused::begin(self, commit.pause)?;
        let view = self.view(Sight::Tree)?;
        let name = commit.name.as_ref();
        let loaded = self.with_layer(&view, Times::Own, |layer| {
            image::commit(store, Some(&base), layer, run, step, name)
        })?;
        drop(paused);
        Ok(loaded?)
    }

    /// Gives what it changed, as a layer's tar, to `take`; `None`: it changed nothing.
    pub(super) fn with_layer<T>(
        &self,
        view: &View,
        times: Times,
        take: impl FnOnce(Option<Box<dyn Read + Send>>) -> T,
    ) -> Result<T, CommitError> {
        let changes = self.layer_changes(view)?;
        if changes.is_empty() {
            return Ok(take(None));
        }
        thread::scope(|scope| {
            let layer = stream(scope, |to| pack(view, &changes, times, to))
                .map_err(Error::io("make a pipe for", self.folder()))?;
            Ok(take(Some(Box::new(layer))))
        })
    }

    /// The image that it was made from.
    fn image(&self, store: &Store) -> Result<Image, StoreError> {
        let id = &self.config().image.id;
        let digest: Result<Digest, _> = id.parse();
        let digest = digest.map_err(|_| StoreError::NotFound(id.clone()))?;
        store.image(&ImageId::new(digest))
    }

    /// How containers of the new image start: as this one, and as the changes say.
    fn run_config(&self, base: &Image, changes: &[String]) -> Result<RunConfig, CommitError> {
        let process = &self.config().process;
        let mut run = base.config.config.clone();
        run.entrypoint.clone_from(&process.entrypoint);
        run.cmd.clone_from(&process.cmd);
        run.user.clone_from(&process.user);
        run.working_dir.clone_from(&process.working_dir);
        run.labels.clone_from(&process.labels);
        if let Some(signal) = process.stop_signal {
            run.stop_signal = signal.to_string();
        }
        // What every container is given is not the image's.
        let given = [
            format!("HOSTNAME={}", process.hostname),
            "TERM=xterm".to_owned(),
        ];
        let own = |variable: &&String| {
            base.config.config.env.contains(variable) || !given.contains(variable)
        };
        run.env = process.env.iter().filter(own).cloned().collect();
        let mut all = Changes::of(&mut run);
        for text in changes {
            let value = |name: &str| all.variable(name);
            let change = ConfigInstruction::parse(text, Escape::Backslash, &value);
            let change = change.map_err(|source| CommitError::Change {
                text: text.clone(),
                source,
            })?;
            all.make(change);
        }
        Ok(run)
    }

    /// What the layer tells of: folder by folder, removals first, as the image-spec recommends.
    fn layer_changes(&self, view: &View) -> Result<Vec<Change>, CommitError> {
        let mut changes = self.changes()?;
        for change in &changes {
            let name = change.path.file_name().unwrap_or_default();
            if change.kind != ChangeKind::Deleted && name.as_bytes().starts_with(b".wh.") {
                let shown = change.path.to_string_lossy().into_owned();
                return Err(CommitError::Whiteout(shown));
            }
        }
        changes.retain(|change| !is_mount_point(view, change));
        changes.sort_by(|a, b| {
            let key = |change: &Change| change.kind != ChangeKind::Deleted;
            let (above_a, above_b) = (a.path.parent(), b.path.parent());
            (above_a, key(a), &a.path).cmp(&(above_b, key(b), &b.path))
        });
        Ok(changes)
    }
}

/// Empty files that are there only for Keel to mount its own on.
fn is_mount_point(view: &View, change: &Change) -> bool {
    const FILES: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
    if change.kind != ChangeKind::Added || !FILES.iter().any(|file| change.path == Path::new(file))
    {
        return false;
    }
    let place = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let found = in_root::open(view.root(), &change.path, place, Mode::empty())
        .and_then(nix::sys::stat::fstat);
    found.is_ok_and(|stat| stat.st_mode & S_IFMT == S_IFREG && stat.st_size == 0)
}

/// Writes the layer's tar. Device nodes are left out, as of every layer (decision 0027).
fn pack(
    view: &View,
    changes: &[Change],
    times: Times,
    to: impl Write,
) -> Result<Packed, PackError> {
    let look = Look {
        times,
        ..Look::default()
    };
    let to = BufWriter::with_capacity(256 << 10, to);
    let mut packer = Packer::new(to, Devices::LeaveOut).with_look(look);
    for change in changes {
        let path = change.path.strip_prefix("/").unwrap_or(&change.path);
        let bytes = path.as_os_str().as_bytes();
        let (Some(folder), Some(name)) = (change.path.parent(), change.path.file_name()) else {
            continue; // The root itself is nobody's change.
        };
        if change.kind == ChangeKind::Deleted {
            packer.whiteout(bytes)?;
            continue;
        }
        let place = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let folder = match in_root::open(view.root(), folder, place, Mode::empty()) {
            // It goes on, and has removed it.
            Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
            folder => folder.map_err(|errno| PackError::Read {
                action: "open",
                path: folder_shown(path),
                source: errno.into(),
            })?,
        };
        if fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
            packer.alone(std::os::fd::AsFd::as_fd(&folder), name, bytes)?;
        }
    }
    packer.finish().map(|(_, packed)| packed)
}

fn folder_shown(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

/// A container that is paused for as long as this lives.
struct Paused(Option<Container>);

impl Paused {
    /// Pauses it, if it is to be, and runs.
    fn begin(container: &Container, pause: Pause) -> Result<Self, Error> {
        if pause == Pause::No || container.phase() != Phase::Running {
            return Ok(Self(None));
        }
        // Looked up anew, as the caller goes on using its own.
        let found = Container::read(container.root(), container.folder().to_owned())?;
        if let Some(container) = &found {
            match container.pause() {
                // It ended, or was paused, just now; or nobody can pause it.
                Err(Error::NotRunning(_) | Error::Paused(_) | Error::NoGroup) => {
                    return Ok(Self(None));
                }
                paused => paused?,
            }
        }
        Ok(Self(found))
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if let Some(container) = &self.0 {
            // One that was ended meanwhile cannot go on.
            drop(container.unpause());
        }
    }
}
