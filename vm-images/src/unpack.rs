//! From packages to a kernel that can be booted: what is needed of them, in one pass each.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use matrix::arch::Arch;

use crate::compression::Compression;
use crate::kernel_image::{self, KernelImageError};
use crate::modinfo;
use crate::modules::{ModuleTable, module_name};
use crate::package::{self, PackageError, PackagedFile};

/// The longest files that are taken, in bytes. Debian's largest kernel image has 14 MB, its
/// largest module 30 MB.
const MAX_IMAGE: u64 = 256 << 20;
const MAX_MODULE: u64 = 256 << 20;
const MAX_TEXT: u64 = 16 << 20;

/// Why packages or files make no kernel.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A package can't be read.
    #[error("can't unpack {package}")]
    Package {
        /// Its file.
        package: PathBuf,
        /// Why.
        source: PackageError,
    },
    /// The kernel's file can't be used.
    #[error("can't use the kernel in {file}")]
    Image {
        /// The file it is in.
        file: PathBuf,
        /// Why.
        source: KernelImageError,
    },
    /// No package has the kernel.
    #[error(
        "the packages of kernel {release} have no kernel image; they are not laid out as Debian's are up to 7.3: give the kernel with `--kernel FILE --modules DIR`"
    )]
    NoImage {
        /// The kernel's release.
        release: String,
    },
    /// It is for another machine.
    #[error("the kernel {release} is not built for {expected}")]
    OtherArch {
        /// The kernel's release.
        release: String,
        /// What it should be for.
        expected: Arch,
    },
    /// The disk.
    #[error("can't write {path}; make room, or choose another folder with `--cache DIR`")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder of modules can't be read.
    #[error(
        "can't read the modules in {path}; give the folder `/lib/modules/RELEASE` of the kernel with `--modules DIR`"
    )]
    Modules {
        /// Which folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder of modules has none, nor a list of what is built in.
    #[error(
        "there is no module in {path}; give the folder `/lib/modules/RELEASE` of the kernel with `--modules DIR`, or nothing if all is built in"
    )]
    NoModules {
        /// The folder.
        path: PathBuf,
    },
}

/// What came out of a kernel's packages.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    pub(crate) has_image: bool,
    pub(crate) has_config: bool,
    pub(crate) table: ModuleTable,
}

/// The files of a kernel in its folder.
pub(crate) const VMLINUX: &str = "vmlinux";
/// The packed kernel; only there if the unpacked one has no PVH entry.
pub(crate) const VMLINUZ: &str = "vmlinuz";
pub(crate) const CONFIG: &str = "config";
pub(crate) const MODULES: &str = "modules";

/// The lists of what is built in, in a folder of modules.
const BUILT_IN: &str = "modules.builtin";
const BUILT_IN_INFO: &str = "modules.builtin.modinfo";

/// Unpacks a kernel's packages into a folder: `vmlinux`, `config`, `modules/kernel/…`.
pub(crate) fn unpack(
    packages: &[PathBuf],
    release: &str,
    arch: Arch,
    dir: &Path,
) -> Result<Unpacked, UnpackError> {
    let mut unpacked = Unpacked::default();
    let mut image = None;
    for path in packages {
        let failed = |source| UnpackError::Package {
            package: path.clone(),
            source,
        };
        let file = File::open(path).map_err(|e| failed(PackageError::Read(e)))?;
        package::walk(file, &mut |mut file| {
            match Part::of(file.path, release) {
                Some(Part::Image) => {
                    bounded(&file, MAX_IMAGE)?;
                    io::copy(&mut file.contents, &mut File::create(dir.join(VMLINUZ))?)?;
                    image = Some(path);
                }
                Some(Part::Config) => {
                    fs::write(dir.join(CONFIG), bytes(&mut file, MAX_TEXT)?)?;
                    unpacked.has_config = true;
                }
                Some(Part::BuiltIn) => {
                    let list = bytes(&mut file, MAX_TEXT)?;
                    unpacked.table.add_built_in(&String::from_utf8_lossy(&list));
                }
                Some(Part::BuiltInInfo) => {
                    unpacked
                        .table
                        .add_built_in_aliases(&bytes(&mut file, MAX_TEXT)?);
                }
                Some(Part::Module(inner)) => {
                    let content = bytes(&mut file, MAX_MODULE)?;
                    let target = dir.join(MODULES).join(&inner);
                    fs::create_dir_all(target.parent().unwrap_or(dir))?;
                    fs::write(target, &content)?;
                    unpacked.table.add(inner, &content)?;
                }
                None => {}
            }
            Ok(ControlFlow::Continue(()))
        })
        .map_err(failed)?;
    }
    if let Some(package) = image {
        unpack_image(dir, package)?;
        unpacked.has_image = true;
        let vmlinux = File::open(dir.join(VMLINUX));
        let mut head = Vec::new();
        vmlinux
            .and_then(|file| file.take(64).read_to_end(&mut head))
            .map_err(|source| UnpackError::Write {
                path: dir.join(VMLINUX),
                source,
            })?;
        if kernel_image::elf_arch(&head) != Some(arch) {
            return Err(UnpackError::OtherArch {
                release: release.to_owned(),
                expected: arch,
            });
        }
    }
    if !unpacked.has_image {
        return Err(UnpackError::NoImage {
            release: release.to_owned(),
        });
    }
    Ok(unpacked)
}

