//! Applets on files.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write as _;

use rustix::fd::OwnedFd;
use rustix::fs::{self, CWD, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::applet::{Applet, AppletError};
use crate::stream::{read_file, write_all};
use crate::{directory, remove};

pub(super) const APPLETS: &[Applet] = &[
    Applet {
        name: "read",
        usage: "FILE…",
        run: read,
    },
    Applet {
        name: "write",
        usage: "FILE TEXT",
        run: |args| put(args, NEW),
    },
    Applet {
        name: "append",
        usage: "FILE TEXT",
        run: |args| put(args, OFlags::WRONLY | OFlags::APPEND),
    },
    Applet {
        name: "open-write",
        usage: "FILE",
        run: open_write,
    },
    Applet {
        name: "fill",
        usage: "FILE MIB",
        run: fill,
    },
    Applet {
        name: "stat",
        usage: "FILE…",
        run: stat,
    },
    Applet {
        name: "ls",
        usage: "FOLDER",
        run: list,
    },
    Applet {
        name: "rm",
        usage: "PATH",
        run: |args| on_one(args, "rm", |path| fs::unlink(path)),
    },
    Applet {
        name: "rmdir",
        usage: "PATH",
        run: |args| on_one(args, "rmdir", |path| fs::rmdir(path)),
    },
    Applet {
        name: "rm-tree",
        usage: "PATH",
        run: |args| on_one(args, "rm-tree", remove::tree),
    },
    Applet {
        name: "mkdir",
        usage: "PATH",
        run: |args| {
            on_one(args, "mkdir", |path| {
                fs::mkdir(path, Mode::from_raw_mode(0o777))
            })
        },
    },
    Applet {
        name: "mv",
        usage: "FROM TO",
        run: |args| on_two(args, "mv", |from, to| fs::rename(from, to)),
    },
    Applet {
        name: "ln",
        usage: "EXISTING NEW",
        run: |args| on_two(args, "ln", |from, to| fs::link(from, to)),
    },
    Applet {
        name: "symlink",
        usage: "TARGET NEW",
        run: |args| on_two(args, "symlink", |from, to| fs::symlink(from, to)),
    },
    Applet {
        name: "readlink",
        usage: "LINK",
        run: readlink,
    },
    Applet {
        name: "chmod",
        usage: "OCTAL PATH",
        run: chmod,
    },
    Applet {
        name: "chown",
        usage: "UID GID PATH",
        run: chown,
    },
    Applet {
        name: "mknod",
        usage: "PATH c|b MAJOR MINOR",
        run: mknod,
    },
    Applet {
        name: "setxattr",
        usage: "PATH NAME VALUE",
        run: setxattr,
    },
    Applet {
        name: "getxattr",
        usage: "PATH NAME",
        run: getxattr,
    },
    Applet {
        name: "mount-tmpfs",
        usage: "PATH",
        run: mount_tmpfs,
    },
];

/// A file to write anew.
const NEW: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::TRUNC);

fn open(path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    fs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))
}

