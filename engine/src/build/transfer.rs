//! `COPY` and `ADD`: files become a layer.
//!
//! What is brought in is written into a tar, never into a tree; the tar then becomes a layer under
//! the same laws as one of a foreign image. Links in the context or in another image are followed
//! there and nowhere else, whatever is put in their place meanwhile (CVE-2018-15664,
//! CVE-2024-23652, CVE-2024-23653).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc::{S_IFMT, S_IFREG};
use nix::sys::stat::{Mode, fstat};
use sha2::{Digest as _, Sha256};

use super::context::is_tar;
use super::place::{Place, There, follow, look};
use super::sources::{Source, Tree, failed};
use crate::dockerfile::{Archives, Transfer};
use crate::files::{Devices, Head, Look, Member, PackError, Packed, Packer, Times};
use crate::image::decompress::decompress;
use crate::image::digest::Digest;
use crate::image::layer::{EntryPath, Kind, TarError, TarReader};

/// Why files could not be brought in.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Nothing is there.
    #[error("nothing is called `{0}`, or it is ignored by `.dockerignore`")]
    NotFound(String),
    /// A path that leads out.
    #[error("`{0}` leads out of what can be copied from: leave out `..`")]
    Outside(String),
    /// A system call failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what, from the root of its tree.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Folders that are nested deeper than is walked.
    #[error("folders are nested too deep at `{}`", .0.display())]
    TooDeep(PathBuf),
    /// Several files cannot be one.
    #[error("several files are copied, so the destination must be a folder: write `{0}/`")]
    Several(String),
    /// A destination that is no folder.
    #[error("`/{}` is there and is no folder: choose another destination", .0.display())]
    IntoFile(PathBuf),
    /// A file for a folder.
    #[error("cannot copy a file over `/{}`, which is a folder", .0.display())]
    OverFolder(PathBuf),
    /// A name that a layer cannot hold: its readers would remove another file instead.
    #[error("cannot copy `{}`: names that start with `.wh.` mean a removal in a layer", .0.display())]
    Whiteout(PathBuf),
    /// Files cannot be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// An archive for `ADD`.
    #[error("the archive `{}` cannot be unpacked", path.display())]
    Archive {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: TarError,
    },
    /// Somebody is at work on the files.
    #[error("files changed while they were copied: build again")]
    Changed,
}

/// What a source is, when it has been looked at.
enum Item {
    Source(Source),
    Archive(PathBuf),
    Document { name: String, text: String },
}

/// All that one instruction brings in.
pub(super) struct Load<'a> {
    tree: Tree<'a>,
    items: Vec<Item>,
    mode: Option<u32>,
    to: String,
}

/// Where and how it arrives.
pub(super) struct Arrival<'a> {
    /// The image's root folder as it is now.
    pub(super) root: BorrowedFd<'a>,
    /// What a relative destination is below.
    pub(super) working_dir: &'a str,
    /// Whose the files become; `None`: root's, but for archives, which say so themselves.
    pub(super) owner: Option<(u32, u32)>,
    pub(super) times: Times,
    /// The time of folders that had to be made, in seconds since 1970.
    pub(super) now: i64,
}

/// A layer, as far as it is planned: where each thing goes, and folders to make on the way.
pub(super) struct Plan {
    folders: Vec<PathBuf>,
    /// The destination, if it is a folder that has to be made too.
    made: Option<PathBuf>,
    targets: Vec<PathBuf>,
    look: Look,
    of_archives: Option<(u32, u32)>,
    now: i64,
}

impl<'a> Load<'a> {
    /// Nothing: for a plan of folders alone.
    pub(super) const fn nothing(tree: Tree<'a>) -> Self {
        Self {
            tree,
            items: Vec::new(),
            mode: None,
            to: String::new(),
        }
    }

