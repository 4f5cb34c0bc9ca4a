//! The volumes of a container: settled when it is made, filled from its image, and removed with it.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::unistd::{Gid, Uid, fchown};

use super::config::HostConfig;
use super::options::{CopyUp, Source, Volume};
use super::view::tree_root;
use super::{Container, Containers, Error, Force};
use crate::files::{Devices, Owner, Packer, stream, unpack};
use crate::storage::{Storage, TreeName};
use crate::sys::in_root;
use crate::volume::{Naming, Shared, VolumeError, VolumeName, Volumes};

/// Completes what was asked: the volumes of other containers, and one for each of the image's
/// paths that nothing else is mounted on.
pub(super) fn settle(
    root: &Path,
    host: &mut HostConfig,
    of_image: Vec<PathBuf>,
) -> Result<(), Error> {
    let mut targets = BTreeSet::new();
    let volumes = host.volumes.iter().map(|volume| &volume.target);
    let own = volumes.chain(host.tmpfs.iter().map(|tmpfs| &tmpfs.target));
    for target in own {
        if !targets.insert(target.clone()) {
            return Err(Error::SameTarget(target.clone()));
        }
    }
    for from in &host.volumes_from {
        let other = Containers::new(root).find(&from.container)?;
        for volume in &other.config().host.volumes {
            if targets.insert(volume.target.clone()) {
                host.volumes.push(Volume {
                    access: from.access.unwrap_or(volume.access),
                    ..volume.clone()
                });
            }
        }
    }
    for target in of_image {
        if targets.insert(target.clone()) {
            host.volumes.push(Volume::anonymous(target));
        }
    }
    Ok(())
}

/// Makes the volumes that are not there yet, and gives those without a name one. They are not
/// removed as long as what is returned lives.
pub(super) fn make(root: &Path, host: &mut HostConfig) -> Result<Option<Shared>, Error> {
    let is_volume = |volume: &Volume| !matches!(volume.source, Source::Path(_));
    if !host.volumes.iter().any(is_volume) {
        return Ok(None);
    }
    let volumes = Volumes::new(root);
    let hold = volumes.share()?;
    for volume in &mut host.volumes {
        match &volume.source {
            Source::Path(_) => {}
            Source::Named(name) => {
                volumes.ensure(name, &volume.labels, Naming::Named)?;
            }
            Source::Anonymous => {
                let name = VolumeName::random().map_err(Error::io("read", "/dev/urandom"))?;
                volumes.ensure(&name, &volume.labels, Naming::Anonymous)?;
                volume.source = Source::Named(name);
            }
        }
    }
    Ok(Some(hold))
}

/// Gives the empty ones of a new container's volumes what its image has in their places.
pub(super) fn copy_up(
    root: &Path,
    host: &HostConfig,
    storage: &Storage,
    tree: &TreeName,
) -> Result<(), Error> {
    let volumes = Volumes::new(root);
    let mut image = None;
    for volume in &host.volumes {
        let (Source::Named(name), CopyUp::Yes) = (&volume.source, volume.copy_up) else {
            continue;
        };
        let found = volumes.get(name)?;
        if image.is_none() {
            image = Some(tree_root(storage, tree)?);
        }
        let Some(image) = &image else { continue };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let folder = match in_root::open(image.as_fd(), &volume.target, flags, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
            folder => File::from(folder.map_err(Error::io("open", &volume.target))?),
        };
        volumes.fill(&found, |data| Ok(copy_folder(&folder, data)?))?;
    }
    Ok(())
}

/// Copies what is in a folder, and its own owner and mode.
fn copy_folder(from: &File, to: BorrowedFd<'_>) -> Result<(), Error> {
    let failed = || Error::io::<std::io::Error>("copy the folder of the image to", "_data");
    let stat = fstat(from).map_err(|errno| failed()(errno.into()))?;
    let copied = thread::scope(|scope| {
        let tar = stream(scope, |to| {
            let mut packer = Packer::new(to, Devices::LeaveOut);
            packer.folder(from.as_fd(), b"")?;
            packer.finish().map(|(_, packed)| packed)
        });
        Ok::<_, Error>(unpack(tar.map_err(failed())?, to, Owner::AsRecorded)?)
    });
    copied?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchown(to, Some(uid), Some(gid))
        .and_then(|()| fchmod(to, Mode::from_bits_truncate(stat.st_mode)))
        .map_err(|errno| failed()(errno.into()))
}

impl Containers {
    /// The names of the containers that have a volume.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn users_of_volume(&self, name: &VolumeName) -> Result<Vec<String>, Error> {
        let has_it = |container: &Container| {
            let mut volumes = container.config().host.volumes.iter();
            volumes.any(|volume| matches!(&volume.source, Source::Named(used) if used == name))
        };
        let users = self.list()?.into_iter().filter(has_it);
        Ok(users
            .map(|container| container.name().to_string())
            .collect())
    }

    /// Removes those of the volumes that nobody named and no container uses any more.
    pub(super) fn remove_anonymous(&self, names: &[VolumeName]) -> Result<(), Error> {
        let volumes = Volumes::new(self.root());
        let users = |name: &VolumeName| Ok(self.users_of_volume(name)?);
        for name in names {
            let is_anonymous = |volume: crate::volume::Volume| volume.record.anonymous;
            match volumes.get(name).map(is_anonymous) {
                Ok(true) => {}
                Ok(false) | Err(VolumeError::NotFound(_)) => continue,
                Err(error) => return Err(error.into()),
            }
            match volumes.remove(name, &users) {
                Ok(()) | Err(VolumeError::InUse { .. } | VolumeError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Container {
    /// The names of its volumes.
    pub(super) fn volume_names(&self) -> Vec<VolumeName> {
        let volumes = self.config().host.volumes.iter();
        let name = |volume: &Volume| match &volume.source {
            Source::Named(name) => Some(name.clone()),
            Source::Path(_) | Source::Anonymous => None,
        };
        volumes.filter_map(name).collect()
    }

    /// Removes it, with all that it wrote, and the volumes that were made for it alone.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn remove_with_volumes(self, force: Force) -> Result<(), Error> {
        let (containers, names) = (Containers::new(self.root()), self.volume_names());
        self.remove(force)?;
        containers.remove_anonymous(&names)
    }
}
