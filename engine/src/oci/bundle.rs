//! Bundles: a folder with `config.json` and the root file system that it names.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use serde::de::DeserializeOwned;

use super::{ContainerId, Error};
use crate::runtime::MountMaps;
use crate::runtime::cgroup::{self, CgroupPath};
use crate::sys::user_namespace::{Users, users};

/// The version of the runtime specification that this follows.
pub const VERSION: &str = "1.2.1";

/// More than any honest bundle has (10,000 mounts come to 2 MB).
const MAX_CONFIG: u64 = 16 << 20;

/// A bundle, read.
#[derive(Debug)]
pub struct Bundle {
    /// Its folder, absolute and without links.
    pub(super) folder: PathBuf,
    /// The bytes of its `config.json`: what counts from now on.
    pub(super) config: Vec<u8>,
    pub(super) spec: Spec,
    /// Its root file system, absolute and without links.
    pub(super) rootfs: PathBuf,
    /// The maps of its mounts.
    pub(super) mount_maps: Vec<MountMaps>,
}

impl Bundle {
    /// Reads the bundle in a folder.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`], [`Error::Bundle`].
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let folder = fs::canonicalize(folder).map_err(Error::io("find the bundle", folder))?;
        let path = folder.join("config.json");
        let config = read_bounded(&path)?;
        let spec: Spec = parse(&config, &path)?;
        let wrong = |why: String| Error::Bundle {
            bundle: folder.clone(),
            why,
        };
        if spec.version() != VERSION && !spec.version().starts_with("1.") {
            return Err(wrong(format!(
                "ociVersion {:?} is not supported; this runtime follows {VERSION} and every 1.x",
                spec.version()
            )));
        }
        let root = spec.root().as_ref();
        let root = root.ok_or_else(|| wrong("`root` is missing in config.json".to_owned()))?;
        let given = folder.join(root.path());
        // A link could be exchanged between our looking and the mount.
        let is_link = given.is_symlink();
        let rootfs = fs::canonicalize(&given).map_err(Error::io("find the rootfs", &given))?;
        if is_link || !rootfs.is_dir() {
            return Err(wrong(format!(
                "the rootfs {} must be a folder, and no symbolic link to one",
                given.display()
            )));
        }
        Ok(Self {
            mount_maps: mount_maps(&config, &path)?,
            folder,
            config,
            spec,
            rootfs,
        })
    }

    /// The specification's configuration.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Where its control group is to be: relative paths, and containers that name none, are below
    /// `/keel/runtime`; of a user who is not root in the group that is delegated to them. `None`:
    /// there is none.
    pub(super) fn cgroup(&self, id: &ContainerId) -> Result<Option<CgroupPath>, Error> {
        if cgroup::detect() == cgroup::Mode::Absent {
            return Ok(None);
        }
        let asked = self.spec.linux().as_ref();
        let asked = asked.and_then(|linux| linux.cgroups_path().as_deref());
        let asked = asked.filter(|path| !path.as_os_str().is_empty());
        let below = match (asked, users()) {
            (Some(path), _) if path.is_absolute() => {
                return Ok(Some(CgroupPath::parse(&path.to_string_lossy())?));
            }
            (_, Users::Hosts) => String::new(),
            (_, Users::Mapped) => match cgroup::delegated() {
                Some(own) => own.as_str().to_owned(),
                None => return Ok(None),
            },
        };
        let path = asked.unwrap_or(Path::new(id.as_str()));
        let path = format!("{below}/keel/runtime/{}", path.display());
        Ok(Some(CgroupPath::parse(&path)?))
    }
}

/// A file of the caller's, which might be anything.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, Error> {
    let file = fs::File::open(path).map_err(Error::io("open", path))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_CONFIG + 1).read_to_end(&mut bytes);
    read.map_err(Error::io("read", path))?;
    if bytes.len() as u64 > MAX_CONFIG {
        return Err(Error::Bundle {
            bundle: path.to_owned(),
            why: format!("has more than {} MiB", MAX_CONFIG >> 20),
        });
    }
    Ok(bytes)
}

/// `mounts[].uidMappings` and `gidMappings`, for which the types of the specification have no place.
pub(super) fn mount_maps(config: &[u8], path: &Path) -> Result<Vec<MountMaps>, Error> {
    #[derive(serde::Deserialize)]
    struct Mounts {
        #[serde(default)]
        mounts: Vec<MountMaps>,
    }
    let word = b"Mappings";
    if !config.windows(word.len()).any(|part| part == word) {
        return Ok(Vec::new());
    }
    let mounts: Mounts = parse(config, path)?;
    Ok(mounts.mounts)
}

/// Understands a `config.json`, or a part of one.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8], path: &Path) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}
