//! Applets on files.

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, makedev, mknod as make_node};

use super::applet::{Applet, AppletError};
use super::sys;

pub(super) const APPLETS: &[Applet] = &[
    Applet {
        name: "read",
        usage: "FILE…",
        run: read,
    },
    Applet {
        name: "write",
        usage: "FILE TEXT",
        run: |args| {
            put(
                args,
                fs::OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true),
            )
        },
    },
    Applet {
        name: "append",
        usage: "FILE TEXT",
        run: |args| put(args, fs::OpenOptions::new().append(true)),
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
        run: |args| on_one(args, "rm", |path| fs::remove_file(path)),
    },
    Applet {
        name: "rmdir",
        usage: "PATH",
        run: |args| on_one(args, "rmdir", |path| fs::remove_dir(path)),
    },
    Applet {
        name: "rm-tree",
        usage: "PATH",
        run: |args| on_one(args, "rm-tree", |path| fs::remove_dir_all(path)),
    },
    Applet {
        name: "mkdir",
        usage: "PATH",
        run: |args| on_one(args, "mkdir", |path| fs::create_dir(path)),
    },
    Applet {
        name: "mv",
        usage: "FROM TO",
        run: |args| on_two(args, "mv", |from, to| fs::rename(from, to)),
    },
    Applet {
        name: "ln",
        usage: "EXISTING NEW",
        run: |args| on_two(args, "ln", |from, to| fs::hard_link(from, to)),
    },
    Applet {
        name: "symlink",
        usage: "TARGET NEW",
        run: |args| {
            on_two(args, "symlink", |from, to| {
                std::os::unix::fs::symlink(from, to)
            })
        },
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

/// Files one after the other, at most 1 MiB each: `/proc/kcore` must not be read to its end.
fn read(args: &[String]) -> Result<String, AppletError> {
    if args.is_empty() {
        return Err(AppletError::usage());
    }
    let mut bytes = Vec::new();
    for path in args {
        fs::File::open(path)
            .and_then(|file| file.take(1 << 20).read_to_end(&mut bytes))
            .map_err(AppletError::failed(format!("read {path}")))?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn put(args: &[String], how: &fs::OpenOptions) -> Result<String, AppletError> {
    let [path, text] = args else {
        return Err(AppletError::usage());
    };
    how.open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(AppletError::failed(format!("write {path}")))?;
    Ok(String::new())
}

/// Opens for writing and changes nothing.
fn open_write(args: &[String]) -> Result<String, AppletError> {
    on_one(args, "open-write", |path| {
        fs::OpenOptions::new().write(true).open(path).map(drop)
    })
}

/// Writes MIB mebibytes.
fn fill(args: &[String]) -> Result<String, AppletError> {
    let [path, mib] = args else {
        return Err(AppletError::usage());
    };
    let mib: usize = mib.parse().map_err(|_| AppletError::usage())?;
    let block = vec![0x5a_u8; 1 << 20];
    let mut file = fs::File::create(path).map_err(AppletError::failed(format!("create {path}")))?;
    for _ in 0..mib {
        file.write_all(&block)
            .map_err(AppletError::failed(format!("write {path}")))?;
    }
    Ok(String::new())
}

/// `PATH TYPE MODE UID GID SIZE MTIME NLINK INODE RDEV`, one file a line; links not followed.
fn stat(args: &[String]) -> Result<String, AppletError> {
    let mut text = String::new();
    for path in args {
        let meta =
            fs::symlink_metadata(path).map_err(AppletError::failed(format!("stat {path}")))?;
        let kind = meta.file_type();
        let kind = match () {
            () if kind.is_dir() => "dir",
            () if kind.is_symlink() => "link",
            () if kind.is_char_device() => "char",
            () if kind.is_block_device() => "block",
            () if kind.is_fifo() => "fifo",
            () if kind.is_socket() => "socket",
            () => "file",
        };
        let device = meta.rdev();
        let _ = writeln!(
            text,
            "{path} {kind} {:04o} {} {} {} {} {} {} {}:{}",
            meta.mode() & 0o7777,
            meta.uid(),
            meta.gid(),
            meta.size(),
            meta.mtime(),
            meta.nlink(),
            meta.ino(),
            nix::sys::stat::major(device),
            nix::sys::stat::minor(device),
        );
    }
    Ok(text)
}

/// The names in a folder, sorted, one a line. A name that the folder gives twice stands twice.
fn list(args: &[String]) -> Result<String, AppletError> {
    let [path] = args else {
        return Err(AppletError::usage());
    };
    let mut names: Vec<String> = fs::read_dir(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(AppletError::failed(format!("ls {path}")))?
        .iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names
        .iter()
        .fold(String::new(), |text, name| text + name + "\n"))
}

fn on_one(
    args: &[String],
    verb: &str,
    act: impl FnOnce(&str) -> std::io::Result<()>,
) -> Result<String, AppletError> {
    let [path] = args else {
        return Err(AppletError::usage());
    };
    act(path).map_err(AppletError::failed(format!("{verb} {path}")))?;
    Ok(String::new())
}

fn on_two(
    args: &[String],
    verb: &str,
    act: impl FnOnce(&str, &str) -> std::io::Result<()>,
) -> Result<String, AppletError> {
    let [one, other] = args else {
        return Err(AppletError::usage());
    };
    act(one, other).map_err(AppletError::failed(format!("{verb} {one} {other}")))?;
    Ok(String::new())
}

fn readlink(args: &[String]) -> Result<String, AppletError> {
    let [path] = args else {
        return Err(AppletError::usage());
    };
    let target = fs::read_link(path).map_err(AppletError::failed(format!("readlink {path}")))?;
    Ok(format!("{}\n", target.display()))
}

fn chmod(args: &[String]) -> Result<String, AppletError> {
    let [mode, path] = args else {
        return Err(AppletError::usage());
    };
    let mode = u32::from_str_radix(mode, 8).map_err(|_| AppletError::usage())?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(AppletError::failed(format!("chmod {path}")))?;
    Ok(String::new())
}

fn chown(args: &[String]) -> Result<String, AppletError> {
    let [uid, gid, path] = args else {
        return Err(AppletError::usage());
    };
    let uid = uid.parse().map_err(|_| AppletError::usage())?;
    let gid = gid.parse().map_err(|_| AppletError::usage())?;
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
        .map_err(AppletError::failed(format!("chown {path}")))?;
    Ok(String::new())
}

fn mknod(args: &[String]) -> Result<String, AppletError> {
    let [path, kind, major, minor] = args else {
        return Err(AppletError::usage());
    };
    let kind = if kind == "b" {
        SFlag::S_IFBLK
    } else {
        SFlag::S_IFCHR
    };
    let major = major.parse().map_err(|_| AppletError::usage())?;
    let minor = minor.parse().map_err(|_| AppletError::usage())?;
    make_node(
        path.as_str(),
        kind,
        Mode::from_bits_truncate(0o600),
        makedev(major, minor),
    )
    .map_err(AppletError::refused(format!("mknod {path}")))?;
    Ok(String::new())
}

fn setxattr(args: &[String]) -> Result<String, AppletError> {
    let [path, name, value] = args else {
        return Err(AppletError::usage());
    };
    sys::set_xattr(&text(path)?, &text(name)?, value.as_bytes())
        .map_err(AppletError::refused(format!("setxattr {path} {name}")))?;
    Ok(String::new())
}

fn getxattr(args: &[String]) -> Result<String, AppletError> {
    let [path, name] = args else {
        return Err(AppletError::usage());
    };
    let value = sys::get_xattr(&text(path)?, &text(name)?)
        .map_err(AppletError::refused(format!("getxattr {path} {name}")))?;
    // Hexadecimal: the kernel's own attributes are binary.
    Ok(value.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }) + "\n")
}

/// A C string of an argument, which can't hold a NUL as it was one before.
fn text(argument: &str) -> Result<CString, AppletError> {
    CString::new(argument).map_err(|_| AppletError::usage())
}

fn mount_tmpfs(args: &[String]) -> Result<String, AppletError> {
    use nix::mount::{MsFlags, mount};
    let [path] = args else {
        return Err(AppletError::usage());
    };
    mount(
        Some("tmpfs"),
        path.as_str(),
        Some("tmpfs"),
        MsFlags::empty(),
        None::<&str>,
    )
    .map_err(|errno: Errno| AppletError::Refused {
        errno,
        what: format!("mount {path}"),
    })?;
    Ok(String::new())
}
