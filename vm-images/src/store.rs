//! The kernels of the catalogue on this machine: what is there, getting more, clearing up.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use matrix::arch::Arch;
use matrix::version::KernelVersion;
use serde::{Deserialize, Serialize};

use crate::cache::{Cache, CacheError, digest_of};
use crate::catalogue::{Catalogue, Entry, KernelId, Series, Wanted};
use crate::debian_version;
use crate::index::{KernelPackages, Resolved, SCHEMA as INDEX_SCHEMA};
use crate::kernel::{Kernel, Origin, OwnModules, PackageId};
use crate::kernel_image;
use crate::modules::{ModuleTable, ModuleTree};
use crate::unpack::{self, CONFIG, MODULES, UnpackError, VMLINUX, VMLINUZ};

mod contents;
mod fetch;
mod prune;

use contents::{digest_of_files, digest_of_kernel};
pub use fetch::{Source, StoreError};
pub use prune::{PruneMode, Pruned};

/// The `schema` member of a kernel's description.
const SCHEMA: &str = "seaworthy.kernel/1";
/// How the names of folders begin in which kernels are being unpacked.
const UNPACKING: &str = ".unpacking-";
const DESCRIPTION: &str = "kernel.json";
const TABLE: &str = "modules.json";
/// How the names of tables begin that are of folders of the user's.
const OWN_TABLE: &str = "modules-";
/// The longest stored description, in bytes. That of 4,000 modules has 0.6 MB.
const MAX_DESCRIPTION: u64 = 64 << 20;

/// The kernels of a catalogue and the cache that keeps them.
#[derive(Debug)]
pub struct ImageStore {
    cache: Cache,
    catalogue: Catalogue,
}

/// What is known about one entry of the catalogue without any network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The entry's name as the catalogue has it.
    pub id: KernelId,
    /// The name with the series settled by the newest index that was fetched, which is what
    /// stands in cell ids; none as long as the series is unknown.
    pub settled: Option<KernelId>,
    /// The kernel's release (`uname -r`): of the index's kernel, else of the cached one.
    pub release: Option<String>,
    /// The packages' size in bytes, once an index was fetched.
    pub size: Option<u64>,
    /// Whether it can be booted without fetching anything.
    pub cached: Cached,
    /// The archive's suite.
    pub suite: String,
    /// The flavour of its packages.
    pub flavour: String,
}

/// Whether a kernel is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cached {
    /// No.
    No,
    /// Yes, and it is the one that the index names.
    Yes,
    /// An older build of it, of this release.
    Older(String),
}

/// How a kernel in the cache describes itself: `kernel.json` in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Description {
    /// Always `seaworthy.kernel/1`.
    schema: String,
    release: String,
    arch: Arch,
    /// The entry that it was fetched for; absent for a kernel of the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fetched_as: Option<FetchedAs>,
    has_config: bool,
    origin: Origin,
    /// The digest of all other files in its folder. One without it was unpacked before there was
    /// this member, and is unpacked anew.
    contents: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FetchedAs {
    suite: String,
    flavour: String,
    /// The version of the package that names the kernel.
    version: String,
}

impl ImageStore {
    /// Opens the cache in `cache`, which is made when something is fetched.
    pub fn open(cache: &Path, catalogue: Catalogue) -> Self {
        Self {
            cache: Cache::at(cache),
            catalogue,
        }
    }

    /// The folder that keeps everything.
    pub fn cache(&self) -> &Path {
        self.cache.root()
    }

