//! Overlays: the union file system of Linux from 3.18 on, mounted by mount(2) or as a mount that is
//! in no namespace.

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;

use crate::storage::stacked::{self, Stack, Stacked, Union, open_folder};
use crate::storage::whiteout::Whiteouts;
use crate::storage::{DriverName, Home, Keep, StorageError};
use crate::sys::mount::{FsOption, new_filesystem};
use crate::sys::user_namespace::{Users, users};

/// What mount(2) takes as options: one page, with a zero at the end.
const MAX_OPTIONS: usize = 4095;

/// Features that would make an upper folder readable only in its own stack are turned off, where
/// the kernel knows them (`redirect_dir` 4.10, `index` 4.13, `metacopy` 4.19).
const PLAIN: &str = ",redirect_dir=off,index=off,metacopy=off";

/// Unmounting does not first write everything that is dirty on the host's file system (which the
/// kernel does for every other overlay, however little was written to it): from 5.10.
const VOLATILE: &str = ",volatile";

/// In a user namespace: what the overlay notes about a folder is in `user.overlay.*`, as
/// `trusted.*` is for the host's root alone (5.11).
const OF_USERS: &str = ",userxattr";

/// Layers that one mount can have: the kernel allows 500, but its options must fit in one page,
/// and a layer takes at most 18 bytes there (`/proc/self/fd/NNN:`).
pub const MAX_LAYERS: usize = 200;

/// Bytes of all that may be added to the folders.
const MORE: usize = PLAIN.len() + OF_USERS.len() + VOLATILE.len();

const WORK: &str = "work";

/// The driver.
pub type Overlay = Stacked<OverlayFs>;

/// The kernel's `overlay`.
#[derive(Debug)]
pub struct OverlayFs;

impl Union for OverlayFs {
    const DRIVER: DriverName = DriverName::Overlay;
    const WHITEOUTS: Whiteouts = Whiteouts::Devices;
    const MAX_LAYERS: usize = MAX_LAYERS;
    const WORK_FOLDERS: &'static [&'static str] = &[WORK];

    fn mount(&self, stack: &Stack<'_>, target: &Path, keep: Keep) -> Result<(), StorageError> {
        mount_overlay(stack, target, keep)
    }

    fn detached(&self, stack: &Stack<'_>, keep: Keep) -> Result<Option<OwnedFd>, Errno> {
        detached_overlay(stack, keep)
    }
}

fn mount_overlay(stack: &Stack<'_>, target: &Path, keep: Keep) -> Result<(), StorageError> {
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
    // Never without it there: a kernel that allows that loses what folders hide.
    let marks = match users() {
        Users::Hosts => "",
        Users::Mapped => OF_USERS,
    };
    let volatile = match keep {
        Keep::Yes => None,
        Keep::No => Some(format!("{options}{PLAIN}{marks}{VOLATILE}")),
    };
    let fewer = [
        format!("{options}{PLAIN}{marks}"),
        format!("{options}{marks}"),
    ];
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
fn detached_overlay(stack: &Stack<'_>, keep: Keep) -> Result<Option<OwnedFd>, Errno> {
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
    options.push_str(plain(&stack.upper())?);
    options.push_str(",workdir=");
    options.push_str(plain(&stack.folder.join(WORK))?);
    (options.len() + MORE <= MAX_OPTIONS).then_some(options)
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
        name(&stack.upper())?,
        name(&stack.folder.join(WORK))?
    ))
}

/// Tries the driver out on this folder's file system.
///
/// # Errors
/// [`StorageError::Unfit`] says what does not work.
pub(super) fn probe(home: &Home) -> Result<(), StorageError> {
    const REQUIREMENT: &str = "kernel.storage.overlay";
    if !tells_types(home.path())? {
        return Err(StorageError::Unfit {
            driver: DriverName::Overlay,
            requirement: REQUIREMENT,
            why: format!(
                "the file system of `{}` does not tell the types of directory entries (d_type)",
                home.path().display()
            ),
            remedy: "put `--root` on a file system that does (XFS: made with `ftype=1`), or use `--storage-driver vfs`",
        });
    }
    stacked::try_out(home, &OverlayFs).map_err(|error| {
        stacked::unfit(DriverName::Overlay, REQUIREMENT, home, error, |errno| match errno {
            Some(Errno::ENODEV) => {
                "load the module (`modprobe overlay`), or use a kernel with CONFIG_OVERLAY_FS (3.18 or newer), or `--storage-driver vfs`"
            }
            Some(Errno::EPERM | Errno::EACCES | Errno::EINVAL) if users() == Users::Mapped => {
                "use Linux 5.11 or newer, which lets users mount overlays, and a file system with `user.*` attributes, or `--storage-driver vfs`"
            }
            Some(Errno::EPERM | Errno::EACCES) => "run keel as root",
            _ => {
                "put `--root` on ext4, XFS or btrfs (an overlay cannot lie on an overlay or NFS; the kernel log says more), or use `--storage-driver vfs`"
            }
        })
    })
}

/// Whether reading the folder, which has entries, tells their types.
fn tells_types(folder: &Path) -> Result<bool, StorageError> {
    let open = open_folder(folder)?;
    let entries = super::remove::entries(open.as_fd()).map_err(StorageError::io("list", folder))?;
    Ok(entries.iter().all(|(_, kind)| kind.is_some()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn usual_paths_stand_in_the_options_as_they_are() {
        let options = plain_options(&Stack {
            below: &[
                PathBuf::from("/var/lib/keel/b"),
                PathBuf::from("/var/lib/keel/a"),
            ],
            folder: Path::new("/var/lib/keel"),
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
                folder: Path::new("/u"),
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
            folder: folder.path(),
        };
        for own in [stack.upper(), folder.path().join(WORK)] {
            std::fs::create_dir(own).unwrap();
        }
        let options = options_by_descriptor(&stack, &mut opened).unwrap();
        assert!(options.len() + MORE <= MAX_OPTIONS, "{}", options.len());
    }
}