/// Unpacks the ELF image of the kernel's file that is in a folder, where it came to out of
/// `from`. The file goes if the image alone can be booted.
pub(crate) fn unpack_image(dir: &Path, from: &Path) -> Result<(), UnpackError> {
    let (packed, to) = (dir.join(VMLINUZ), dir.join(VMLINUX));
    let write = |source| UnpackError::Write {
        path: to.clone(),
        source,
    };
    let image = File::open(&packed).map_err(write)?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&to).map_err(write)?);
    kernel_image::unpack(image, &mut out).map_err(|source| UnpackError::Image {
        file: from.to_owned(),
        source,
    })?;
    out.flush().map_err(write)?;
    if File::open(&to)
        .and_then(kernel_image::has_pvh_entry)
        .map_err(write)?
    {
        fs::remove_file(&packed).map_err(write)?;
    }
    Ok(())
}

/// Reads the modules below a folder in place.
pub(crate) fn scan(dir: &Path) -> Result<ModuleTable, UnpackError> {
    let mut table = ModuleTable::default();
    let read = |name| {
        let path = dir.join(name);
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(UnpackError::Modules { path, source }),
        }
    };
    if let Some(list) = read(BUILT_IN)? {
        table.add_built_in(&String::from_utf8_lossy(&list));
        // Aliases alone are no list of what is built in.
        if let Some(modinfo) = read(BUILT_IN_INFO)? {
            table.add_built_in_aliases(&modinfo);
        }
    }
    for file in module_files(dir)? {
        let failed = |source| UnpackError::Modules {
            path: file.clone(),
            source,
        };
        let content = fs::read(&file).map_err(failed)?;
        let inner = file.strip_prefix(dir).unwrap_or(&file).to_owned();
        table.add(inner, &content).map_err(failed)?;
    }
    if table.modules.is_empty() && table.built_in.is_none() {
        return Err(UnpackError::NoModules {
            path: dir.to_owned(),
        });
    }
    Ok(table)
}

/// All files that [`scan`] reads below a folder, in a settled order.
pub(crate) fn module_files_and_lists(dir: &Path) -> Result<Vec<PathBuf>, UnpackError> {
    let mut files = module_files(dir)?;
    let lists = [BUILT_IN, BUILT_IN_INFO].map(|name| dir.join(name));
    files.extend(lists.into_iter().filter(|list| list.is_file()));
    Ok(files)
}

/// The module files below a folder, in the order of their paths. Links are not followed: `build`
/// and `source` lead to the kernel's sources.
fn module_files(dir: &Path) -> Result<Vec<PathBuf>, UnpackError> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| UnpackError::Modules {
            path: folder.clone(),
            source,
        };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && module_name(&path).is_some() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

impl ModuleTable {
    /// Takes in one module's file, as it is on disk.
    fn add(&mut self, path: PathBuf, content: &[u8]) -> io::Result<()> {
        let Some(name) = module_name(&path) else {
            return Ok(());
        };
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let module = match Compression::of_name(&path) {
            Compression::None => modinfo::read(content, path),
            packed @ (Compression::Gzip | Compression::Xz | Compression::Zstd) => {
                let mut unpacked = Vec::new();
                packed
                    .reader(content)?
                    .take(MAX_MODULE)
                    .read_to_end(&mut unpacked)?;
                modinfo::read(&unpacked, path)
            }
        };
        self.modules.insert(name, module.map_err(invalid)?);
        Ok(())
    }
}

/// What a packaged file is to a kernel.
enum Part {
    Image,
    Config,
    BuiltIn,
    BuiltInInfo,
    /// Its path below the modules' folder.
    Module(PathBuf),
}

impl Part {
    /// By the file's path. Debian has the image in `boot` up to 7.1 and beside the modules from
    /// 7.2 on, and the modules in `lib` up to 6.11 and in `usr/lib` from 6.12 on.
    fn of(path: &Path, release: &str) -> Option<Self> {
        let boot = path.strip_prefix("boot").ok().and_then(Path::to_str);
        if let Some(name) = boot {
            let stem = name.strip_suffix(release)?;
            return match stem {
                "vmlinuz-" | "vmlinux-" => Some(Self::Image),
                "config-" => Some(Self::Config),
                _ => None,
            };
        }
        let path = path.strip_prefix("usr").unwrap_or(path);
        let inner = path.strip_prefix("lib/modules").ok()?;
        let inner = inner.strip_prefix(release).ok()?;
        match inner.to_str()? {
            "vmlinuz" => Some(Self::Image),
            "config" => Some(Self::Config),
            BUILT_IN => Some(Self::BuiltIn),
            BUILT_IN_INFO => Some(Self::BuiltInInfo),
            _ => module_name(inner).map(|_| Self::Module(inner.to_owned())),
        }
    }
}

/// A packaged file's content, refused above a bound.
fn bytes(file: &mut PackagedFile<'_>, limit: u64) -> io::Result<Vec<u8>> {
    bounded(file, limit)?;
    let mut content = Vec::with_capacity(usize::try_from(file.size).unwrap_or_default());
    file.contents.read_to_end(&mut content)?;
    Ok(content)
}

fn bounded(file: &PackagedFile<'_>, limit: u64) -> io::Result<()> {
    if file.size <= limit {
        return Ok(());
    }
    let why = format!(
        "it has {} bytes, more than the {limit} that such a file may have",
        file.size
    );
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}
