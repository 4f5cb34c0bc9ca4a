//! The files that a build may copy from outside of images.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::dockerfile::Ignore;
use crate::files::{Owner, UnpackError, unpack};
use crate::image::decompress::decompress;
use crate::image::layer::TarReader;
use crate::image::store::Store;
use crate::storage::{Staged, StorageError};
use crate::sys::in_root;

/// Why there is no context.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A file of it.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A Dockerfile that is none.
    #[error("`{0}` is no text in UTF-8, or longer than {MAX_TEXT} bytes")]
    NoText(String),
    /// The archive on standard input.
    #[error("the context cannot be unpacked")]
    Unpack(#[from] UnpackError),
    /// There is no place for it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Bytes of a Dockerfile, or a list of what to ignore.
const MAX_TEXT: u64 = 1 << 20;
/// Bytes by which a tar is told from a text: one header.
const HEADER: u64 = 512;
const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// A folder, and which of its files are no part of it.
#[derive(Debug)]
pub struct Context {
    root: OwnedFd,
    ignore: Ignore,
    /// Where it was unpacked.
    _staged: Option<Staged>,
}

/// The Dockerfile of a context, as the user names it and as it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// For messages.
    pub name: String,
    /// The text.
    pub text: String,
}

impl Context {
    /// A folder of the host. `file`: where the Dockerfile is; `None`: `Dockerfile` in the folder;
    /// `-`: on standard input.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn folder(path: &Path, file: Option<&Path>) -> Result<(Self, Text), ContextError> {
        let failed = |action| {
            let path = path.to_owned();
            move |source: nix::Error| ContextError::Io {
                action,
                path,
                source: source.into(),
            }
        };
        let root = open(path, FOLDER, Mode::empty()).map_err(failed("open the context"))?;
        let text = match file {
            Some(file) if file == Path::new("-") => read_text(io::stdin(), "-")?,
            Some(file) => read_file(File::open(file), file)?,
            None => {
                let name = Path::new("Dockerfile");
                let file = in_root::open(root.as_fd(), name, OFlag::O_RDONLY, Mode::empty());
                let file = file.map(File::from).map_err(io::Error::from);
                let mut text = read_file(file, &path.join(name))?;
                "Dockerfile".clone_into(&mut text.name);
                text
            }
        };
        // A list of the Dockerfile's own comes before that of the context.
        let own = file.and_then(|file| {
            let mut name = file.as_os_str().to_owned();
            name.push(".dockerignore");
            File::open(name).ok()
        });
        let ignore = match own {
            Some(own) => Some(own),
            None => ignore_of(root.as_fd()),
        };
        let ignore = match ignore {
            Some(list) => Ignore::parse(&read_text(list, ".dockerignore")?.text),
            None => Ignore::default(),
        };
        let context = Self {
            root,
            ignore,
            _staged: None,
        };
        Ok((context, text))
    }

    /// What comes on a stream: a tar of the context, plain or compressed; or a Dockerfile, with no
    /// context at all.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn stream(
        store: &Store,
        mut input: impl Read + Send,
        file: Option<&Path>,
    ) -> Result<(Self, Text), ContextError> {
        let failed = |source| ContextError::Io {
            action: "read",
            path: "-".into(),
            source,
        };
        let staged = store.staging().stage("build-context")?;
        let root = open(staged.path(), FOLDER, Mode::empty())
            .map_err(|errno| failed(io::Error::from(errno)))?;
        let mut start = Vec::new();
        input
            .by_ref()
            .take(MAX_TEXT)
            .read_to_end(&mut start)
            .map_err(failed)?;
        let text = if is_tar(&start) {
            let all = Cursor::new(start).chain(input);
            unpack(
                decompress(all).map_err(failed)?,
                root.as_fd(),
                Owner::AsRecorded,
            )?;
            let name = file.unwrap_or(Path::new("Dockerfile"));
            let open = in_root::open(root.as_fd(), name, OFlag::O_RDONLY, Mode::empty());
            read_file(open.map(File::from).map_err(io::Error::from), name)?
        } else {
            read_text(Cursor::new(start), "-")?
        };
        let ignore = match ignore_of(root.as_fd()) {
            Some(list) => Ignore::parse(&read_text(list, ".dockerignore")?.text),
            None => Ignore::default(),
        };
        let context = Self {
            root,
            ignore,
            _staged: Some(staged),
        };
        Ok((context, text))
    }

    /// The folder.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Which files are no part of it.
    pub(super) fn ignore(&self) -> &Ignore {
        &self.ignore
    }
}

fn ignore_of(root: BorrowedFd<'_>) -> Option<File> {
    let name = Path::new(".dockerignore");
    let file = in_root::open(root, name, OFlag::O_RDONLY, Mode::empty());
    file.ok().map(File::from)
}

/// Whether bytes begin a tar, plain or compressed.
pub(super) fn is_tar(start: &[u8]) -> bool {
    let mut header = Vec::new();
    let read = decompress(start).and_then(|read| read.take(HEADER).read_to_end(&mut header));
    // What is cut off may still have given a header.
    drop(read);
    let mut tar = TarReader::new(header.as_slice());
    header.len() as u64 == HEADER && matches!(tar.next_entry(), Ok(Some(_)))
}

fn read_file(file: io::Result<File>, path: &Path) -> Result<Text, ContextError> {
    let file = file.map_err(|source| ContextError::Io {
        action: "read the Dockerfile",
        path: path.to_owned(),
        source,
    })?;
    read_text(file, &path.to_string_lossy())
}

fn read_text(from: impl Read, name: &str) -> Result<Text, ContextError> {
    let mut bytes = Vec::new();
    from.take(MAX_TEXT + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ContextError::Io {
            action: "read",
            path: name.into(),
            source,
        })?;
    let text = String::from_utf8(bytes).ok();
    let text = text.filter(|text| text.len() as u64 <= MAX_TEXT);
    Ok(Text {
        name: name.to_owned(),
        text: text.ok_or_else(|| ContextError::NoText(name.to_owned()))?,
    })
}