/// Files one after the other.
fn read(args: &[String]) -> Result<String, AppletError> {
    if args.is_empty() {
        return Err(AppletError::usage());
    }
    let mut bytes = Vec::new();
    for path in args {
        read_file(path, &mut bytes).map_err(AppletError::refused(format!("read {path}")))?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn put(args: &[String], how: OFlags) -> Result<String, AppletError> {
    let [path, text] = args else {
        return Err(AppletError::usage());
    };
    open(path, how)
        .and_then(|file| write_all(file, text.as_bytes()))
        .map_err(AppletError::refused(format!("write {path}")))?;
    Ok(String::new())
}

/// Opens for writing and changes nothing.
fn open_write(args: &[String]) -> Result<String, AppletError> {
    on_one(args, "open-write", |path| {
        open(path, OFlags::WRONLY).map(drop)
    })
}

/// Writes MIB mebibytes.
fn fill(args: &[String]) -> Result<String, AppletError> {
    let [path, mib] = args else {
        return Err(AppletError::usage());
    };
    let mib: usize = mib.parse().map_err(|_| AppletError::usage())?;
    let block = vec![0x5a_u8; 1 << 20];
    let file = open(path, NEW).map_err(AppletError::refused(format!("create {path}")))?;
    for _ in 0..mib {
        write_all(&file, &block).map_err(AppletError::refused(format!("write {path}")))?;
    }
    Ok(String::new())
}

/// `PATH TYPE MODE UID GID SIZE MTIME NLINK INODE RDEV`, one file a line; links not followed.
fn stat(args: &[String]) -> Result<String, AppletError> {
    let mut text = String::new();
    for path in args {
        let meta =
            fs::lstat(path.as_str()).map_err(AppletError::refused(format!("stat {path}")))?;
        let kind = match FileType::from_raw_mode(meta.st_mode) {
            FileType::Directory => "dir",
            FileType::Symlink => "link",
            FileType::CharacterDevice => "char",
            FileType::BlockDevice => "block",
            FileType::Fifo => "fifo",
            FileType::Socket => "socket",
            FileType::RegularFile | FileType::Unknown => "file",
        };
        let device = meta.st_rdev;
        let _ = writeln!(
            text,
            "{path} {kind} {:04o} {} {} {} {} {} {} {}:{}",
            meta.st_mode & 0o7777,
            meta.st_uid,
            meta.st_gid,
            meta.st_size,
            meta.st_mtime,
            meta.st_nlink,
            meta.st_ino,
            fs::major(device),
            fs::minor(device),
        );
    }
    Ok(text)
}

/// The names in a folder, sorted, one a line. A name that the folder gives twice stands twice.
fn list(args: &[String]) -> Result<String, AppletError> {
    let [path] = args else {
        return Err(AppletError::usage());
    };
    let mut names = directory::names(path).map_err(AppletError::refused(format!("ls {path}")))?;
    names.sort_unstable();
    Ok(names
        .iter()
        .fold(String::new(), |text, name| text + name + "\n"))
}

fn on_one(
    args: &[String],
    verb: &str,
    act: impl FnOnce(&str) -> Result<(), Errno>,
) -> Result<String, AppletError> {
    let [path] = args else {
        return Err(AppletError::usage());
    };
    act(path).map_err(AppletError::refused(format!("{verb} {path}")))?;
    Ok(String::new())
}

fn on_two(
    args: &[String],
    verb: &str,
    act: impl FnOnce(&str, &str) -> Result<(), Errno>,
) -> Result<String, AppletError> {
    let [one, other] = args else {
        return Err(AppletError::usage());
    };
    act(one, other).map_err(AppletError::refused(format!("{verb} {one} {other}")))?;
    Ok(String::new())
}

fn readlink(args: &[String]) -> Result<String, AppletError> {
    let [path] = args else {
        return Err(AppletError::usage());
    };
    let target = fs::readlink(path.as_str(), Vec::new())
        .map_err(AppletError::refused(format!("readlink {path}")))?;
    Ok(format!("{}\n", target.to_string_lossy()))
}

fn chmod(args: &[String]) -> Result<String, AppletError> {
    let [mode, path] = args else {
        return Err(AppletError::usage());
    };
    let mode = u32::from_str_radix(mode, 8).map_err(|_| AppletError::usage())?;
    fs::chmod(path.as_str(), Mode::from_raw_mode(mode))
        .map_err(AppletError::refused(format!("chmod {path}")))?;
    Ok(String::new())
}

fn chown(args: &[String]) -> Result<String, AppletError> {
    let [uid, gid, path] = args else {
        return Err(AppletError::usage());
    };
    let uid: u32 = uid.parse().map_err(|_| AppletError::usage())?;
    let gid: u32 = gid.parse().map_err(|_| AppletError::usage())?;
    // The last number of all stands for no change.
    let uid = (uid != u32::MAX).then(|| Uid::from_raw(uid));
    let gid = (gid != u32::MAX).then(|| Gid::from_raw(gid));
    fs::chown(path.as_str(), uid, gid).map_err(AppletError::refused(format!("chown {path}")))?;
    Ok(String::new())
}

fn mknod(args: &[String]) -> Result<String, AppletError> {
    let [path, kind, major, minor] = args else {
        return Err(AppletError::usage());
    };
    let kind = if kind == "b" {
        FileType::BlockDevice
    } else {
        FileType::CharacterDevice
    };
    let major = major.parse().map_err(|_| AppletError::usage())?;
    let minor = minor.parse().map_err(|_| AppletError::usage())?;
    fs::mknodat(
        CWD,
        path.as_str(),
        kind,
        Mode::from_raw_mode(0o600),
        fs::makedev(major, minor),
    )
    .map_err(AppletError::refused(format!("mknod {path}")))?;
    Ok(String::new())
}

fn setxattr(args: &[String]) -> Result<String, AppletError> {
    let [path, name, value] = args else {
        return Err(AppletError::usage());
    };
    let flags = XattrFlags::empty();
    fs::lsetxattr(path.as_str(), name.as_str(), value.as_bytes(), flags)
        .map_err(AppletError::refused(format!("setxattr {path} {name}")))?;
    Ok(String::new())
}

fn getxattr(args: &[String]) -> Result<String, AppletError> {
    let [path, name] = args else {
        return Err(AppletError::usage());
    };
    let mut value = [0_u8; 4096];
    let length = fs::lgetxattr(path.as_str(), name.as_str(), &mut value)
        .map_err(AppletError::refused(format!("getxattr {path} {name}")))?;
    // Hexadecimal: the kernel's own attributes are binary.
    Ok(value
        .iter()
        .take(length)
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
        + "\n")
}

fn mount_tmpfs(args: &[String]) -> Result<String, AppletError> {
    on_one(args, "mount", |path| {
        rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::empty(), None)
    })
}
