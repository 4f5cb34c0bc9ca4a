//! Opens paths inside a root folder that nothing in the path can leave: not `..`, not absolute
//! links, not links that are swapped while we look (CVE-2014-6407, CVE-2018-15664, CVE-2021-30465).

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::Mode;

/// Links that may be followed on one way, as the kernel has it (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;

/// Set once the kernel has refused openat2 (5.6), so that it is asked only once.
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens `path` as a process would that has `root` as its root folder.
///
/// `path` may be absolute, and links in it are followed, all of it inside `root`; with
/// `O_NOFOLLOW` its last component is not followed. Links of /proc that lead elsewhere than they
/// say are refused. The descriptor is closed on exec. `mode` matters with `O_CREAT` only.
///
/// # Errors
/// As openat(2); `ELOOP` also for a /proc link.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlag, mode: Mode) -> Result<OwnedFd, Errno> {
    resolve(root, path, flags | OFlag::O_CLOEXEC, mode, Links::Follow)
}

/// Opens what is at `path` inside `root` if no symbolic link is on the way or at its end, so that
/// nothing else has this path as long as no name on the way is removed.
///
/// # Errors
/// As openat(2); `ELOOP` for a link.
pub fn open_without_links(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlag,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlag::O_CLOEXEC;
    resolve(root, path, flags, Mode::empty(), Links::Refuse)
}

/// What becomes of symbolic links on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    Follow,
    Refuse,
}

fn resolve(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlag,
    mode: Mode,
    links: Links,
) -> Result<OwnedFd, Errno> {
    if !NO_OPENAT2.load(Ordering::Relaxed) {
        let refused = match links {
            Links::Follow => ResolveFlag::RESOLVE_NO_MAGICLINKS,
            Links::Refuse => ResolveFlag::RESOLVE_NO_SYMLINKS,
        };
        let mut how = OpenHow::new()
            .flags(flags)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | refused);
        if flags.contains(OFlag::O_CREAT) {
            how = how.mode(mode); // Any mode without O_CREAT is EINVAL.
        }
        for _ in 0..128 {
            match openat2(root, path, how) {
                // A rename anywhere on the system at the same time as a `..`: try again.
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                // ENOSYS: before 5.6. EPERM: an outer seccomp filter that does not know the call.
                Err(Errno::ENOSYS | Errno::EPERM) => {
                    NO_OPENAT2.store(true, Ordering::Relaxed);
                    break;
                }
                result => return result,
            }
        }
    }
    walk(root, path, flags, mode, links)
}

/// The same without openat2: one component at a time, each opened without following links.
fn walk(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlag,
    mode: Mode,
    fate: Links,
) -> Result<OwnedFd, Errno> {
    const STEP: OFlag = OFlag::O_PATH
        .union(OFlag::O_NOFOLLOW)
        .union(OFlag::O_CLOEXEC);
    // The folders from below the root to where we are: `..` goes back to what was really passed.
    let mut passed: Vec<OwnedFd> = Vec::new();
    let mut todo: Vec<OsString> = components(path.as_os_str());
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name.as_bytes() == b".." {
            passed.pop();
            continue;
        }
        let here = passed.last().map_or(root, |folder| folder.as_fd());
        let last = todo.is_empty();
        match readlinkat(here, name.as_os_str()) {
            Ok(_) if fate == Links::Refuse => return Err(Errno::ELOOP),
            Ok(_) if last && flags.contains(OFlag::O_NOFOLLOW) => {}
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                if target.as_bytes().starts_with(b"/") {
                    passed.clear();
                }
                todo.extend(components(&target));
                continue;
            }
            // EINVAL: it is no link. ENOENT: openat says so, or makes it.
            Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        if last {
            // Whoever swaps the name for a link now gets ELOOP.
            return openat(here, name.as_os_str(), flags | OFlag::O_NOFOLLOW, mode);
        }
        passed.push(openat(
            here,
            name.as_os_str(),
            STEP | OFlag::O_DIRECTORY,
            Mode::empty(),
        )?);
    }
    let here = passed.last().map_or(root, |folder| folder.as_fd());
    openat(here, ".", flags & !OFlag::O_CREAT, mode)
}

