//! Getting kernels: index, packages, unpacking, each as far as it is not there yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use matrix::arch::Arch;

use super::{Description, FetchedAs, ImageStore, SCHEMA, TABLE, digest_of_kernel, json};
use crate::cache::{Cache, CacheError};
use crate::catalogue::{Entry, Wanted};
use crate::compression::Compression;
use crate::fetch::{Download, FetchError, Fetcher, Retry};
use crate::index::{IndexError, IndexedPackage, KernelPackages, Release, Resolved};
use crate::kernel::{Kernel, Origin};
use crate::mirror::{Mirror, MirrorError, Validity};
use crate::progress::{Event, Progress};
use crate::proxy::Proxies;
use crate::sys;
use crate::unpack::{self, UnpackError};
use crate::verify::{Keyring, VerifyError};

/// The longest signed index, in bytes. Debian's have 200 KB.
const MAX_INDEX: u64 = 4 << 20;

/// Where kernels come from, and how.
#[derive(Debug, Clone)]
pub struct Source {
    /// The mirror; none to use what is in the cache, without any network.
    pub mirror: Option<Mirror>,
    /// The keys that the index must be signed with.
    pub keyring: Keyring,
    /// Through which proxies it is reached.
    pub proxies: Proxies,
    /// How many transfers run at once.
    pub jobs: usize,
    /// How often a transfer is tried again.
    pub retry: Retry,
    /// The clock that the index's dates are held against.
    pub now: Timestamp,
}

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The catalogue does not have it.
    #[error("there is no kernel `{0}` in the catalogue; `seaworthy image list` shows all")]
    Unknown(Wanted),
    /// There is no mirror.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The index's signature is not good.
    #[error("the index of {suite} from {url} is not trusted")]
    Untrusted {
        /// Which suite.
        suite: String,
        /// Where it came from.
        url: String,
        /// Why.
        source: VerifyError,
    },
    /// No keyring.
    #[error(transparent)]
    Keyring(#[from] VerifyError),
    /// The index can't be used though it is signed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A transfer failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The index does not have such a kernel.
    #[error(
        "the mirror has no kernel `{wanted}` (looked in {suites}); `seaworthy image list` shows what there is"
    )]
    NotInIndex {
        /// What was asked for.
        wanted: Wanted,
        /// Where it should be.
        suites: String,
    },
    /// Its packages make no kernel.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The cache can't be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A kernel in the cache is damaged.
    #[error("the kernel in {0} is damaged; remove that folder and try again")]
    Damaged(PathBuf),
    /// A file of the user's can't be read.
    #[error("can't read {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ImageStore {
    /// Gets the newest builds of all that is wanted, as far as they are not there, and gives
    /// them back in that order.
    ///
    /// The whole chain is checked each time: the index's signature against the keyring, the
    /// package lists' digests against the index, the packages' against the lists when they are
    /// unpacked, and what was unpacked against what it was then. Another process that changes
    /// the cache is waited for.
    ///
    /// # Errors
    ///
    /// The first that occurs. What was fetched until then is kept.
    pub fn fetch(
        &self,
        wanted: &[Wanted],
        source: &Source,
        progress: &dyn Progress,
    ) -> Result<Vec<Kernel>, StoreError> {
        sys::memory::give_back_large();
        let session = Session {
            store: self,
            fetcher: Fetcher::new(source.retry, &source.proxies),
            source,
            progress,
        };
        let _lock = self.cache.lock(|| {
            progress.event(&Event::Warning(
                "another seaworthy is at work in the cache; waiting for it",
            ));
        })?;
        self.clean_up()?;
        let mut entries = Vec::new();
        for wanted in wanted {
            entries.push((wanted, self.entries(wanted)?));
        }
        let indexes = session.refresh(&entries)?;
        let mut chosen = Vec::new();
        for (wanted, entries) in &entries {
            chosen.push(Session::choose(wanted, entries, &indexes)?);
        }
        let mut kernels: Vec<&(Entry, Resolved)> = Vec::new();
        for pair in &chosen {
            if kernels.iter().all(|(_, known)| {
                known.release != pair.1.release
                    || known.package_version() != pair.1.package_version()
            }) {
                kernels.push(pair);
            }
        }
        let missing: Vec<_> = kernels
            .into_iter()
            .filter(|(_, resolved)| {
                !matches!(Self::describe(&self.kernel_dir(resolved)), Ok(Some(_)))
            })
            .collect();
        session.get_packages(missing.iter().map(|(_, resolved)| resolved))?;
        for (entry, resolved) in missing {
            session.unpack(entry, resolved)?;
        }
        let mut ready = Vec::new();
        for (entry, resolved) in &chosen {
            let dir = self.kernel_dir(resolved);
            let Some(description) = Self::describe(&dir)? else {
                return Err(StoreError::Damaged(dir));
            };
            ready.push(Self::load(&dir, description, Some(&entry.id))?);
        }
        Ok(ready)
    }
}