    /// The catalogue whose kernels it keeps.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Every entry of the catalogue with what is known of it here; asks no network.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let describe = |entry: &Entry| {
            let resolved = self.resolve(entry)?;
            let there = self.best_cached(entry, resolved.as_ref())?;
            let version = resolved.as_ref().map(|r| r.version);
            let version = version.or_else(|| there.as_ref().and_then(|(_, d)| d.version()));
            let cached = match (&there, &resolved) {
                (None, _) => Cached::No,
                (Some((_, there)), Some(newest)) if there.release != newest.release => {
                    Cached::Older(there.release.clone())
                }
                (Some(_), _) => Cached::Yes,
            };
            Ok(Listed {
                id: entry.id.clone(),
                settled: version.map(|version| entry.id.settled(version)),
                release: match &resolved {
                    Some(resolved) => Some(resolved.release.clone()),
                    None => there.map(|(_, there)| there.release),
                },
                size: resolved.map(|r| r.size()),
                cached,
                suite: entry.suite.clone(),
                flavour: entry.flavour.clone(),
            })
        };
        self.catalogue.entries().iter().map(describe).collect()
    }

    /// The name, with its series, of what is wanted, by the indexes and kernels in the cache;
    /// none as long as they do not tell. Asks no network.
    pub fn settle(&self, wanted: &Wanted) -> Result<Option<KernelId>, StoreError> {
        let mut known = Vec::new();
        for entry in self.entries(wanted)? {
            let version = match self.resolve(&entry)? {
                Some(resolved) => Some(resolved.version),
                None => self
                    .best_cached(&entry, None)?
                    .and_then(|(_, d)| d.version()),
            };
            known.extend(version.map(|version| (version, entry.id.settled(version))));
        }
        // The first of several with the same version: the order of the catalogue.
        known.reverse();
        Ok(known
            .into_iter()
            .max_by_key(|(version, _)| *version)
            .map(|(_, id)| id))
    }

    /// The kernel, if it is in the cache: the build that the newest index names, else the newest
    /// that is there. Asks no network.
    pub fn kernel(&self, wanted: &Wanted) -> Result<Option<Kernel>, StoreError> {
        let mut kernels = Vec::new();
        for entry in self.entries(wanted)? {
            let resolved = self.resolve(&entry)?;
            let cached = self.best_cached(&entry, resolved.as_ref())?;
            kernels.extend(cached.map(|(dir, description)| (entry, dir, description)));
        }
        kernels.reverse();
        let newest = kernels.into_iter().max_by_key(|(_, _, d)| d.version());
        newest
            .map(|(entry, dir, description)| Self::load(&dir, description, Some(&entry.id)))
            .transpose()
    }

    /// A kernel of the user's own: a bzImage or an ELF image, with the folder of its modules
    /// (`/lib/modules/RELEASE`), or none if all is built in. What has to be unpacked or computed
    /// is kept in the cache.
    pub fn own(&self, kernel: &Path, modules: Option<&Path>) -> Result<Kernel, StoreError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Unreadable { path, source }
        };
        let image = fs::read(kernel).map_err(unreadable(kernel))?;
        let (sha256, _) = digest_of(image.as_slice()).map_err(unreadable(kernel))?;
        let not_a_kernel = |source| UnpackError::Image {
            file: kernel.to_owned(),
            source,
        };
        let release = kernel_image::release(&image).map_err(not_a_kernel)?;
        let short = sha256.get(..16).unwrap_or(&sha256);
        let dir = self.cache.kernels().join(format!("own-{short}"));
        if !dir.join(DESCRIPTION).exists() {
            let _lock = self.cache.lock(|| ())?;
            self.build(&dir, |dir| {
                self.cache.write(&dir.join(VMLINUZ), &image)?;
                unpack::unpack_image(dir, kernel)?;
                let config = kernel_image::embedded_config(&image).map_err(not_a_kernel)?;
                if let Some(config) = &config {
                    self.cache.write(&dir.join(CONFIG), config)?;
                }
                let head = head(&dir.join(VMLINUX)).map_err(unreadable(kernel))?;
                let version = release
                    .as_deref()
                    .and_then(|r| r.parse::<KernelVersion>().ok());
                let (Some(arch), Some(_)) = (kernel_image::elf_arch(&head), version) else {
                    return Err(not_a_kernel(kernel_image::KernelImageError::NotAKernel).into());
                };
                Ok(Description {
                    schema: SCHEMA.to_owned(),
                    release: release.clone().unwrap_or_default(),
                    arch,
                    fetched_as: None,
                    has_config: config.is_some(),
                    origin: Origin::Files {
                        kernel: kernel.to_owned(),
                        sha256: sha256.clone(),
                        modules: None,
                    },
                    contents: digest_of_kernel(dir)?,
                })
            })?;
        }
        let description = Self::describe(&dir)?.ok_or_else(|| StoreError::Damaged(dir.clone()))?;
        let (tree, given) = match modules {
            None => (ModuleTree::monolithic(&description.release), None),
            Some(folder) => {
                let given = OwnModules {
                    folder: folder.to_owned(),
                    sha256: digest_of_files(folder, &unpack::module_files_and_lists(folder)?)?,
                };
                let table = self.table_of(&dir, &given)?;
                let tree = ModuleTree::new(&description.release, folder.to_owned(), table);
                (tree, Some(given))
            }
        };
        let mut kernel = Self::with_modules(&dir, description, None, tree)?;
        if let Origin::Files { modules, .. } = &mut kernel.origin {
            *modules = given;
        }
        Ok(kernel)
    }

    /// What the modules in a folder of the user's depend on. Unpacking thousands of modules takes
    /// seconds, so it is kept for as long as they are the same.
    fn table_of(&self, dir: &Path, modules: &OwnModules) -> Result<ModuleTable, StoreError> {
        // Before the 2, a folder without a list was read as one with nothing built in.
        let path = dir.join(format!("{OWN_TABLE}2-{}.json", modules.sha256));
        if let Some(stored) = Cache::read(&path, MAX_DESCRIPTION)? {
            if let Ok(table) = serde_json::from_slice(&stored) {
                return Ok(table);
            }
        }
        let table = unpack::scan(&modules.folder)?;
        self.cache.write(&path, &json(&table))?;
        Ok(table)
    }

    /// The entries that may be meant: one, or all newest ones of an architecture. A name with its
    /// series settled means the entry that it was settled from.
    fn entries(&self, wanted: &Wanted) -> Result<Vec<Entry>, StoreError> {
        let found: Vec<Entry> = match wanted {
            Wanted::Kernel(id) => {
                let newest = KernelId {
                    series: Series::Newest,
                    ..id.clone()
                };
                let exact = self.catalogue.entry(id).cloned();
                let open = self.catalogue.entry(&newest).map(|entry| Entry {
                    id: id.clone(),
                    ..entry.clone()
                });
                exact.or(open).into_iter().collect()
            }
            Wanted::Newest { distro, arch } => {
                let is_meant = |id: &KernelId| {
                    id.arch == *arch && distro.as_ref().is_none_or(|distro| id.distro == *distro)
                };
                let meant = || {
                    let entries = self.catalogue.entries().iter();
                    entries.filter(|entry| is_meant(&entry.id))
                };
                let newest: Vec<_> = meant()
                    .filter(|entry| entry.id.series == Series::Newest)
                    .cloned()
                    .collect();
                if newest.is_empty() {
                    meant().cloned().collect()
                } else {
                    newest
                }
            }
        };
        if found.is_empty() {
            return Err(StoreError::Unknown(wanted.clone()));
        }
        Ok(found)
    }

    fn index_path(&self, suite: &str, arch: Arch) -> PathBuf {
        self.cache.index_dir(suite).join(format!("{arch}.json"))
    }

    /// The stored index of a suite.
    fn index(&self, suite: &str, arch: Arch) -> Result<Option<KernelPackages>, StoreError> {
        let path = self.index_path(suite, arch);
        let stored = Cache::read(&path, MAX_DESCRIPTION)?;
        // One of another version, or damaged, is as good as none: the next fetch writes it anew.
        Ok(stored
            .and_then(|bytes| serde_json::from_slice::<KernelPackages>(&bytes).ok())
            .filter(|index| index.schema == INDEX_SCHEMA))
    }

    fn resolve(&self, entry: &Entry) -> Result<Option<Resolved>, StoreError> {
        let index = self.index(&entry.suite, entry.id.arch)?;
        Ok(index.and_then(|index| index.resolve(entry)))
    }

    fn kernel_dir(&self, resolved: &Resolved) -> PathBuf {
        let version: String = resolved
            .package_version()
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "._+~-".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        self.cache
            .kernels()
            .join(format!("{}_{version}", resolved.release))
    }

    /// The kernel that the index names, if it is there; else the newest of the entry's that is.
    fn best_cached(
        &self,
        entry: &Entry,
        resolved: Option<&Resolved>,
    ) -> Result<Option<(PathBuf, Description)>, StoreError> {
        if let Some(resolved) = resolved {
            let dir = self.kernel_dir(resolved);
            if let Some(description) = Self::describe(&dir)? {
                return Ok(Some((dir, description)));
            }
        }
        let mut found = self.described()?;
        found.retain(|(_, description)| description.serves(entry));
        Ok(found.into_iter().max_by(|(_, a), (_, b)| {
            debian_version::compare(a.package_version(), b.package_version())
        }))
    }

    /// Every kernel in the cache.
    fn described(&self) -> Result<Vec<(PathBuf, Description)>, StoreError> {
        let mut all = Vec::new();
        let Ok(entries) = fs::read_dir(self.cache.kernels()) else {
            return Ok(all);
        };
        for entry in entries.flatten() {
            if let Some(description) = Self::describe(&entry.path())? {
                all.push((entry.path(), description));
            }
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(all)
    }

    /// A kernel's description; none where the folder holds no kernel of this version's.
    fn describe(dir: &Path) -> Result<Option<Description>, StoreError> {
        let stored = Cache::read(&dir.join(DESCRIPTION), MAX_DESCRIPTION)?;
        Ok(stored
            .and_then(|bytes| serde_json::from_slice::<Description>(&bytes).ok())
            .filter(|description| description.schema == SCHEMA))
    }

    /// The kernel in a folder with its own modules.
    fn load(
        dir: &Path,
        description: Description,
        id: Option<&KernelId>,
    ) -> Result<Kernel, StoreError> {
        let table = Cache::read(&dir.join(TABLE), MAX_DESCRIPTION)?;
        let table = table
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| StoreError::Damaged(dir.to_owned()))?;
        let tree = ModuleTree::new(&description.release, dir.join(MODULES), table);
        Self::with_modules(dir, description, id, tree)
    }

    /// The kernel in a folder, to the byte as it was unpacked.
    fn with_modules(
        dir: &Path,
        description: Description,
        id: Option<&KernelId>,
        modules: ModuleTree,
    ) -> Result<Kernel, StoreError> {
        let damaged = || StoreError::Damaged(dir.to_owned());
        if digest_of_kernel(dir)? != description.contents {
            return Err(damaged());
        }
        let version = description.version().ok_or_else(damaged)?;
        Ok(Kernel {
            id: id.map(|id| id.settled(version)),
            version,
            arch: description.arch,
            boot: [VMLINUZ, VMLINUX]
                .map(|name| dir.join(name))
                .into_iter()
                .find(|path| path.exists())
                .ok_or_else(damaged)?,
            vmlinux: dir.join(VMLINUX),
            config: description.has_config.then(|| dir.join(CONFIG)),
            modules,
            origin: description.origin,
            release: description.release,
        })
    }

    /// Removes what a process that was killed left of its unpacking. The lock is held.
    fn clean_up(&self) -> Result<(), CacheError> {
        let Ok(entries) = fs::read_dir(self.cache.kernels()) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNPACKING) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|e| CacheError::new("remove", &path, e))?;
            }
        }
        Ok(())
    }

    /// Makes a kernel's folder: filled under another name, to the disk, then renamed.
    fn build(
        &self,
        dir: &Path,
        fill: impl FnOnce(&Path) -> Result<Description, StoreError>,
    ) -> Result<(), StoreError> {
        let parent = self.cache.kernels();
        let failed = |source| StoreError::from(CacheError::new("make the folder", dir, source));
        fs::create_dir_all(&parent).map_err(failed)?;
        let temporary = tempfile::Builder::new()
            .prefix(UNPACKING)
            .tempdir_in(&parent)
            .map_err(failed)?;
        let description = fill(temporary.path())?;
        self.cache
            .write(&temporary.path().join(DESCRIPTION), &json(&description))?;
        let to_disk = || -> io::Result<()> {
            // One call for thousands of modules' files.
            nix::unistd::syncfs(File::open(temporary.path())?)?;
            // What a crash or an older version of Seaworthy left there has no description that
            // can be read.
            match fs::remove_dir_all(dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::rename(temporary.keep(), dir)?;
            File::open(&parent)?.sync_all()
        };
        to_disk().map_err(failed)
    }
}

impl Description {
    fn version(&self) -> Option<KernelVersion> {
        self.release.parse().ok()
    }

    fn package_version(&self) -> &str {
        self.fetched_as
            .as_ref()
            .map_or("", |fetched| &fetched.version)
    }

    /// Whether this is some build of what the entry means.
    fn serves(&self, entry: &Entry) -> bool {
        let series = match entry.id.series {
            Series::Newest => true,
            Series::Of(series) => self.version().is_some_and(|v| v.series() == series),
        };
        series
            && self.arch == entry.id.arch
            && self
                .fetched_as
                .as_ref()
                .is_some_and(|f| f.suite == entry.suite && f.flavour == entry.flavour)
    }
}

impl From<&Resolved> for Origin {
    fn from(resolved: &Resolved) -> Self {
        let exactly = |package: &crate::index::IndexedPackage| PackageId {
            name: package.name.clone(),
            version: package.version.clone(),
            sha256: package.file.sha256.clone(),
        };
        Self::Packages(resolved.packages.iter().map(exactly).collect())
    }
}

/// The first bytes of a file, enough for an ELF header.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(File::open(path)?, 64), &mut head)?;
    Ok(head)
}

/// A stored form as JSON. Our own types have string keys only, so nothing fails.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
