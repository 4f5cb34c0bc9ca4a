//! Looking for what is broken, and for what killed processes left.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::store::{Hold, remove_leftover};
use super::{Container, Containers, Error};
use crate::image::digest::ImageId;
use crate::image::store::{Store, StoreError};
use crate::storage::DriverName;
use crate::volume::Volumes;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// Whoever made it was killed.
    #[error("container folder `{}` was never finished; `keel system prune` removes it", .0.display())]
    Unfinished(PathBuf),
    /// Its files cannot be read.
    #[error("container `{folder}` cannot be read: {why}")]
    Damaged {
        /// Its folder's name.
        folder: String,
        /// What is wrong.
        why: String,
    },
    /// Its files are gone.
    #[error("container `{container}` has no tree `{}` any more; remove it with `keel rm {container}`", tree.display())]
    NoTree {
        /// Its name.
        container: String,
        /// Where its tree should be.
        tree: PathBuf,
    },
    /// Nobody keeps its log and will see its end.
    #[error(
        "container `{0}` runs without its monitor, which was killed: its output is lost; `keel restart {0}` mends that"
    )]
    Unattended(String),
    /// A tree of no container.
    #[error("tree `{}` belongs to no container; `keel system prune` removes it", .0.display())]
    Orphan(PathBuf),
    /// An image that cannot be used.
    #[error(
        "image {id} cannot be used: {why}; load it again, or remove it with `keel rmi -f {id}`"
    )]
    Image {
        /// Which.
        id: ImageId,
        /// What is wrong.
        why: String,
    },
    /// A name without an image.
    #[error(
        "the name `{0}` stands for an image that is gone; `keel load` or `keel import` it again"
    )]
    Name(String),
    /// What was being made when its maker was killed.
    #[error("`{}` is unfinished work that nobody goes on with; `keel system prune` removes it", .0.display())]
    Leftover(PathBuf),
}

impl Containers {
    /// Looks at everything below the root folder. What is in use at this moment is no finding.
    ///
    /// # Errors
    /// Those of reading folders.
    pub fn check(&self, store: &Store) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let mut trees = BTreeSet::new();
        for folder in self.folders()? {
            let name = folder.file_name().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            match Container::read(self.root(), folder.clone()) {
                Ok(Some(container)) => {
                    trees.insert(container.tree_name().to_owned());
                    findings.extend(self.check_one(&container)?);
                }
                Ok(None) => {
                    trees.insert(name);
                    if is_unfinished(&folder)? {
                        findings.push(Finding::Unfinished(folder));
                    }
                }
                Err(error) => {
                    trees.insert(name.clone());
                    let why = super::start::chain(&error, ": ");
                    findings.push(Finding::Damaged { folder: name, why });
                }
            }
        }
        let all = self.trees()?.into_iter();
        let orphans = all.filter(|tree| {
            let name = tree.file_name().unwrap_or_default();
            !trees.contains(&*name.to_string_lossy())
        });
        findings.extend(orphans.map(Finding::Orphan));
        let images = check_images(store).map_err(|error| Error::Images(Box::new(error)))?;
        findings.extend(images);
        let left = Volumes::new(self.root()).leftovers()?;
        findings.extend(left.into_iter().map(Finding::Leftover));
        Ok(findings)
    }

    fn check_one(&self, container: &Container) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let name = container.name().to_string();
        let driver = &container.config().driver;
        let tree = self
            .root()
            .join("storage")
            .join(driver)
            .join("containers")
            .join(container.tree_name());
        if !tree.is_dir() {
            findings.push(Finding::NoTree {
                container: name.clone(),
                tree,
            });
        }
        let unattended =
            container.phase().is_live() && Hold::try_take(container.folder())?.is_some();
        if unattended {
            findings.push(Finding::Unattended(name));
        }
        Ok(findings)
    }

    /// Removes container folders that were never finished, and trees of no container. Returns how
    /// many things that were.
    ///
    /// # Errors
    /// Those of reading and removing.
    pub fn remove_leftovers(&self) -> Result<usize, Error> {
        // Nobody takes a name meanwhile, and whoever has taken one holds its folder.
        let _lock = self.lock()?;
        let mut removed = 0;
        let mut trees = BTreeSet::new();
        for folder in self.folders()? {
            if remove_leftover(&folder)? {
                removed += 1;
                continue;
            }
            // One that is being made, and a damaged one, keep what may be theirs.
            let found = Container::read(self.root(), folder.clone()).ok().flatten();
            let tree = found.map_or_else(
                || {
                    folder
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned()
                },
                |container| container.tree_name().to_owned(),
            );
            trees.insert(tree);
        }
        for tree in self.trees()? {
            let name = tree.file_name().unwrap_or_default().to_string_lossy();
            if !trees.contains(&*name) {
                self.remove_tree(&tree)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The trees of containers, of every driver.
    fn trees(&self) -> Result<Vec<PathBuf>, Error> {
        let mut trees = Vec::new();
        for driver in [DriverName::Overlay, DriverName::Btrfs, DriverName::Vfs] {
            let folder = self
                .root()
                .join("storage")
                .join(driver.as_str())
                .join("containers");
            let list = match fs::read_dir(&folder) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                list => list.map_err(Error::io("list", &folder))?,
            };
            for entry in list {
                trees.push(entry.map_err(Error::io("list", &folder))?.path());
            }
        }
        trees.sort();
        Ok(trees)
    }
}

/// A folder without a container, which nobody holds.
fn is_unfinished(folder: &std::path::Path) -> Result<bool, Error> {
    if folder.join("config.json").exists() {
        return Ok(false);
    }
    match Hold::try_take(folder) {
        Ok(hold) => Ok(hold.is_some()),
        // It was given up just now.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn check_images(store: &Store) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    let ids = store.ids()?;
    for id in &ids {
        let image = match store.image(id) {
            Ok(image) => image,
            Err(error) => {
                let why = super::start::chain(&error, ": ");
                findings.push(Finding::Image { id: *id, why });
                continue;
            }
        };
        for layer in &image.layers {
            let why = match store.storage().layer_bytes(&layer.chain_id) {
                Ok(Some(_)) => continue,
                Ok(None) => format!("its layer {} is gone", layer.chain_id),
                Err(error) => super::start::chain(&error, ": "),
            };
            findings.push(Finding::Image { id: *id, why });
        }
    }
    for (name, id) in store.names()? {
        if !ids.contains(&id) {
            findings.push(Finding::Name(name.familiar()));
        }
    }
    findings.extend(store.leftovers()?.into_iter().map(Finding::Leftover));
    Ok(findings)
}
