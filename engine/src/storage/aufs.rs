//! Aufs: the union file system of kernels that carry its patches (Ubuntu to 20.10, Debian to 8);
//! it never was a part of Linux.
//!
//! Options are as in aufs(5). What the driver does is a short list of mount(2) calls, made by a
//! pure function; no packaged kernel of today has the file system, so that list is what is tested.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use crate::storage::stacked::{self, Stack, Stacked, Union};
use crate::storage::whiteout::Whiteouts;
use crate::storage::{DriverName, Home, Keep, StorageError};

/// The driver.
pub type Aufs = Stacked<AufsFs>;

/// The kernel's `aufs`.
#[derive(Debug)]
pub struct AufsFs;

/// What mount(2) takes as options: one page, with a zero at the end.
const MAX_OPTIONS: usize = 4095;

/// Branches of a build with `CONFIG_AUFS_BRANCH_MAX_127`, the usual one.
const MAX_BRANCHES: usize = 127;

impl Union for AufsFs {
    const DRIVER: DriverName = DriverName::Aufs;
    const WHITEOUTS: Whiteouts = Whiteouts::Files;
    const MAX_LAYERS: usize = MAX_BRANCHES - 1;
    const WORK_FOLDERS: &'static [&'static str] = &[];

    fn mount(&self, stack: &Stack<'_>, target: &Path, _keep: Keep) -> Result<(), StorageError> {
        let failed = StorageError::io::<Errno>;
        for path in stack
            .below
            .iter()
            .map(PathBuf::as_path)
            .chain([stack.folder])
        {
            if has_meaning(path) {
                return Err(failed(
                    "mount with aufs, whose options know no quoting, a folder with `:`, `,` or `=` in its name,",
                    path,
                )(Errno::EINVAL));
            }
        }
        let numbers = Numbers::here();
        let mut result = Err(Errno::EINVAL);
        for permissions in [Permissions::OfTopBranch, Permissions::OfAllBranches] {
            result = carry_out(&calls(stack, &numbers, permissions), target);
            // EINVAL: a release of before 2013, which has no `dirperm1`.
            if result != Err(Errno::EINVAL) {
                break;
            }
        }
        result.map_err(failed("mount an aufs on", target))
    }

    fn detached(&self, _: &Stack<'_>, _: Keep) -> Result<Option<OwnedFd>, Errno> {
        // Aufs has no interface for it.
        Ok(None)
    }
}

/// Whether something in the path means something in options.
fn has_meaning(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.iter().any(|byte| b":,=".contains(byte)) || path.is_relative()
}

/// Where aufs keeps which inode number it gave to which file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Numbers {
    /// In this file, which aufs makes, and removes while it keeps it open. It has to be in no
    /// branch, and on a file system that takes many small writes easily: a tmpfs (aufs(5),
    /// "External Inode Number").
    File(PathBuf),
    /// Nowhere: numbers change when a file is forgotten and found again.
    Nowhere,
}

impl Numbers {
    /// A file that no other mount uses: two at once cannot make the same.
    fn here() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("keel-{}-{serial}.xino", std::process::id());
        let is_tmpfs = |folder: &&str| {
            statfs(*folder).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC)
        };
        let folder = ["/dev/shm", "/run"].into_iter().find(is_tmpfs);
        folder.map_or(Self::Nowhere, |folder| {
            Self::File(Path::new(folder).join(name))
        })
    }
}

/// Whose permissions a folder has that is in several branches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permissions {
    /// The topmost's alone, as a change of mode in a container is meant (`dirperm1`).
    OfTopBranch,
    /// All have to allow it: what old releases do.
    OfAllBranches,
}

/// One call of mount(2).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    /// The first, with these options.
    New(Vec<u8>),
    /// A change of what is mounted.
    Change(Vec<u8>),
}

/// The calls that mount the stack: the first with as many branches as a page holds, then each
/// other branch by itself, at the lower end.
fn calls(stack: &Stack<'_>, numbers: &Numbers, permissions: Permissions) -> Vec<Call> {
    let mut tail: Vec<u8> = match numbers {
        Numbers::File(path) => [b",xino=", path.as_os_str().as_bytes()].concat(),
        Numbers::Nowhere => b",noxino".to_vec(),
    };
    // Direct input and output works as on the branches. Names of one file in several branches
    // are not held together (`noplink`): that would need a helper program before each unmount.
    tail.extend_from_slice(b",dio,noplink");
    if permissions == Permissions::OfTopBranch {
        tail.extend_from_slice(b",dirperm1");
    }
    let upper = stack.upper();
    let mut options = [b"br:", upper.as_os_str().as_bytes(), b"=rw"].concat();
    let mut below = stack
        .below
        .iter()
        .map(|path| branch(path.as_os_str()))
        .peekable();
    while let Some(next) =
        below.next_if(|branch| options.len() + 1 + branch.len() + tail.len() <= MAX_OPTIONS)
    {
        options.push(b':');
        options.extend(next);
    }
    options.extend(tail);
    let rest = below.map(|branch| Call::Change([b"append:".as_slice(), &branch].concat()));
    [Call::New(options)].into_iter().chain(rest).collect()
}

/// A read-only branch whose whiteouts count.
fn branch(path: &OsStr) -> Vec<u8> {
    [path.as_bytes(), b"=ro+wh"].concat()
}

