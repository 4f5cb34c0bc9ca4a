//! Mounting an overlay: by mount(2), or as a mount that is in no namespace.

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;

use crate::storage::{Keep, StorageError};
use crate::sys::mount::{FsOption, new_filesystem};

/// What mount(2) takes as options: one page, with a zero at the end.
const MAX_OPTIONS: usize = 4095;

/// Features that would make an upper folder readable only in its own stack are turned off, where
/// the kernel knows them (`redirect_dir` 4.10, `index` 4.13, `metacopy` 4.19).
const PLAIN: &str = ",redirect_dir=off,index=off,metacopy=off";

/// Unmounting does not first write everything that is dirty on the host's file system (which the
/// kernel does for every other overlay, however little was written to it): from 5.10.
const VOLATILE: &str = ",volatile";

/// The folders of one overlay.
pub(super) struct Stack<'a> {
    pub(super) below: &'a [PathBuf],
    pub(super) upper: &'a Path,
    pub(super) work: &'a Path,
}

/// Mounts an overlay in the calling thread's mount namespace.
pub(super) fn mount_overlay(
    stack: &Stack<'_>,
    target: &Path,
    keep: Keep,
) -> Result<(), StorageError> {
    let failed = StorageError::io::<Errno>;
    let mut opened = Vec::new();
    let options = match plain_options(stack) {
        Some(options) => options,
        None => options_by_descriptor(stack, &mut opened)
            .map_err(failed("open the layers for", target))?,
    };
    let attempt = |options: &str| {
        mount(
            Some("overlay"),
            target,
            Some("overlay"),
            MsFlags::empty(),
            Some(options),
        )
    };
    first_understood(&options, keep, attempt).map_err(failed("mount an overlay on", target))
}

/// Tries first with all that is wanted. EINVAL: an older kernel that does not know one of the
/// options; it does not do these things either.
fn first_understood<T>(
    options: &str,
    keep: Keep,
    attempt: impl Fn(&str) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let volatile = match keep {
        Keep::Yes => None,
        Keep::No => Some(format!("{options}{PLAIN}{VOLATILE}")),
    };
    let fewer = [format!("{options}{PLAIN}"), options.to_owned()];
    for options in volatile.into_iter().chain(fewer) {
        match attempt(&options) {
            Err(Errno::EINVAL) => {}
            result => return result,
        }
    }
    Err(Errno::EINVAL)
}

/// An overlay that is in no mount namespace (from 5.2). `None`: not on this kernel, or not with
/// so many layers, as a value has at most 255 bytes in this interface.
pub(super) fn detached_overlay(stack: &Stack<'_>, keep: Keep) -> Result<Option<OwnedFd>, Errno> {
    const MAX_VALUE: usize = 255;
    let fits = |options: &String| {
        let mut values = options
            .split(',')
            .filter_map(|option| option.split_once('='));
        values.all(|(_, value)| value.len() <= MAX_VALUE)
    };
    let mut opened = Vec::new();
    let options = match plain_options(stack).filter(fits) {
        Some(options) => options,
        None => options_by_descriptor(stack, &mut opened)?,
    };
    if !fits(&options) {
        return Ok(None);
    }
    let attempt = |options: &str| {
        let text = |text: &str| CString::new(text).map_err(|_| Errno::EINVAL);
        // What /proc/mounts shows as the device.
        let mut named = vec![(text("source")?, Some(text("overlay")?))];
        for option in options.split(',') {
            named.push(match option.split_once('=') {
                Some((name, value)) => (text(name)?, Some(text(value)?)),
                None => (text(option)?, None),
            });
        }
        let options: Vec<FsOption<'_>> = named
            .iter()
            .map(|(name, value)| match value {
                Some(value) => FsOption::Text(name, value),
                None => FsOption::Flag(name),
            })
            .collect();
        new_filesystem(c"overlay", &options)
    };
    match first_understood(&options, keep, attempt) {
        Ok(mount) => Ok(Some(mount)),
        // Whatever is wrong with it, mount(2) says it the way that people know.
        Err(_) => Ok(None),
    }
}

/// Options with the paths as they are, which is what people like to read in /proc/mounts;
/// `None` when they do not fit, or would have to be escaped.
fn plain_options(stack: &Stack<'_>) -> Option<String> {
    let mut options = String::from("lowerdir=");
    for (index, path) in stack.below.iter().enumerate() {
        if index > 0 {
            options.push(':');
        }
        options.push_str(plain(path)?);
    }
    options.push_str(",upperdir=");
    options.push_str(plain(stack.upper)?);
    options.push_str(",workdir=");
    options.push_str(plain(stack.work)?);
    (options.len() + PLAIN.len() + VOLATILE.len() <= MAX_OPTIONS).then_some(options)
}

/// The path as text, if nothing in it means something to overlay's option parsers (which differ
/// in what they unescape: 6.5 brought a new one).
fn plain(path: &Path) -> Option<&str> {
    path.to_str()
        .filter(|text| !text.contains([',', ':', '\\', '"', '\'']) && path.is_absolute())
}

/// Options that name open descriptors: short, and free of special characters.
fn options_by_descriptor(stack: &Stack<'_>, opened: &mut Vec<OwnedFd>) -> Result<String, Errno> {
    let mut name = |path: &Path| -> Result<String, Errno> {
        let folder = open(
            path,
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        let name = format!("/proc/self/fd/{}", folder.as_raw_fd());
        opened.push(folder);
        Ok(name)
    };
    let below: Result<Vec<String>, Errno> = stack.below.iter().map(|path| name(path)).collect();
    Ok(format!(
        "lowerdir={},upperdir={},workdir={}",
        below?.join(":"),
        name(stack.upper)?,
        name(stack.work)?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::overlay::MAX_LAYERS;

    #[test]
    fn usual_paths_stand_in_the_options_as_they_are() {
        let options = plain_options(&Stack {
            below: &[
                PathBuf::from("/var/lib/keel/b"),
                PathBuf::from("/var/lib/keel/a"),
            ],
            upper: Path::new("/var/lib/keel/fs"),
            work: Path::new("/var/lib/keel/work"),
        });
        assert_eq!(
            options.unwrap(),
            "lowerdir=/var/lib/keel/b:/var/lib/keel/a,upperdir=/var/lib/keel/fs,workdir=/var/lib/keel/work"
        );
    }

    #[test]
    fn paths_with_meaning_to_the_parser_are_not_put_into_the_options() {
        for odd in ["/a:b", "/a,upperdir=/etc", "/a\\", "relative"] {
            let stack = Stack {
                below: &[PathBuf::from(odd)],
                upper: Path::new("/u"),
                work: Path::new("/w"),
            };
            assert_eq!(plain_options(&stack), None);
        }
    }

    #[test]
    fn the_highest_stack_fits_in_a_page_by_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let below = vec![folder.path().to_owned(); MAX_LAYERS];
        let mut opened = Vec::new();
        let stack = Stack {
            below: &below,
            upper: folder.path(),
            work: folder.path(),
        };
        let options = options_by_descriptor(&stack, &mut opened).unwrap();
        assert!(
            options.len() + PLAIN.len() + VOLATILE.len() <= MAX_OPTIONS,
            "{}",
            options.len()
        );
    }
}
