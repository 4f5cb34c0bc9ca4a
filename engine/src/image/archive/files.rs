//! The files of an archive by their paths: in a folder, or at their places in a tar.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::image::archive::ArchiveError;
use crate::image::decompress::{Compression, Counted, decompress, recognise};
use crate::image::layer::{EntryPath, Kind, TarReader};
use crate::image::limits::{MAX_ARCHIVE_METADATA_BYTES, MAX_METADATA_BYTES};
use crate::storage::{Staged, Staging};
use crate::sys::in_root;

/// Links that are followed in an archive.
const MAX_LINKS: usize = 16;

/// An open archive.
#[derive(Debug)]
pub(in crate::image) struct Files {
    form: Form,
    /// Bytes that the archive has where it comes from, compressed as it is there; of a folder none
    /// are known.
    delivered: Option<u64>,
    /// Bytes of metadata that may still be read.
    metadata_left: Cell<u64>,
}

/// What the files lie in.
#[derive(Debug)]
enum Form {
    Folder(OwnedFd),
    Tar {
        tar: Arc<File>,
        places: BTreeMap<EntryPath, Place>,
        /// Where the tar lies if it came compressed or as a stream.
        _staged: Option<Staged>,
    },
}

/// Where a file of a tar is.
#[derive(Debug)]
pub(in crate::image) enum Place {
    At { offset: u64, bytes: u64 },
    Link(EntryPath),
}

/// A file of an archive.
pub(in crate::image) struct Blob {
    pub(in crate::image) bytes: u64,
    pub(in crate::image) reader: Box<dyn Read + Send>,
}

impl Files {
    fn new(form: Form, delivered: Option<u64>) -> Self {
        Self {
            form,
            delivered,
            metadata_left: Cell::new(MAX_ARCHIVE_METADATA_BYTES),
        }
    }

    /// Bytes that the archive has where it comes from, compressed as it is there; of a folder none
    /// are known.
    pub(in crate::image) fn delivered(&self) -> Option<u64> {
        self.delivered
    }

