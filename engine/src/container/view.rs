//! A container's files as its own processes see them, from outside and without running any code
//! of its own.
//!
//! What is handed out is the open root folder; [`in_root`] then reaches every
//! place below, whatever links the container puts in the way (CVE-2018-15664). Nothing is loaded or
//! executed in there, and the root folder of this process stays what it is (CVE-2019-14271).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::gettid;

use super::options::{Access, Volume};
use super::store::Hold;
use super::{Container, Error};
use crate::files::make_folders;
use crate::storage::{Keep, Storage, TreeName};
use crate::sys::{in_root, mount::attach};
use crate::volume::Volumes;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// What its processes see: volumes and all other mounts too. Of a container that does not run,
    /// the volumes.
    Mounted,
    /// Its own tree alone: what it keeps.
    Tree,
}

/// A look at a container's files. While it lasts, a container that does not run is not started.
#[derive(Debug)]
pub(super) struct View {
    root: OwnedFd,
    /// Keeps the mounts below the root together.
    _namespace: Option<File>,
    _hold: Option<Hold>,
}

impl View {
    /// The container's root folder, a place to start from.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

const PLACE: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// Where a container's own tree is shown without what is mounted in it: every container has this
/// folder, as something is mounted there.
const SHOWN_AT: &str = "/proc";

impl Container {
    /// Looks at its files, whatever it is doing.
    pub(super) fn view(&mut self, sight: Sight) -> Result<View, Error> {
        match self.hold_unless_running()? {
            Some(hold) => self.view_at_rest(sight, hold),
            None => self.view_running(sight),
        }
    }

    /// Takes its folder, so that nobody starts it. `None`: it runs.
    fn hold_unless_running(&mut self) -> Result<Option<Hold>, Error> {
        loop {
            let hold = Hold::try_take(self.folder())?;
            self.refresh()?;
            // Without its monitor, which was killed, it may run on.
            if self.process().is_ok() {
                return Ok(None);
            }
            if hold.is_some() {
                return Ok(hold);
            }
            // It is just being started, or its end recorded. Whoever does that holds its folder
            // as long as it runs, so waiting for that would be waiting for its end.
            let _ = poll(&mut [], PollTimeout::from(5_u8));
        }
    }

    fn view_running(&self, sight: Sight) -> Result<View, Error> {
        let process = self.process()?;
        let path = format!("/proc/{}/ns/mnt", process.pid);
        let namespace = File::open(&path).map_err(Error::io("open", &path))?;
        // The process id may have gone to another process: not if it still lives now.
        self.process()?;
        let root = apart(|| {
            // Joining a mount namespace demands a root and current folder of one's own.
            unshare(CloneFlags::CLONE_FS)?;
            setns(&namespace, CloneFlags::CLONE_NEWNS)?;
            match sight {
                Sight::Mounted => open("/", PLACE, Mode::empty()),
                Sight::Tree => without_mounts(),
            }
        });
        Ok(View {
            root: root.map_err(Error::io("look at the files of", self.name().as_str()))?,
            _namespace: Some(namespace),
            _hold: None,
        })
    }

