//! Names of images: links in folders that are called as the images are, for people to read.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::image::digest::{Digest, ImageId};
use crate::image::reference::Reference;
use crate::image::store::StoreError;
use crate::storage::sync_folder;

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// The names of one store: `REGISTRY/PATH:TAG[@DIGEST]` is a link to the image's folder.
///
/// A reference has no empty, `.` or `..` component (its parser sees to that), and only its last
/// one has a tag or digest, so a name is never a folder on the way to another name.
#[derive(Debug)]
pub(super) struct Names {
    folder: PathBuf,
}

impl Names {
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path_of(&self, name: &Reference) -> PathBuf {
        self.folder.join(name.to_string())
    }

    pub(super) fn get(&self, name: &Reference) -> Result<Option<ImageId>, StoreError> {
        let path = self.path_of(name);
        match fs::read_link(&path) {
            Ok(target) => Ok(id_in(&target)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(StoreError::io("read", path)(error)),
        }
    }

    /// Makes `name` stand for `id` from now on; at no time does it stand for nothing.
    pub(super) fn set(&self, name: &Reference, id: &ImageId) -> Result<(), StoreError> {
        let path = self.path_of(name);
        let folder = path.parent().unwrap_or(&self.folder);
        let depth = name.path().split('/').count();
        let target = "../".repeat(depth + 1) + "ids/" + &id.hex();
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        // `new,` cannot start a name.
        let new = folder.join(format!("new,{}-{serial}", std::process::id()));
        let replace = || -> io::Result<()> {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
            symlink(target, &new)?;
            fs::rename(&new, &path).inspect_err(|_| drop(fs::remove_file(&new)))
        };
        replace().map_err(StoreError::io("write", &path))?;
        // The folders above may be new, too.
        for above in folder.ancestors() {
            sync_folder(above)?;
            if above == self.folder {
                break;
            }
        }
        Ok(())
    }

    /// Removes the name, and the folders that hold no other.
    pub(super) fn remove(&self, name: &Reference) -> Result<(), StoreError> {
        let path = self.path_of(name);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(StoreError::io("remove", path)(error)),
        }
        let mut kept = self.folder.as_path();
        for folder in path.ancestors().skip(1) {
            if folder == self.folder || fs::remove_dir(folder).is_err() {
                kept = folder;
                break;
            }
        }
        Ok(sync_folder(kept)?)
    }

    /// All names, sorted. Links that are not ours are left out.
    pub(super) fn list(&self) -> Result<Vec<(Reference, ImageId)>, StoreError> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            let failed = |folder: &PathBuf| StoreError::io::<io::Error>("list", folder.clone());
            for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
                let entry = entry.map_err(failed(&folder))?;
                let kind = entry.file_type().map_err(failed(&folder))?;
                let path = entry.path();
                if kind.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path
                    .strip_prefix(&self.folder)
                    .ok()
                    .and_then(Path::to_str)
                    .and_then(|text| text.parse().ok());
                let id = fs::read_link(&path).ok().and_then(|target| id_in(&target));
                if let (Some(name), Some(id)) = (name, id) {
                    found.push((name, id));
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

fn id_in(target: &Path) -> Option<ImageId> {
    let hex = target.file_name()?.to_str()?;
    Digest::from_hex(hex).ok().map(ImageId::new)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(of: &str) -> ImageId {
        ImageId::new(Digest::of(of.as_bytes()))
    }

    #[test]
    fn a_name_stands_for_the_image_that_it_was_last_given_to() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::new(folder.path().to_owned());
        let name: Reference = "localhost:5000/a/b:c".parse().unwrap();
        names.set(&name, &id("1")).unwrap();
        names.set(&name, &id("2")).unwrap();
        assert_eq!(names.get(&name).unwrap(), Some(id("2")));
        assert_eq!(names.list().unwrap(), [(name, id("2"))]);
    }

    #[test]
    fn a_repository_can_lie_below_the_name_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::new(folder.path().to_owned());
        for name in ["a.b/c", "a.b/c/d", "a.b/c:tag"] {
            names.set(&name.parse().unwrap(), &id(name)).unwrap();
        }
        assert_eq!(names.list().unwrap().len(), 3);
    }

    #[test]
    fn removing_the_last_name_leaves_no_folders() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::new(folder.path().to_owned());
        let name: Reference = "a.b/c/d:e".parse().unwrap();
        names.set(&name, &id("1")).unwrap();
        names.remove(&name).unwrap();
        names.remove(&name).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
