//! `pull`: an image of a registry into the store, wholly and verified, or not at all.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::image::config::{ConfigError, ImageConfig};
use crate::image::digest::{ChainId, DiffId, Digest, ImageId};
use crate::image::layer::Expected;
use crate::image::limits::{MAX_INDEX_DEPTH, MAX_LAYER_BYTES};
use crate::image::load::{attempt, commit, there};
use crate::image::manifest::{Descriptor, Document, Index, Manifest, ManifestError, Platform};
use crate::image::origin::Origin;
use crate::image::reference::Reference;
use crate::image::registry::client::{Client, Fetched, ManifestName};
use crate::image::registry::download::Download;
use crate::image::registry::{Progress, RegistryError, Step};
use crate::image::store::{Store, StoreError, StoredLayer};
use crate::storage::StorageError;

/// Layers that are downloaded at the same time, as with Docker.
const DOWNLOADS: usize = 3;

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Storage.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A manifest.
    #[error("the manifest of `{name}` is refused")]
    Manifest {
        /// The image.
        name: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// Indexes that refer to indexes, and so on.
    #[error("the index of `{0}` refers to indexes more than {MAX_INDEX_DEPTH} deep")]
    TooDeep(String),
    /// The configuration.
    #[error("the image `{name}` cannot be used")]
    Config {
        /// The image.
        name: String,
        /// Why.
        #[source]
        source: ConfigError,
    },
    /// Layers of the manifest and of the configuration.
    #[error("the image `{name}` has {layers} layers but {diff_ids} diffIDs: it is damaged")]
    Count {
        /// The image.
        name: String,
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
    /// Nothing for the platform.
    #[error("`{name}` has no image for {wanted}, only for {}", found.join(", "))]
    Platform {
        /// The image.
        name: String,
        /// What is wanted.
        wanted: Platform,
        /// What there is.
        found: Vec<String>,
    },
    /// A layer that is said to be larger than any may be.
    #[error(
        "a layer of `{name}` has {bytes} bytes, more than the {MAX_LAYER_BYTES} that it may have"
    )]
    LayerTooLarge {
        /// The image.
        name: String,
        /// Compressed.
        bytes: u64,
    },
    /// A layer that lies elsewhere.
    #[error(
        "layer {digest} of `{name}` is not at the registry, as it must not be distributed; keel asks no other places for layers (CVE-2020-15157)"
    )]
    Foreign {
        /// The image.
        name: String,
        /// The layer.
        digest: Digest,
    },
    /// A layer was refused.
    #[error("layer {} of {of} is refused", at + 1)]
    Layer {
        /// Which, the lowest is 0.
        at: usize,
        /// How many there are.
        of: usize,
        /// Why.
        #[source]
        source: StorageError,
    },
}

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Its id.
    pub id: ImageId,
    /// The digest of what its name stands for at the registry: a manifest or an index.
    pub digest: Digest,
    /// Whether the name stood for this image before.
    pub news: News,
    /// Device nodes that were left out of its layers.
    pub devices: u64,
}

/// Whether a pull changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The name stands for another image than before.
    Newer,
    /// It does not.
    None,
}

/// Pulls the image `name` for `platform`, or else for this machine.
///
/// # Errors
/// Whatever is wrong is found before the image is recorded; nothing of it stays then.
pub fn pull(
    store: &Store,
    client: &Client,
    name: &Reference,
    platform: Option<&Platform>,
    progress: &dyn Progress,
) -> Result<Pulled, PullError> {
    let shown = name.familiar();
    let pulling = Pulling {
        store,
        client,
        name,
        shown: &shown,
        platform,
        progress,
    };
    attempt(store, || pulling.pull())
}

struct Pulling<'a> {
    store: &'a Store,
    client: &'a Client,
    name: &'a Reference,
    shown: &'a str,
    platform: Option<&'a Platform>,
    progress: &'a dyn Progress,
}

/// A layer that is not in the store yet.
struct Job {
    blob: Descriptor,
    path: PathBuf,
    /// Told when it has come; nothing comes when it failed.
    done: Sender<()>,
}