    /// Looks for the files.
    pub(super) fn find(tree: Tree<'a>, transfer: &Transfer) -> Result<Self, TransferError> {
        let mut items = Vec::new();
        for source in tree.find(&transfer.sources)? {
            items.push(match source {
                Source::File { path, name } => {
                    let is_archive =
                        transfer.archives == Archives::Unpack && archive(&tree, &path)?.is_some();
                    if is_archive {
                        Item::Archive(path)
                    } else {
                        Item::Source(Source::File { path, name })
                    }
                }
                folder @ Source::Folder { .. } => Item::Source(folder),
            });
        }
        let documents = transfer.documents.iter().cloned();
        items.extend(documents.map(|(name, text)| Item::Document { name, text }));
        Ok(Self {
            tree,
            items,
            mode: transfer.mode,
            to: transfer.to.clone(),
        })
    }

    /// A digest of all that arrives, but for times and the place: names, contents, modes, links,
    /// attributes.
    pub(super) fn digest(&self) -> Result<Digest, TransferError> {
        let targets = (0..self.items.len()).map(|at| PathBuf::from(at.to_string()));
        let plan = Plan {
            folders: Vec::new(),
            made: Some(PathBuf::from("0")),
            targets: targets.collect(),
            look: Look {
                owner: Some((0, 0)),
                mode: self.mode,
                times: Times::Always(0),
            },
            of_archives: None,
            now: 0,
        };
        let mut hasher = Hasher(Sha256::new());
        for item in &self.items {
            let name = match item {
                Item::Source(Source::File { name, .. }) => name.as_bytes(),
                Item::Document { name, .. } => name.as_bytes(),
                Item::Source(Source::Folder { .. }) | Item::Archive(_) => b"/",
            };
            hasher.0.update(name);
            hasher.0.update(b"\0");
        }
        self.write(&plan, &mut hasher)?;
        Ok(Digest::from_hasher(hasher.0))
    }

    /// Settles where everything goes.
    pub(super) fn plan(&self, arrival: &Arrival<'_>) -> Result<Plan, TransferError> {
        let to = Path::new("/").join(arrival.working_dir).join(&self.to);
        let place = follow(arrival.root, &to).map_err(failed("follow", &to))?;
        let written_as_folder = self.to.ends_with('/') || self.to.ends_with("/.") || self.to == ".";
        if self.items.len() > 1 && !written_as_folder && place.there != There::Folder {
            return Err(TransferError::Several(self.to.clone()));
        }
        let as_folder = written_as_folder || place.there == There::Folder;
        let mut plan = Plan {
            folders: Vec::new(),
            made: None,
            targets: Vec::new(),
            look: Look {
                owner: Some(arrival.owner.unwrap_or((0, 0))),
                mode: self.mode,
                times: arrival.times,
            },
            of_archives: arrival.owner,
            now: arrival.now,
        };
        let mut needs_folder = written_as_folder;
        for item in &self.items {
            let target = match item {
                Item::Source(Source::File { name, .. }) if as_folder => place.path.join(name),
                Item::Document { name, .. } if as_folder => place.path.join(name),
                Item::Source(Source::File { .. }) | Item::Document { .. } => place.path.clone(),
                Item::Source(Source::Folder { .. }) | Item::Archive(_) => {
                    needs_folder = true;
                    place.path.clone()
                }
            };
            self.fits(item, &target, arrival.root)?;
            plan.targets.push(target);
        }
        if needs_folder && place.there == There::Other {
            return Err(TransferError::IntoFile(place.path));
        }
        plan.folders = missing(arrival.root, &place)?;
        if place.there == There::Nothing {
            let last = plan.folders.pop();
            plan.made = last.filter(|_| needs_folder);
        }
        Ok(plan)
    }

    /// Whether an item can be at `target`.
    fn fits(&self, item: &Item, target: &Path, root: BorrowedFd<'_>) -> Result<(), TransferError> {
        let one = |path: &Path, what: There| {
            if path.iter().any(|name| name.as_bytes().starts_with(b".wh.")) {
                return Err(TransferError::Whiteout(path.to_owned()));
            }
            match (look(root, path).map_err(failed("examine", path))?, what) {
                (There::Other, There::Folder) => Err(TransferError::IntoFile(path.to_owned())),
                (There::Folder, There::Other) => Err(TransferError::OverFolder(path.to_owned())),
                _ => Ok(()),
            }
        };
        match item {
            Item::Source(Source::File { .. }) | Item::Document { .. } => one(target, There::Other),
            Item::Archive(_) => one(target, There::Folder),
            Item::Source(Source::Folder { path, entries }) => {
                one(target, There::Folder)?;
                for entry in entries {
                    let source = path.join(entry);
                    let there = look(self.tree.root, &source);
                    one(
                        &target.join(entry),
                        there.map_err(failed("examine", &source))?,
                    )?;
                }
                Ok(())
            }
        }
    }

