//! Scratch disks of guests: sparse files with a file system, made without root, that have no
//! name, so that nothing remains of them whatever ends this process.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sys;

/// A file system that the host can put onto a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filesystem {
    /// ext4.
    Ext4,
    /// btrfs, at least 110 MiB.
    Btrfs,
    /// XFS, at least 300 MiB.
    Xfs,
}

impl Filesystem {
    /// Its name in `/proc/filesystems`, and that of its kernel module.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Btrfs => "btrfs",
            Self::Xfs => "xfs",
        }
    }

    /// What makes it.
    fn command(self) -> (&'static str, &'static [&'static str]) {
        match self {
            // Initialised when made, in a sparse file that costs nothing: no kernel thread
            // writes to the disk while cases are timed.
            Self::Ext4 => (
                "mkfs.ext4",
                &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
            ),
            Self::Btrfs => ("mkfs.btrfs", &["-q", "-f"]),
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"]),
        }
    }

    /// The Debian package with what makes it.
    fn package(self) -> &'static str {
        match self {
            Self::Ext4 => "e2fsprogs",
            Self::Btrfs => "btrfs-progs",
            Self::Xfs => "xfsprogs",
        }
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Its file can't be made.
    #[error("can't make a disk of {mib} MiB in {folder}: is there a file system that can hold it?")]
    Create {
        /// Where.
        folder: PathBuf,
        /// Its size.
        mib: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program that makes the file system can't be run.
    #[error("can't run `{program}`: install the package `{package}`")]
    Absent {
        /// The program.
        program: &'static str,
        /// The package.
        package: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program that makes the file system failed.
    #[error("`{program}` failed on a disk of {mib} MiB: {message}")]
    Format {
        /// The program.
        program: &'static str,
        /// The disk's size.
        mib: u64,
        /// What it said.
        message: String,
    },
}

/// Makes a disk of `mib` MiB with nothing on it. Its space comes from `folder`, in which it has
/// no name.
pub fn blank(folder: &Path, mib: u64) -> Result<File, DiskError> {
    let make = || {
        let file = tempfile::tempfile_in(folder)?;
        file.set_len(mib * 1024 * 1024)?;
        Ok(file)
    };
    make().map_err(|source| DiskError::Create {
        folder: folder.to_owned(),
        mib,
        source,
    })
}

/// Makes a disk of `mib` MiB with a file system. Its space comes from `folder`, in which it
/// has no name.
pub fn create(folder: &Path, filesystem: Filesystem, mib: u64) -> Result<File, DiskError> {
    let fail = |source| DiskError::Create {
        folder: folder.to_owned(),
        mib,
        source,
    };
    let file = blank(folder, mib)?;
    let (program, arguments) = filesystem.command();
    let inherited = OwnedFd::from(file.try_clone().map_err(fail)?);
    let path = format!("/proc/self/fd/{}", inherited.as_raw_fd());
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg(path)
        // A desktop user's PATH lacks the folders of such programs.
        .env("PATH", path_with_system_folders())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let output = sys::child::spawn_tied(&mut command, &[inherited])
        .and_then(std::process::Child::wait_with_output)
        .map_err(|source| DiskError::Absent {
            program,
            package: filesystem.package(),
            source,
        })?;
    if output.status.success() {
        Ok(file)
    } else {
        Err(DiskError::Format {
            program,
            mib,
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

fn path_with_system_folders() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    /// The file system's magic number, and where it stands.
    fn magic(filesystem: Filesystem) -> (u64, &'static [u8]) {
        match filesystem {
            Filesystem::Ext4 => (1080, &[0x53, 0xef]),
            Filesystem::Btrfs => (0x10040, b"_BHRfS_M"),
            Filesystem::Xfs => (0, b"XFSB"),
        }
    }

    #[test]
    fn disks_hold_their_file_system_take_little_room_and_leave_no_name() {
        for filesystem in [Filesystem::Ext4, Filesystem::Btrfs, Filesystem::Xfs] {
            let folder = tempfile::tempdir().unwrap();
            let disk = create(folder.path(), filesystem, 512)
                .unwrap_or_else(|error| panic!("{filesystem}: {error}: {error:?}"));
            let (offset, expected) = magic(filesystem);
            let mut found = vec![0; expected.len()];
            disk.read_exact_at(&mut found, offset).unwrap();
            assert_eq!(found, expected, "{filesystem}");
            let metadata = disk.metadata().unwrap();
            assert_eq!(metadata.len(), 512 * 1024 * 1024);
            let used = metadata.blocks() * 512;
            assert!(used < 160 * 1024 * 1024, "{filesystem} takes {used} bytes");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_disk_too_small_for_its_file_system_is_an_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = create(folder.path(), Filesystem::Btrfs, 1).unwrap_err();
        assert!(matches!(error, DiskError::Format { .. }), "{error:?}");
        assert!(
            error
                .to_string()
                .starts_with("`mkfs.btrfs` failed on a disk of 1 MiB: ")
        );
    }
}