impl Pulling<'_> {
    fn pull(&self) -> Result<Pulled, PullError> {
        let before = self.store.id_of(self.name)?;
        let tag = self.name.tag().unwrap_or_default();
        let asked = match self.name.digest() {
            Some(digest) => ManifestName::Digest(digest),
            None => ManifestName::Tag(tag),
        };
        let fetched = self.client.manifest(self.name.path(), &asked)?;
        let digest = fetched.digest;
        let (manifest, fetched) = self.resolve(fetched)?;
        let config_bytes = self.client.metadata(self.name.path(), &manifest.config)?;
        let config = self.config(&manifest, &config_bytes)?;
        let (layers, devices) = self.layers(&manifest, &config.rootfs.diff_ids)?;
        let id = self
            .store
            .put(&config_bytes, layers, std::slice::from_ref(self.name))?;
        if let Some(origin) = Origin::new(self.name, &fetched.bytes) {
            self.store.set_origin(&id, &origin)?;
        }
        Ok(Pulled {
            id,
            digest,
            news: if before == Some(id) {
                News::None
            } else {
                News::Newer
            },
            devices,
        })
    }

    /// From an index to the manifest for the platform.
    fn resolve(&self, mut fetched: Fetched) -> Result<(Manifest, Fetched), PullError> {
        for _ in 0..=MAX_INDEX_DEPTH {
            let index = match Document::parse(&fetched.bytes) {
                Ok(Document::Manifest(manifest)) => return Ok((manifest, fetched)),
                Ok(Document::Index(index)) => index,
                Err(source) => {
                    return Err(PullError::Manifest {
                        name: self.shown.to_owned(),
                        source,
                    });
                }
            };
            let chosen = self.choose(&index)?;
            let asked = ManifestName::Digest(&chosen.digest);
            fetched = self.client.manifest(self.name.path(), &asked)?;
        }
        Err(PullError::TooDeep(self.shown.to_owned()))
    }

    /// The manifest of an index for the platform: one without a variant if none is asked for.
    fn choose<'i>(&self, index: &'i Index) -> Result<&'i Descriptor, PullError> {
        let here = Platform::here();
        let wanted = self.platform.unwrap_or(&here);
        let platform = |descriptor: &&Descriptor| descriptor.platform.clone();
        let mut fitting = index.manifests.iter().filter(|descriptor| {
            platform(descriptor).is_some_and(|platform| wanted.takes(&platform))
        });
        let first = fitting.next();
        let plain = first
            .into_iter()
            .chain(fitting)
            .find(|descriptor| platform(descriptor).is_some_and(|p| p.variant.is_none()));
        plain.or(first).ok_or_else(|| {
            let mut found: Vec<String> = index
                .manifests
                .iter()
                .filter_map(|descriptor| platform(&descriptor))
                // Attestations are "for" unknown/unknown.
                .filter(|platform| platform.os != "unknown")
                .map(|platform| super::http::printable(&platform.to_string()))
                .take(20)
                .collect();
            found.dedup();
            PullError::Platform {
                name: self.shown.to_owned(),
                wanted: wanted.clone(),
                found,
            }
        })
    }

    fn config(&self, manifest: &Manifest, bytes: &[u8]) -> Result<ImageConfig, PullError> {
        let config = ImageConfig::parse(bytes).map_err(|source| PullError::Config {
            name: self.shown.to_owned(),
            source,
        })?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(PullError::Count {
                name: self.shown.to_owned(),
                layers,
                diff_ids,
            });
        }
        let found = Platform {
            os: config.os.clone(),
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
        };
        match self.platform {
            Some(wanted) if !wanted.takes(&found) => Err(PullError::Platform {
                name: self.shown.to_owned(),
                wanted: wanted.clone(),
                found: vec![super::http::printable(&found.to_string())],
            }),
            None if !Platform::here().takes(&found) => {
                self.progress.warn(&format!(
                    "`{}` is for {}, and this machine is {}",
                    self.shown,
                    super::http::printable(&found.to_string()),
                    Platform::here()
                ));
                Ok(config)
            }
            _ => Ok(config),
        }
    }

    /// Downloads what is missing, several layers at a time, and unpacks each as soon as it and
    /// all below it are there.
    fn layers(
        &self,
        manifest: &Manifest,
        diff_ids: &[DiffId],
    ) -> Result<(Vec<StoredLayer>, u64), PullError> {
        let staged = self.store.staging().stage("pull")?;
        let mut jobs = VecDeque::new();
        let mut steps = Vec::new();
        let mut parent: Option<ChainId> = None;
        for (at, (blob, diff_id)) in manifest.layers.iter().zip(diff_ids).enumerate() {
            if blob.size > MAX_LAYER_BYTES {
                return Err(PullError::LayerTooLarge {
                    name: self.shown.to_owned(),
                    bytes: blob.size,
                });
            }
            let there = there(self.store, parent.as_ref(), *diff_id)?;
            parent = Some(ChainId::on_top_of(parent.as_ref(), *diff_id));
            let step = if let Some(layer) = there {
                self.progress.step(&blob.digest, Step::Present);
                Layer::There(layer)
            } else {
                let bytes = blob.size;
                self.progress.step(&blob.digest, Step::Waiting { bytes });
                let path = staged.path().join(format!("{at}-{}", blob.digest.hex()));
                let (done, came) = channel();
                jobs.push_back(Job {
                    blob: blob.clone(),
                    path: path.clone(),
                    done,
                });
                let expected = Expected {
                    blob: Some((blob.digest, blob.size)),
                    diff_id: Some(*diff_id),
                };
                Layer::Coming {
                    path,
                    expected,
                    came,
                }
            };
            steps.push(step);
        }
        let workers = jobs.len().min(DOWNLOADS);
        let work = Work {
            jobs: Mutex::new(jobs),
            stop: AtomicBool::new(false),
            failed: Mutex::new(None),
        };
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| self.download(&work));
            }
            let result = self.unpack(steps, &work);
            // Also when all went well: then nobody is left to hear it.
            work.stop.store(true, Ordering::Relaxed);
            result
        })
    }

    /// Downloads one layer after the other, until none is left or something failed.
    fn download(&self, work: &Work) {
        while let Some(job) = work.next() {
            let download = Download {
                client: self.client,
                repository: self.name.path(),
                blob: &job.blob,
                stop: &work.stop,
                progress: self.progress,
            };
            match download.to(&job.path) {
                Ok(()) => {
                    self.progress.step(&job.blob.digest, Step::Downloaded);
                    // Whoever does not wait any more has failed, and tells so.
                    job.done.send(()).unwrap_or_default();
                }
                Err(error) => return work.fail(self.explain(&job.blob, error)),
            }
        }
    }

    fn explain(&self, blob: &Descriptor, error: RegistryError) -> PullError {
        if blob.is_foreign() && matches!(error, RegistryError::NotFound { .. }) {
            return PullError::Foreign {
                name: self.shown.to_owned(),
                digest: blob.digest,
            };
        }
        error.into()
    }

    fn unpack(&self, steps: Vec<Layer>, work: &Work) -> Result<(Vec<StoredLayer>, u64), PullError> {
        let of = steps.len();
        let mut stored: Vec<StoredLayer> = Vec::with_capacity(of);
        let mut devices = 0;
        for (at, step) in steps.into_iter().enumerate() {
            let layer = match step {
                Layer::There(layer) => layer,
                Layer::Coming {
                    path,
                    expected,
                    came,
                } => {
                    if came.recv().is_err() {
                        return Err(work.failure());
                    }
                    let parent = stored.last().map(|layer| &layer.chain_id);
                    let file = open(&path)?;
                    let (layer, applied) = commit(self.store, Box::new(file), parent, expected)
                        .map_err(|source| PullError::Layer { at, of, source })?;
                    // It goes with the staging folder at the latest.
                    drop(fs::remove_file(&path));
                    if let Some((digest, _)) = expected.blob {
                        self.progress.step(&digest, Step::Unpacked);
                    }
                    devices += applied.devices;
                    layer
                }
            };
            stored.push(layer);
        }
        Ok((stored, devices))
    }
}

fn open(path: &Path) -> Result<File, RegistryError> {
    File::open(path).map_err(RegistryError::file("open", path))
}

/// How a layer gets into the store.
enum Layer {
    There(StoredLayer),
    Coming {
        path: PathBuf,
        expected: Expected,
        came: Receiver<()>,
    },
}

/// What the downloading threads share.
struct Work {
    jobs: Mutex<VecDeque<Job>>,
    stop: AtomicBool,
    /// What failed first.
    failed: Mutex<Option<PullError>>,
}

impl Work {
    fn next(&self) -> Option<Job> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.pop_front()
    }

    /// Ends all work. What ends because of that is no failure of its own.
    fn fail(&self, error: PullError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
        // Nobody will send for those that have not begun.
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.clear();
    }

    fn failure(&self) -> PullError {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.take().unwrap_or_else(|| {
            let source = io::Error::other("a thread ended early");
            RegistryError::file("download to", "images/staging")(source).into()
        })
    }
}