    /// Writes the layer's tar.
    pub(super) fn pack(&self, plan: &Plan, to: impl Write) -> Result<Packed, TransferError> {
        self.write(plan, BufWriter::with_capacity(256 << 10, to))
    }

    fn write(&self, plan: &Plan, to: impl Write) -> Result<Packed, TransferError> {
        let mut packer = Packer::new(to, Devices::LeaveOut).with_look(plan.look);
        for folder in &plan.folders {
            let head = plan.head(folder, Member::Folder, 0o755);
            packer.tar().head(&head).map_err(PackError::Write)?;
        }
        if let Some(made) = &plan.made {
            // A folder that is there keeps its mode; a new one has that of the folder copied first.
            if let Some(Item::Source(Source::Folder { path, .. })) = self.items.first() {
                let open = self.tree.open(path).map_err(failed("open", path))?;
                packer.alone(open.as_fd(), OsStr::new("."), made.as_os_str().as_bytes())?;
            } else {
                let head = plan.head(made, Member::Folder, 0o755);
                packer.tar().head(&head).map_err(PackError::Write)?;
            }
        }
        for (item, target) in self.items.iter().zip(&plan.targets) {
            match item {
                Item::Source(Source::File { path, .. }) => {
                    let (parent, name) = self.parent(path)?;
                    packer.alone(parent.as_fd(), name, target.as_os_str().as_bytes())?;
                }
                Item::Source(Source::Folder { path, entries }) => {
                    self.entries(&mut packer, (path, entries), target)?;
                }
                Item::Document { text, .. } => {
                    let size = text.len() as u64;
                    let mode = plan.look.mode.unwrap_or(0o644);
                    let head = plan.head(target, Member::File(size), mode);
                    let tar = packer.tar();
                    tar.head(&head).map_err(PackError::Write)?;
                    let mut text = text.as_bytes();
                    tar.contents(&mut text, size).map_err(PackError::Write)?;
                }
                Item::Archive(path) => {
                    let archive = archive(&self.tree, path)?.ok_or(TransferError::Changed)?;
                    unpack(&mut packer, plan, archive, (path, target))?;
                }
            }
        }
        Ok(packer.finish()?.1)
    }

    fn entries<W: Write>(
        &self,
        packer: &mut Packer<W>,
        (path, entries): (&Path, &[PathBuf]),
        target: &Path,
    ) -> Result<(), TransferError> {
        let mut parent: Option<(&Path, OwnedFd)> = None;
        for entry in entries {
            let (Some(folder), Some(name)) = (entry.parent(), entry.file_name()) else {
                continue;
            };
            let open = if let Some((_, open)) = parent.take_if(|(known, _)| *known == folder) {
                open
            } else {
                let source = path.join(folder);
                self.tree.open(&source).map_err(failed("open", &source))?
            };
            let to = target.join(entry);
            packer.alone(open.as_fd(), name, to.as_os_str().as_bytes())?;
            parent = Some((folder, open));
        }
        Ok(())
    }

    /// The folder of a file, and its name there.
    fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), TransferError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let open = self.tree.open(folder).map_err(failed("open", folder))?;
        Ok((open, path.file_name().unwrap_or_default()))
    }
}

impl Plan {
    /// Folders alone.
    pub(super) fn folders(folders: Vec<PathBuf>, owner: (u32, u32), now: i64) -> Self {
        Self {
            folders,
            made: None,
            targets: Vec::new(),
            look: Look {
                owner: Some(owner),
                ..Look::default()
            },
            of_archives: None,
            now,
        }
    }

