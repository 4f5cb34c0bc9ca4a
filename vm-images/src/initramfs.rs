//! The initramfs of a micro target: the static `seaworthy`, the modules, whatever else a cell
//! needs, and the manifest that tells the init process what to do.
//!
//! The archive is not compressed: it is read once from the page cache, and unpacking costs the
//! guest more than copying. Modules are unpacked here for the same reason.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use crate::agent::init::{MANIFEST, Manifest};
use crate::agent::message::Mount;
use crate::agent::modules;
use crate::cpio;
use crate::modules::{MissingModule, ModuleFile};
use crate::target::{Disk, GuestFile, MicroSpec};

mod elf;

/// What the machine itself needs of a kernel: where it is neither a module nor built in, the
/// kernel can't be a micro target.
const CHANNEL_MODULES: [&str; 2] = ["virtio_pci", "virtio_console"];

/// Where the init process is, as the kernel looks for it.
const INIT: &str = "/init";

/// Where programs find it.
const PROGRAM: &str = "/usr/bin/seaworthy";

/// Folders that a root file system has before anything is mounted.
const FOLDERS: [(&str, u32); 8] = [
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/var/lib", 0o755),
];

/// Files that programs look for on any system.
const TEXTS: [(&str, &str); 3] = [
    ("/etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    (
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
];

/// Why there is no initramfs.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// The kernel lacks a module.
    #[error(transparent)]
    Module(#[from] MissingModule),
    /// A file that belongs into it can't be read.
    #[error("can't put {path} into the initramfs")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It can't be written.
    #[error("can't write an initramfs in {folder}: is there a file system that can hold it?")]
    Write {
        /// Where.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Two files are to be in one place, or a path is no absolute one.
    #[error(
        "`{path}` can't be a file of the guest: paths are absolute, without `..`, and each names one file"
    )]
    Path {
        /// The path.
        path: String,
    },
}

/// What an entry of the archive is made of.
enum Content<'a> {
    Folder,
    Link(&'a str),
    Console,
    Bytes(Vec<u8>),
    File(&'a Path),
    /// A program, of which only what is loaded to run it is needed.
    Program(&'a Path),
    Module(PathBuf),
}

/// Writes the initramfs of `spec` into a file that has no name. The same inputs give the same
/// bytes.
///
/// The `spare` modules lie ready in it with what they depend on.
pub fn build(spec: &MicroSpec, spare: &[&str]) -> Result<File, InitramfsError> {
    let modules = modules(spec)?;
    let spare = beyond(&modules, spec, spare)?;
    let entries = entries(spec, &modules, &spare)?;
    let fail = |source| InitramfsError::Write {
        folder: spec.scratch.clone(),
        source,
    };
    let file = tempfile::tempfile_in(&spec.scratch).map_err(fail)?;
    let mut writer = cpio::Writer::new(BufWriter::with_capacity(1 << 20, file));
    for (path, (mode, content)) in &entries {
        add(
            &mut writer,
            path.trim_start_matches('/'),
            *mode,
            content,
            &spec.scratch,
        )?;
    }
    let file = writer.finish().map_err(fail)?;
    let mut file = file
        .into_inner()
        .map_err(|error| fail(error.into_error()))?;
    file.rewind().map_err(fail)?;
    Ok(file)
}

/// The modules in the order in which they are loaded.
pub(crate) fn modules(spec: &MicroSpec) -> Result<Vec<ModuleFile>, MissingModule> {
    let mut wanted = CHANNEL_MODULES.to_vec();
    wanted.extend(spec.outfit.wanted());
    spec.kernel.modules.closure(&wanted)
}

/// What has to be loaded for the modules `wanted`, in that order, when `loaded` are.
pub(crate) fn beyond(
    loaded: &[ModuleFile],
    spec: &MicroSpec,
    wanted: &[&str],
) -> Result<Vec<ModuleFile>, MissingModule> {
    let mut modules = spec.kernel.modules.closure(wanted)?;
    modules.retain(|module| !loaded.contains(module));
    Ok(modules)
}

/// Where a module is in a guest.
pub(crate) fn module_path(release: &str, module: &ModuleFile) -> String {
    format!("/lib/modules/{release}/{}.ko", module.name)
}

/// How a machine mounts its disks.
pub(crate) fn mounts(disks: &[Disk]) -> Vec<Mount> {
    let mounts = disks.iter().zip('a'..='z').map(|(disk, letter)| Mount {
        source: format!("/dev/vd{letter}"),
        target: disk.mount_at.clone(),
        filesystem: disk.filesystem.name().to_owned(),
        options: String::new(),
    });
    mounts.collect()
}

fn manifest(spec: &MicroSpec, modules: &[String]) -> Manifest {
    Manifest {
        hostname: "micro".to_owned(),
        cgroup: spec.cgroup,
        modules: modules.to_vec(),
        mounts: mounts(&spec.outfit.disks),
    }
}

type Entries<'a> = BTreeMap<String, (u32, Content<'a>)>;

/// All entries by path: sorted, so that folders come before what is in them.
fn entries<'a>(
    spec: &'a MicroSpec,
    modules: &[ModuleFile],
    spare: &[ModuleFile],
) -> Result<Entries<'a>, InitramfsError> {
    let mut entries = Entries::new();
    for (path, mode) in FOLDERS {
        insert(&mut entries, path, mode, Content::Folder)?;
    }
    // The kernel opens it as the init process's standard streams, before anything is mounted.
    insert(&mut entries, "/dev/console", 0o600, Content::Console)?;
    for (path, text) in TEXTS {
        insert(&mut entries, path, 0o644, Content::Bytes(text.into()))?;
    }
    insert(
        &mut entries,
        INIT,
        0o755,
        Content::Program(&spec.agent_binary),
    )?;
    insert(&mut entries, PROGRAM, 0o777, Content::Link(INIT))?;
    let release = &spec.kernel.release;
    for module in modules.iter().chain(spare) {
        let content = Content::Module(module.path.clone());
        insert(&mut entries, &module_path(release, module), 0o644, content)?;
    }
    let paths: Vec<_> = modules
        .iter()
        .map(|module| module_path(release, module))
        .collect();
    let json = serde_json::to_vec_pretty(&manifest(spec, &paths)).map_err(|error| {
        InitramfsError::Read {
            path: MANIFEST.into(),
            source: error.into(),
        }
    })?;
    insert(&mut entries, MANIFEST, 0o644, Content::Bytes(json))?;
    for GuestFile { host, guest, mode } in &spec.files {
        insert(&mut entries, guest, mode & 0o7777, Content::File(host))?;
    }
    Ok(entries)
}