/// All of the calls, or none.
fn carry_out(calls: &[Call], target: &Path) -> Result<(), Errno> {
    for call in calls {
        let (flags, options) = match call {
            Call::New(options) => (MsFlags::empty(), options),
            Call::Change(options) => (MsFlags::MS_REMOUNT, options),
        };
        let made = mount(
            Some("none"),
            target,
            Some("aufs"),
            flags,
            Some(options.as_slice()),
        );
        if let Err(errno) = made {
            if let Call::Change(_) = call {
                // The first error is what counts; the mount goes with its namespace at the latest.
                let _unmounted = umount2(target, MntFlags::MNT_DETACH);
            }
            return Err(errno);
        }
    }
    Ok(())
}

/// Tries the driver out on this folder's file system.
///
/// # Errors
/// [`StorageError::Unfit`] says what does not work.
pub(super) fn probe(home: &Home) -> Result<(), StorageError> {
    stacked::try_out(home, &AufsFs).map_err(|error| {
        stacked::unfit(DriverName::Aufs, "kernel.storage.aufs", home, error, |errno| match errno {
            Some(Errno::ENODEV) => {
                "use a kernel that carries aufs (Ubuntu's to 20.10: `apt-get install linux-image-extra-$(uname -r)` and `modprobe aufs`; Debian's to 8), or `--storage-driver overlay` or `vfs`"
            }
            Some(Errno::EPERM | Errno::EACCES) => "run keel as root",
            _ => {
                "put `--root` on ext4 or XFS (aufs cannot lie on aufs, overlay or eCryptfs; the kernel log says more), or use `--storage-driver vfs`"
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(below: &[PathBuf]) -> Stack<'_> {
        Stack {
            below,
            folder: Path::new("/var/lib/keel/storage/aufs/containers/web-1"),
        }
    }

    fn layers(count: usize) -> Vec<PathBuf> {
        let name = |n| PathBuf::from(format!("/var/lib/keel/storage/aufs/layers/{n:064x}/fs"));
        (0..count).map(name).collect()
    }

    fn text(call: &Call) -> String {
        let (Call::New(options) | Call::Change(options)) = call;
        String::from_utf8(options.clone()).unwrap()
    }

    #[test]
    fn a_low_stack_is_one_call() {
        let below = [PathBuf::from("/l/b/fs"), PathBuf::from("/l/a/fs")];
        let numbers = Numbers::File("/dev/shm/keel-7-0.xino".into());
        let calls = calls(&stack(&below), &numbers, Permissions::OfTopBranch);
        assert!(matches!(calls.as_slice(), [Call::New(_)]));
        insta::assert_snapshot!(text(&calls[0]), @"br:/var/lib/keel/storage/aufs/containers/web-1/fs=rw:/l/b/fs=ro+wh:/l/a/fs=ro+wh,xino=/dev/shm/keel-7-0.xino,dio,noplink,dirperm1");
    }

    #[test]
    fn an_old_release_is_asked_for_less() {
        let below = layers(1);
        let calls = calls(
            &stack(&below),
            &Numbers::Nowhere,
            Permissions::OfAllBranches,
        );
        assert!(text(&calls[0]).ends_with("/fs=ro+wh,noxino,dio,noplink"));
    }

    #[test]
    fn what_does_not_fit_in_a_page_is_appended_in_the_stacks_order() {
        let below = layers(AufsFs::MAX_LAYERS);
        let calls = calls(&stack(&below), &Numbers::Nowhere, Permissions::OfTopBranch);
        assert!(calls.len() > 1);
        assert!(calls.iter().all(|call| text(call).len() <= MAX_OPTIONS));
        assert!(matches!(calls[0], Call::New(_)));
        assert!(
            calls[1..]
                .iter()
                .all(|call| matches!(call, Call::Change(_)))
        );
        let mounted: Vec<String> = calls
            .iter()
            .flat_map(|call| {
                let text = text(call);
                let branches = text
                    .strip_prefix("append:")
                    .or(text.strip_prefix("br:"))
                    .unwrap();
                let branches = branches.split(',').next().unwrap();
                branches.split(':').map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(mounted.len(), MAX_BRANCHES);
        assert!(mounted[0].ends_with("=rw"));
        for (mounted, wanted) in mounted[1..].iter().zip(&below) {
            assert_eq!(mounted, &format!("{}=ro+wh", wanted.display()));
        }
    }

    #[test]
    fn paths_with_meaning_to_its_options_are_refused_and_named() {
        for odd in ["/a:b/fs", "/a,b/fs", "/a=rw/fs"] {
            let below = [PathBuf::from(odd)];
            let error = AufsFs
                .mount(&stack(&below), Path::new("/nowhere"), Keep::Yes)
                .unwrap_err();
            assert!(error.to_string().contains(odd), "{error}");
        }
    }

    #[test]
    fn two_mounts_keep_their_numbers_apart() {
        if let (Numbers::File(one), Numbers::File(two)) = (Numbers::here(), Numbers::here()) {
            assert_ne!(one, two);
            assert!(one.starts_with("/dev/shm") || one.starts_with("/run"));
        } else {
            panic!("neither /dev/shm nor /run is a tmpfs here");
        }
    }
}