/// The indexes that were read, by suite and architecture.
type Indexes = BTreeMap<String, BTreeMap<Arch, KernelPackages>>;

/// One call of [`ImageStore::fetch`].
struct Session<'a> {
    store: &'a ImageStore,
    fetcher: Fetcher,
    source: &'a Source,
    progress: &'a dyn Progress,
}

impl Session<'_> {
    /// Brings the indexes of all that is wanted up to date.
    ///
    /// Where the newest of several suites is wanted, a suite that the mirror lacks or no longer
    /// updates is passed over with a warning.
    fn refresh(&self, wanted: &[(&Wanted, Vec<Entry>)]) -> Result<Indexes, StoreError> {
        let mut suites: BTreeMap<&str, BTreeSet<Arch>> = BTreeMap::new();
        for entry in wanted.iter().flat_map(|(_, entries)| entries) {
            let archs = suites.entry(&entry.suite).or_default();
            archs.insert(entry.id.arch);
        }
        let suites: Vec<_> = suites.into_iter().collect();
        let results = self.at_once(&suites, |(suite, archs)| {
            let release = self.release(suite)?;
            let lists = archs
                .iter()
                .map(|arch| Ok((*arch, self.packages(&release, *arch)?)));
            lists.collect::<Result<BTreeMap<_, _>, StoreError>>()
        });
        let mut indexes = Indexes::new();
        let mut failures = Vec::new();
        for ((suite, _), result) in suites.iter().zip(results) {
            match result {
                Ok(lists) => drop(indexes.insert((*suite).to_owned(), lists)),
                Err(error) => failures.push((*suite, error)),
            }
        }
        for (suite, error) in failures {
            let has_other = |entries: &[Entry]| {
                entries
                    .iter()
                    .any(|entry| indexes.contains_key(&entry.suite))
            };
            let dispensable = wanted
                .iter()
                .filter(|(_, entries)| entries.iter().any(|entry| entry.suite == suite))
                .all(|(_, entries)| has_other(entries));
            if !dispensable || !error.is_outdated() {
                return Err(error);
            }
            self.warn(&format!("{suite} is passed over: {error}"));
        }
        Ok(indexes)
    }

    /// A suite's signed index, fresh from the mirror or as it was kept.
    fn release(&self, suite: &str) -> Result<Release, StoreError> {
        let cache = &self.store.cache;
        let kept = cache.index_dir(suite).join("InRelease");
        let what = format!("index of {suite}");
        let (message, url) = match &self.source.mirror {
            Some(mirror) => {
                let url = mirror.url(&format!("dists/{suite}/InRelease"));
                let message = self.fetcher.small(&what, &url, MAX_INDEX, self.progress)?;
                (message, url)
            }
            None => match Cache::read(&kept, MAX_INDEX)? {
                Some(message) => (message, kept.display().to_string()),
                None => return Err(FetchError::Offline { what }.into()),
            },
        };
        let verified = self.source.keyring.verify(&message).map_err(|source| {
            let suite = suite.to_owned();
            StoreError::Untrusted { suite, url, source }
        })?;
        let release = Release::parse(suite, &verified.text)?;
        if let Some(mirror) = &self.source.mirror {
            match (release.check_dates(self.source.now), mirror.validity()) {
                (Ok(()), _) => {}
                (Err(IndexError::Expired { suite, valid_until }), Validity::Waived) => {
                    self.warn(&format!(
                        "the index of {suite} expired on {valid_until}: taken nonetheless, as `--accept-expired` or apt's `Check-Valid-Until` says"
                    ));
                }
                (Err(error), _) => return Err(error.into()),
            }
            cache.write(&kept, &message)?;
        }
        Ok(release)
    }

    /// The kernel packages of a suite's list, read anew only if the list has changed.
    fn packages(&self, release: &Release, arch: Arch) -> Result<KernelPackages, StoreError> {
        let cache = &self.store.cache;
        let stored = self.store.index_path(&release.suite, arch);
        let (path, file) = release.package_list(arch)?;
        if let Some(known) = self.store.index(&release.suite, arch)? {
            if known.list_sha256 == file.sha256 {
                return Ok(known);
            }
        }
        let wanted = Download {
            what: format!("package list of {} for {arch}", release.suite),
            name: format!("{} {arch} index", release.suite),
            urls: match &self.source.mirror {
                Some(mirror) => list_urls(mirror, release, &path, &file.sha256),
                None => Vec::new(),
            },
            file: file.clone(),
        };
        let blob = self.fetcher.file(&wanted, cache, self.progress)?;
        let unreadable = |source| IndexError::List {
            suite: release.suite.clone(),
            source,
        };
        let packed = File::open(&blob).map_err(unreadable)?;
        let list = Compression::of_name(Path::new(&path))
            .reader(BufReader::new(packed))
            .map_err(unreadable)?;
        let list = BufReader::with_capacity(1 << 16, list);
        let packages = KernelPackages::read(release, arch, &file.sha256, list)?;
        cache.write(&stored, &json(&packages))?;
        Ok(packages)
    }

    /// The kernel that is meant, and the entry that it is of.
    fn choose(
        wanted: &Wanted,
        entries: &[Entry],
        indexes: &Indexes,
    ) -> Result<(Entry, Resolved), StoreError> {
        let mut found = Vec::new();
        for entry in entries {
            let lists = indexes.get(&entry.suite);
            let resolved = lists.and_then(|lists| lists.get(&entry.id.arch)?.resolve(entry));
            found.extend(resolved.map(|resolved| (entry.clone(), resolved)));
        }
        // Of several with the same version the first: the order of the catalogue.
        found.reverse();
        found
            .into_iter()
            .max_by_key(|(_, resolved)| resolved.version)
            .ok_or_else(|| StoreError::NotInIndex {
                wanted: wanted.clone(),
                suites: entries
                    .iter()
                    .map(|e| e.suite.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// Puts all packages of these kernels into the cache.
    fn get_packages<'r>(
        &self,
        kernels: impl Iterator<Item = &'r Resolved>,
    ) -> Result<(), StoreError> {
        let packages: BTreeMap<_, _> = kernels
            .flat_map(|resolved| &resolved.packages)
            .map(|package| (&package.file.sha256, package))
            .collect();
        let downloads: Vec<_> = packages.into_values().map(|p| self.download(p)).collect();
        let fetched = self.at_once(&downloads, |wanted| {
            self.fetcher.file(wanted, &self.store.cache, self.progress)
        });
        for result in fetched {
            result?;
        }
        Ok(())
    }

    fn download(&self, package: &IndexedPackage) -> Download {
        let url = |mirror: &Mirror| mirror.url(&package.filename);
        Download {
            what: format!("package {} {}", package.name, package.version),
            name: package.name.clone(),
            urls: self.source.mirror.iter().map(url).collect(),
            file: package.file.clone(),
        }
    }

    /// Makes a kernel of its packages, which are in the cache.
    fn unpack(&self, entry: &Entry, resolved: &Resolved) -> Result<(), StoreError> {
        let release = &resolved.release;
        self.progress.event(&Event::Unpacking { release });
        let cache = &self.store.cache;
        let packages = resolved.packages.iter();
        let blobs: Vec<_> = packages.map(|p| cache.blob(&p.file.sha256)).collect();
        self.store.build(&self.store.kernel_dir(resolved), |dir| {
            let unpacked = unpack::unpack(&blobs, release, entry.id.arch, dir)?;
            cache.write(&dir.join(TABLE), &json(&unpacked.table))?;
            Ok(Description {
                schema: SCHEMA.to_owned(),
                release: release.clone(),
                arch: entry.id.arch,
                fetched_as: Some(FetchedAs {
                    suite: entry.suite.clone(),
                    flavour: entry.flavour.clone(),
                    version: resolved.package_version().to_owned(),
                }),
                has_config: unpacked.has_config,
                origin: Origin::from(resolved),
                contents: digest_of_kernel(dir)?,
            })
        })
    }

    /// Does the work for each item, several at once, and gives the results in the items' order.
    fn at_once<T: Sync, R: Send>(&self, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let run = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                match items.get(index) {
                    Some(item) => done.push((index, work(item))),
                    None => return done,
                }
            }
        };
        let jobs = self.source.jobs.clamp(1, items.len().max(1));
        let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(run)).collect();
            let finished = threads.into_iter().map(|thread| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            finished.flatten().collect()
        });
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn warn(&self, text: &str) {
        self.progress.event(&Event::Warning(text));
    }
}

impl StoreError {
    /// Whether the mirror merely lacks the suite, or has an old index of it.
    fn is_outdated(&self) -> bool {
        matches!(
            self,
            Self::Fetch(FetchError::NotFound { .. } | FetchError::Offline { .. })
                | Self::Index(IndexError::Expired { .. })
        )
    }
}

/// Where a package list is: under its digest, where it stays while the archive changes, and under
/// its name.
fn list_urls(mirror: &Mirror, release: &Release, path: &str, sha256: &str) -> Vec<String> {
    let suite = &release.suite;
    let named = mirror.url(&format!("dists/{suite}/{path}"));
    match path.rsplit_once('/') {
        Some((folder, _)) if release.by_hash => {
            let by_hash = format!("dists/{suite}/{folder}/by-hash/SHA256/{sha256}");
            vec![mirror.url(&by_hash), named]
        }
        _ => vec![named],
    }
}
