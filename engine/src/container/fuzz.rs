//! Targets of fuzzing: options, and files of containers.
#![expect(
    clippy::missing_panics_doc,
    reason = "a panic is how each of them tells of a broken promise"
)]

use std::fmt::{Debug, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::options::{
    Bytes, CapabilityChange, Cpus, Device, EnvVar, Label, Mount, Network, SecurityOpt, Signal,
    SwapLimit, Tmpfs, Ulimit, Volume, VolumesFrom, in_container,
};
use super::user::Identity;
use crate::container::name::Name;
use crate::fuzz::text;
use crate::volume::VolumeName;

/// The values of options are taken or refused; those that are shown again are the same then.
pub fn options(data: &[u8]) {
    let text = text(data);
    again::<Bytes>(&text);
    again::<CapabilityChange>(&text);
    again::<Name>(&text);
    again::<Signal>(&text);
    again::<VolumeName>(&text);
    drop(text.parse::<Cpus>());
    drop(text.parse::<Device>());
    drop(text.parse::<EnvVar>());
    drop(text.parse::<Label>());
    drop(text.parse::<Network>());
    drop(text.parse::<SecurityOpt>());
    drop(text.parse::<SwapLimit>());
    drop(text.parse::<Tmpfs>());
    drop(text.parse::<VolumesFrom>());
    if let Ok(limit) = text.parse::<Ulimit>() {
        drop((limit.inspect(), limit.rlimit()));
    }
    for target in [
        text.parse::<Mount>().ok().map(target_of),
        text.parse::<Volume>().ok().map(|volume| volume.target),
        in_container(&text),
    ] {
        let is_plain = |path: &Path| {
            path.is_absolute() && !path.components().any(|part| part.as_os_str() == "..")
        };
        assert!(target.as_deref().is_none_or(is_plain), "{target:?}");
    }
}

fn target_of(mount: Mount) -> PathBuf {
    match mount {
        Mount::Volume(volume) => volume.target,
        Mount::Tmpfs(tmpfs) => tmpfs.target,
    }
}

fn again<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let shown = value.to_string();
        assert_eq!(shown.parse().ok(), Some(value), "{shown}");
    }
}

/// The first line is `--user`, the second tells how many bytes the image's `/etc/passwd` has, the
/// rest are that file and `/etc/group`. Nobody gets an id that is out of range.
pub fn user(data: &[u8]) {
    let text = text(data);
    let (user, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let (length, files) = rest.split_once('\n').unwrap_or(("", rest));
    let length = length.parse().unwrap_or(usize::MAX);
    let (passwd, group) = files.split_at_checked(length).unwrap_or((files, ""));
    if let Ok(identity) = Identity::from_files(user, passwd, group) {
        assert!(i32::try_from(identity.uid).is_ok());
        assert!(i32::try_from(identity.gid).is_ok(), "{}", identity.gid);
        for group in identity.groups {
            assert!(i32::try_from(group).is_ok(), "{group}");
        }
    }
}