    /// The same of one that does not run, and that the caller holds.
    pub(super) fn view_at_rest(&self, sight: Sight, hold: Hold) -> Result<View, Error> {
        let volumes = match sight {
            Sight::Mounted => self.config().host.volumes.as_slice(),
            Sight::Tree => &[],
        };
        let storage = self.storage()?;
        let tree = self.tree()?;
        let rootfs = storage.driver().rootfs(&tree, Keep::Yes)?;
        let (root, namespace) = match rootfs {
            Some(rootfs) if volumes.is_empty() && !self.config().host.read_only => {
                let root = match rootfs.mount {
                    Some(mount) => mount,
                    None => open(&rootfs.path, PLACE, Mode::empty())
                        .map_err(Error::io("open", rootfs.path))?,
                };
                (root, None)
            }
            rootfs => {
                let read_only = self.config().host.read_only;
                let work = || -> Result<(OwnedFd, File), Error> {
                    let failed = || Error::io::<Errno>("mount the files of", self.name().as_str());
                    private_mounts().map_err(failed())?;
                    let path = match &rootfs {
                        Some(rootfs) => {
                            let onto = open(&rootfs.path, PLACE, Mode::empty()).map_err(failed())?;
                            match &rootfs.mount {
                                Some(mount) => attach(mount.as_fd(), onto.as_fd()),
                                None => bind(&rootfs.path, &rootfs.path, MsFlags::empty()),
                            }
                            .map_err(failed())?;
                            rootfs.path.clone()
                        }
                        None => storage.driver().mount(&tree, Keep::Yes)?,
                    };
                    let root = open(&path, PLACE, Mode::empty()).map_err(failed())?;
                    for volume in volumes {
                        show_volume(root.as_fd(), volume, &Volumes::new(self.root()))
                            .map_err(Error::io("show the volume at", &volume.target))?;
                    }
                    if read_only {
                        remount_read_only(&path).map_err(failed())?;
                    }
                    let namespace = format!("/proc/self/task/{}/ns/mnt", gettid());
                    let namespace =
                        File::open(&namespace).map_err(Error::io("open", &namespace))?;
                    Ok((root, namespace))
                };
                let (root, namespace) = apart(work)?;
                (root, Some(namespace))
            }
        };
        Ok(View {
            root,
            _namespace: namespace,
            _hold: Some(hold),
        })
    }
}

/// The root folder of a tree that nobody else has mounted, and what keeps it mounted.
pub(super) fn tree_root(storage: &Storage, tree: &TreeName) -> Result<OwnedFd, Error> {
    if let Some(rootfs) = storage.driver().rootfs(tree, Keep::Yes)? {
        return match rootfs.mount {
            Some(mount) => Ok(mount),
            None => {
                open(&rootfs.path, PLACE, Mode::empty()).map_err(Error::io("open", rootfs.path))
            }
        };
    }
    // The mount goes with its last descriptor.
    apart(|| {
        private_mounts().map_err(Error::io("make private the mounts of", "/"))?;
        let path = storage.driver().mount(tree, Keep::Yes)?;
        open(&path, PLACE, Mode::empty()).map_err(Error::io("open", path))
    })
}

/// Runs `work` on a thread of its own, whose namespaces may then change.
fn apart<T: Send, E: Send>(work: impl FnOnce() -> Result<T, E> + Send) -> Result<T, E> {
    thread::scope(|scope| {
        let worker = scope.spawn(work);
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Mounts of the calling thread's own from here on.
fn private_mounts() -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let all = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, all, None::<&str>)
}

/// The root folder of the calling thread without what is mounted in it: a bind mount that takes
/// nothing along, in a copy of the mount namespace that the container does not see.
fn without_mounts() -> Result<OwnedFd, Errno> {
    private_mounts()?;
    bind(Path::new("/"), Path::new(SHOWN_AT), MsFlags::empty())?;
    let shown = open(SHOWN_AT, PLACE, Mode::empty())?;
    let (shown_stat, root) = (fstat(&shown)?, nix::sys::stat::stat("/")?);
    if (shown_stat.st_dev, shown_stat.st_ino) == (root.st_dev, root.st_ino) {
        Ok(shown)
    } else {
        Err(Errno::ESTALE) // A link stood in the folder's place.
    }
}

fn bind(from: &Path, to: &Path, more: MsFlags) -> Result<(), Errno> {
    let flags = MsFlags::MS_BIND | more;
    mount(Some(from), to, None::<&str>, flags, None::<&str>)
}

fn remount_read_only(path: &Path) -> Result<(), Errno> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, path, None::<&str>, flags, None::<&str>)
}

/// Mounts a volume where the container will have it. What is not there yet on the host is left out.
fn show_volume(root: BorrowedFd<'_>, volume: &Volume, volumes: &Volumes) -> Result<(), io::Error> {
    let by_fd = |fd: BorrowedFd<'_>| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let place = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let Some(source) = volume.on_host(volumes) else {
        return Ok(());
    };
    let source = match open(&source, place, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(()),
        source => source?,
    };
    let target = match in_root::open(root, &volume.target, place, Mode::empty()) {
        Err(Errno::ENOENT) => {
            let is_folder = File::from(source.try_clone()?).metadata()?.is_dir();
            if !is_folder {
                return Ok(()); // The file to mount it on is made when the container starts.
            }
            make_folders(root, &volume.target)?
        }
        target => target?,
    };
    let (source, target) = (by_fd(source.as_fd()), by_fd(target.as_fd()));
    bind(Path::new(&source), Path::new(&target), MsFlags::MS_REC)?;
    if volume.access == Access::ReadOnly {
        let shown = in_root::open(root, &volume.target, place, Mode::empty())?;
        remount_read_only(Path::new(&by_fd(shown.as_fd())))?;
    }
    Ok(())
}