fn insert<'a>(
    entries: &mut Entries<'a>,
    path: &str,
    mode: u32,
    content: Content<'a>,
) -> Result<(), InitramfsError> {
    let refuse = || InitramfsError::Path {
        path: path.to_owned(),
    };
    let relative = path.strip_prefix('/').ok_or_else(refuse)?;
    if relative
        .split('/')
        .any(|part| matches!(part, "" | "." | ".."))
    {
        return Err(refuse());
    }
    let parents = relative.match_indices('/').map(|(at, _)| at);
    for end in parents {
        let parent = format!("/{}", relative.get(..end).unwrap_or_default());
        let folder = entries.entry(parent).or_insert((0o755, Content::Folder));
        if !matches!(folder.1, Content::Folder) {
            return Err(refuse());
        }
    }
    match entries.insert(path.to_owned(), (mode, content)) {
        None => Ok(()),
        Some(_) => Err(refuse()),
    }
}

fn add(
    writer: &mut cpio::Writer<impl Write>,
    path: &str,
    mode: u32,
    content: &Content<'_>,
    scratch: &Path,
) -> Result<(), InitramfsError> {
    let write = |source| InitramfsError::Write {
        folder: scratch.to_owned(),
        source,
    };
    let from = |path: &Path| {
        let path = path.to_owned();
        move |source| InitramfsError::Read { path, source }
    };
    match content {
        Content::Folder => writer.folder(path, mode).map_err(write),
        Content::Link(target) => writer.symlink(path, target).map_err(write),
        Content::Console => writer.character_device(path, mode, 5, 1).map_err(write),
        Content::Bytes(bytes) => writer.bytes(path, mode, bytes).map_err(write),
        Content::File(host) => {
            let file = File::open(host).map_err(from(host))?;
            let size = file.metadata().map_err(from(host))?.len();
            writer.file(path, mode, size, file).map_err(from(host))
        }
        Content::Program(host) => {
            let (size, file) = elf::loaded_part(host).map_err(from(host))?;
            writer.file(path, mode, size, file).map_err(from(host))
        }
        Content::Module(host) => {
            let file = File::open(host).map_err(from(host))?;
            let bytes = modules::unpack(file).map_err(from(host))?;
            writer.bytes(path, mode, &bytes).map_err(write)
        }
    }
}