/// The components of a path, last first; empty ones and `.` are left out.
fn components(path: &OsStr) -> Vec<OsString> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsStr::from_bytes(name).to_owned())
        .rev()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    /// Both ways of opening, which must see the same.
    type Way = fn(BorrowedFd<'_>, &Path, OFlag, Mode) -> Result<OwnedFd, Errno>;
    const WAYS: [Way; 2] = [open, |root, path, flags, mode| {
        walk(root, path, flags | OFlag::O_CLOEXEC, mode, Links::Follow)
    }];

    fn read(way: Way, root: &File, path: &str) -> Result<String, Errno> {
        let file = way(
            root.as_fd(),
            Path::new(path),
            OFlag::O_RDONLY,
            Mode::empty(),
        )?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).unwrap();
        Ok(text)
    }

    fn scene() -> (tempfile::TempDir, File) {
        let scene = tempfile::tempdir().unwrap();
        let root = scene.path().join("root");
        fs::create_dir_all(root.join("etc/deep")).unwrap();
        fs::write(scene.path().join("secret"), "secret").unwrap();
        fs::write(root.join("secret"), "inside").unwrap();
        fs::write(root.join("etc/file"), "file").unwrap();
        let open = File::open(&root).unwrap();
        (scene, open)
    }

    #[test]
    fn links_and_dot_dot_stay_inside() {
        let (scene, root) = scene();
        let path = scene.path().join("root");
        symlink("/etc", path.join("absolute")).unwrap();
        symlink("../../../../secret", path.join("etc/up")).unwrap();
        symlink("deep/../file", path.join("etc/around")).unwrap();
        symlink(scene.path().join("secret"), path.join("away")).unwrap();
        for way in WAYS {
            assert_eq!(read(way, &root, "absolute/file").unwrap(), "file");
            assert_eq!(read(way, &root, "etc/up").unwrap(), "inside");
            assert_eq!(read(way, &root, "/../../secret").unwrap(), "inside");
            assert_eq!(read(way, &root, "etc/around").unwrap(), "file");
            assert_eq!(read(way, &root, "away"), Err(Errno::ENOENT));
            assert_eq!(read(way, &root, "etc/file/x"), Err(Errno::ENOTDIR));
        }
    }

    #[test]
    fn a_way_without_links_is_told_from_one_with() {
        let (scene, root) = scene();
        symlink("etc", scene.path().join("root/folder")).unwrap();
        symlink("file", scene.path().join("root/etc/link")).unwrap();
        let flags = OFlag::O_RDONLY;
        for path in ["folder/file", "etc/link", "folder"] {
            let path = Path::new(path);
            let fallback = walk(root.as_fd(), path, flags, Mode::empty(), Links::Refuse);
            assert_eq!(fallback.unwrap_err(), Errno::ELOOP);
            let result = open_without_links(root.as_fd(), path, flags);
            assert_eq!(result.unwrap_err(), Errno::ELOOP);
        }
        let path = Path::new("etc/file");
        walk(root.as_fd(), path, flags, Mode::empty(), Links::Refuse).unwrap();
        open_without_links(root.as_fd(), path, flags).unwrap();
    }

    #[test]
    fn links_in_a_circle_end() {
        let (scene, root) = scene();
        symlink("b", scene.path().join("root/a")).unwrap();
        symlink("a", scene.path().join("root/b")).unwrap();
        for way in WAYS {
            assert_eq!(read(way, &root, "a"), Err(Errno::ELOOP));
        }
    }

    #[test]
    fn a_last_link_is_opened_itself_when_asked_for() {
        let (scene, root) = scene();
        symlink("etc", scene.path().join("root/link")).unwrap();
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        for way in WAYS {
            let link = way(root.as_fd(), Path::new("link"), flags, Mode::empty()).unwrap();
            assert_eq!(readlinkat(&link, c"").unwrap(), "etc");
        }
    }

    #[test]
    fn a_file_is_made_inside_and_never_through_a_link() {
        let (scene, root) = scene();
        symlink(scene.path().join("new"), scene.path().join("root/link")).unwrap();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        for (number, way) in WAYS.into_iter().enumerate() {
            let path = format!("/etc/new-{number}");
            way(root.as_fd(), Path::new(&path), flags, Mode::S_IRUSR).unwrap();
            assert!(scene.path().join("root").join(&path[1..]).exists());
            let result = way(root.as_fd(), Path::new("link"), flags, Mode::S_IRUSR);
            assert!(result.is_err());
            assert!(!scene.path().join("new").exists());
        }
    }

    #[test]
    fn links_of_proc_that_lead_elsewhere_are_not_followed() {
        let proc = File::open("/proc").unwrap();
        for way in WAYS {
            let result = way(
                proc.as_fd(),
                Path::new("self/root"),
                OFlag::O_PATH,
                Mode::empty(),
            );
            let outside = result.is_ok_and(|folder| {
                let stat = nix::sys::stat::fstat(&folder).unwrap();
                let root = nix::sys::stat::stat("/").unwrap();
                (stat.st_dev, stat.st_ino) == (root.st_dev, root.st_ino)
            });
            assert!(!outside);
        }
    }
}