    fn head<'h>(&self, path: &'h Path, member: Member<'h>, mode: u32) -> Head<'h> {
        let (uid, gid) = self.look.owner.unwrap_or((0, 0));
        Head {
            path: path.as_os_str().as_bytes(),
            member,
            mode,
            uid,
            gid,
            mtime: self.now,
            xattrs: &[],
        }
    }
}

/// What is not there yet on the way to a place, with the place itself at the end.
pub(super) fn missing(root: BorrowedFd<'_>, place: &Place) -> Result<Vec<PathBuf>, TransferError> {
    let mut folders = Vec::new();
    let mut path = PathBuf::new();
    for name in &place.path {
        path.push(name);
        match look(root, &path).map_err(failed("examine", &path))? {
            There::Nothing => folders.push(path.clone()),
            There::Folder => {}
            There::Other if path == place.path => {}
            There::Other => return Err(TransferError::IntoFile(path)),
        }
    }
    Ok(folders)
}

/// A file that is an archive, opened; `None`: it is something else.
fn archive(tree: &Tree<'_>, path: &Path) -> Result<Option<File>, TransferError> {
    use std::io::{Read as _, Seek as _};
    const START: u64 = 64 << 10;
    let folder = path.parent().unwrap_or(Path::new(""));
    let folder = tree.open(folder).map_err(failed("open", folder))?;
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let name = path.file_name().unwrap_or_default();
    let open = match openat(&folder, name, flags, Mode::empty()) {
        Err(Errno::ENXIO | Errno::ELOOP) => return Ok(None), // A socket, a link to nothing.
        open => open.map_err(failed("open", path))?,
    };
    let kind = fstat(&open).map_err(failed("examine", path))?.st_mode & S_IFMT;
    if kind != S_IFREG {
        return Ok(None);
    }
    let mut file = File::from(open);
    let unreadable = |source| TransferError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let mut head = Vec::new();
    let read = (&mut file).take(START).read_to_end(&mut head);
    read.map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    if let Err(error) = decompress(head.as_slice()) {
        if error.kind() == io::ErrorKind::Unsupported {
            return Err(unreadable(error));
        }
    }
    Ok(is_tar(&head).then_some(file))
}

/// Copies an archive's entries, below `target`. Paths that would lead out are refused as those of
/// any layer; links among them are followed inside the image only, when the layer is made.
fn unpack<W: Write>(
    packer: &mut Packer<W>,
    plan: &Plan,
    archive: File,
    (path, target): (&Path, &Path),
) -> Result<(), TransferError> {
    let refused = |source| TransferError::Archive {
        path: path.to_owned(),
        source,
    };
    let read = decompress(archive).map_err(|error| refused(TarError::Read(error)))?;
    let mut tar = TarReader::new(read);
    while let Some(entry) = tar.next_entry().map_err(refused)? {
        let to = |path: &EntryPath| target.join(path.as_path());
        let at = to(&entry.path);
        if entry.path.split().is_none() {
            continue; // The folder itself, which is there.
        }
        if at.iter().any(|name| name.as_bytes().starts_with(b".wh.")) {
            return Err(TransferError::Whiteout(at));
        }
        let linked;
        let member = match &entry.kind {
            Kind::File => Member::File(tar.left()),
            Kind::Folder => Member::Folder,
            Kind::Hard(other) => {
                linked = to(other);
                Member::Hard(linked.as_os_str().as_bytes())
            }
            Kind::Symbolic(text) => Member::Symbolic(text),
            Kind::Fifo => Member::Fifo,
            Kind::Device => continue, // As in every layer (decision 0027).
        };
        let (uid, gid) = plan.of_archives.unwrap_or((entry.uid, entry.gid));
        let head = Head {
            path: at.as_os_str().as_bytes(),
            member,
            mode: plan.look.mode.unwrap_or(entry.mode),
            uid,
            gid,
            mtime: plan.look.times.of(entry.mtime.0),
            xattrs: &entry.xattrs,
        };
        packer.tar().head(&head).map_err(PackError::Write)?;
        if let Member::File(size) = member {
            let contents = packer.tar().contents(&mut tar, size);
            contents.map_err(|error| refused(TarError::Read(error)))?;
        }
    }
    Ok(())
}

struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