    /// Opens a folder or a tar, compressed or not.
    pub(in crate::image) fn open(path: &Path, staging: &Staging) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(failed("open", path))?;
        if file.metadata().map_err(failed("examine", path))?.is_dir() {
            return Ok(Self::new(Form::Folder(file.into()), None));
        }
        let is_file = file.metadata().map_err(failed("examine", path))?.is_file();
        let (compression, whole) = recognise(&file).map_err(failed("read", path))?;
        if is_file && compression == Compression::None {
            drop(whole);
            return Self::of_tar(file, path);
        }
        Self::spool(whole, staging, path)
    }

    /// Takes a stream, compressed or not, to a file: what an archive refers to may come before
    /// and after what refers to it.
    pub(in crate::image) fn spool(
        stream: impl Read + Send,
        staging: &Staging,
        name: &Path,
    ) -> Result<Self, ArchiveError> {
        let staged = staging.stage("archive")?;
        let path = staged.path().join("archive.tar");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed("create", &path))?;
        let stream = Counted::new(stream);
        let delivered = stream.count();
        let mut stream = decompress(stream).map_err(failed("read", name))?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let length = stream.read(&mut buffer).map_err(failed("read", name))?;
            if length == 0 {
                break;
            }
            let data = buffer.get(..length).unwrap_or_default();
            io::Write::write_all(&mut file, data).map_err(failed("write", &path))?;
        }
        let form = Form::index(file, Some(staged), name)?;
        Ok(Self::new(form, Some(delivered.load(Ordering::Relaxed))))
    }

    /// The files of an uncompressed tar.
    pub(in crate::image) fn of_tar(file: File, name: &Path) -> Result<Self, ArchiveError> {
        let length = file.metadata().map_err(failed("examine", name))?.len();
        Ok(Self::new(Form::index(file, None, name)?, Some(length)))
    }

    /// Whether there is a file at `path`.
    pub(in crate::image) fn has(&self, path: &str) -> Result<bool, ArchiveError> {
        Ok(self.find(path)?.is_some())
    }

    /// The file at `path`.
    pub(in crate::image) fn blob(&self, path: &str) -> Result<Blob, ArchiveError> {
        self.find(path)?
            .ok_or_else(|| ArchiveError::Missing(path.chars().take(300).collect()))
    }

    /// The whole file at `path`, which is metadata and so of bounded size.
    pub(in crate::image) fn metadata(&self, path: &str) -> Result<Vec<u8>, ArchiveError> {
        let blob = self.blob(path)?;
        if blob.bytes > MAX_METADATA_BYTES as u64 {
            return Err(ArchiveError::TooLarge {
                path: path.to_owned(),
                bytes: blob.bytes,
            });
        }
        // A small archive can refer to the same large file a thousand times.
        let left = self.metadata_left.get().checked_sub(blob.bytes);
        self.metadata_left.set(left.ok_or(ArchiveError::Metadata)?);
        let mut bytes = Vec::new();
        // The size may be a lie, or change.
        blob.reader
            .take(MAX_METADATA_BYTES as u64)
            .read_to_end(&mut bytes)
            .map_err(failed("read", Path::new(path)))?;
        Ok(bytes)
    }

    fn find(&self, path: &str) -> Result<Option<Blob>, ArchiveError> {
        let refused = |source| ArchiveError::Path {
            path: path.chars().take(300).collect(),
            source,
        };
        let parsed = EntryPath::parse(path.as_bytes()).map_err(refused)?;
        match &self.form {
            Form::Folder(folder) => {
                // O_NONBLOCK: a FIFO must not make us wait.
                let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
                match in_root::open(folder.as_fd(), parsed.as_path(), flags, Mode::empty()) {
                    Ok(file) => regular(File::from(file), path).map(Some),
                    Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
                    Err(errno) => Err(failed("open", Path::new(path))(errno)),
                }
            }
            Form::Tar { tar, places, .. } => {
                let mut at = &parsed;
                for _ in 0..MAX_LINKS {
                    match places.get(at) {
                        None if *at == parsed => return Ok(None),
                        None => break,
                        Some(Place::Link(target)) => at = target,
                        Some(Place::At { offset, bytes }) => {
                            return Ok(Some(Blob {
                                bytes: *bytes,
                                reader: Box::new(Part {
                                    tar: Arc::clone(tar),
                                    offset: *offset,
                                    left: *bytes,
                                }),
                            }));
                        }
                    }
                }
                Err(ArchiveError::Link(parsed.to_string()))
            }
        }
    }
}

impl Form {
    /// Finds the files of an uncompressed tar.
    fn index(file: File, staged: Option<Staged>, name: &Path) -> Result<Self, ArchiveError> {
        let length = file.metadata().map_err(failed("examine", name))?.len();
        let tar = Arc::new(file);
        io::Seek::rewind(&mut &*tar).map_err(failed("read", name))?;
        let mut places = BTreeMap::new();
        let mut reader = TarReader::new(BufReader::new(&*tar));
        while let Some(entry) = reader.next_entry()? {
            let place = match entry.kind() {
                Kind::File => Place::At {
                    offset: reader.position().map_err(failed("read", name))?,
                    bytes: reader.left(),
                },
                Kind::Hard(target) => Place::Link(target.clone()),
                Kind::Symbolic(target) => match entry.path().resolve(target) {
                    Some(target) => Place::Link(target),
                    None => return Err(ArchiveError::Link(entry.path().to_string())),
                },
                Kind::Folder | Kind::Fifo | Kind::Device => continue,
            };
            reader.pass_over(length)?;
            places.insert(entry.path().clone(), place);
        }
        drop(reader);
        Ok(Self::Tar {
            tar,
            places,
            _staged: staged,
        })
    }
}

fn regular(file: File, path: &str) -> Result<Blob, ArchiveError> {
    let stat = file
        .metadata()
        .map_err(failed("examine", Path::new(path)))?;
    if !stat.is_file() {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file");
        return Err(failed("read", Path::new(path))(error));
    }
    Ok(Blob {
        bytes: stat.len(),
        reader: Box::new(file),
    })
}

/// A stretch of the tar; several may be read at the same time.
struct Part {
    tar: Arc<File>,
    offset: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let length = self.tar.read_at(buffer, self.offset)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

fn failed<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> ArchiveError {
    let path = path.to_owned();
    move |source| ArchiveError::Io {
        action,
        path,
        source: source.into(),
    }
}
