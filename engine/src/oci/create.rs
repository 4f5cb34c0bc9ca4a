//! Making a container.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use oci_spec::runtime::{Hook, Spec};

use super::status::WAITING;
use super::{
    Bundle, Container, ContainerId, Error, Force, Record, Runtime, console, pid_file, store,
};
use crate::container::state::{Incarnation, boot_id};
use crate::runtime::cgroup::CgroupPath;
use crate::runtime::{
    self, Console, HookPoint, Init, Keyring, Launch, Options, Prepared, Process, RootChange, Start,
    Stdio,
};

/// How a container is to be made.
#[derive(Debug, Default)]
pub struct Creation {
    /// Where its terminal goes to.
    pub console_socket: Option<PathBuf>,
    /// Where its process id is written to.
    pub pid_file: Option<PathBuf>,
    /// How many of the caller's descriptors it gets besides the streams.
    pub preserve_fds: u16,
    /// How its root file system becomes the root.
    pub root_change: RootChange,
    /// Whose session keyring it has.
    pub keyring: Keyring,
}

/// A container whose program runs as a child of this process.
#[derive(Debug)]
pub struct Foreground {
    /// The container.
    pub container: Container,
    /// Its first process.
    pub process: Process,
    /// Its terminal, if it has one that nobody else was given.
    pub console: Option<OwnedFd>,
}

/// The socket on which a container's process waits for its start.
pub(super) const START: &str = "start.sock";

impl Runtime {
    /// Makes a container whose program waits for [`Container::start`].
    ///
    /// # Errors
    /// Nothing stays behind then.
    pub fn create(
        &self,
        id: &ContainerId,
        bundle: &Bundle,
        creation: &Creation,
    ) -> Result<(), Error> {
        let terminal = wants_terminal(&bundle.spec);
        if terminal && creation.console_socket.is_none() {
            return Err(Error::Use(
                "process.terminal is true, so somebody must take the terminal: give --console-socket",
            ));
        }
        let mut draft = Draft::new(self, id, bundle)?;
        let listener = listen_in(&draft.container.folder)?;
        let prepared = draft.prepare(bundle, creation, Start::Called(listener.as_fd()))?;
        draft.let_go();
        prepared.leave()?;
        // Unlocking would take the lock from the process that waits, too.
        std::mem::forget(draft.waiting.take());
        draft.keep();
        Ok(())
    }

    /// Makes a container and starts its program, as a child of this process.
    ///
    /// # Errors
    /// Nothing stays behind then.
    pub fn run(
        &self,
        id: &ContainerId,
        bundle: &Bundle,
        creation: &Creation,
    ) -> Result<Foreground, Error> {
        let mut draft = Draft::new(self, id, bundle)?;
        let mut prepared = draft.prepare(bundle, creation, Start::Recorded)?;
        draft.let_go();
        let console = prepared.take_console();
        let record = &draft.container.record;
        let state = |status: &'static str, pid| record.hook_state(status, Some(pid));
        let process = prepared.begin(&state)?;
        // It has given its own up already.
        drop(draft.waiting.take());
        let container = draft.keep();
        if let Err(error) = container.poststart(&bundle.spec) {
            // The first error is what matters; `delete` finds what is left.
            let _deleted = self.delete(&container, Force::Yes);
            return Err(error);
        }
        Ok(Foreground {
            container,
            process,
            console,
        })
    }
}

/// A container that is being made. Dropped, it is gone, and its last hooks have run if any had
/// before.
struct Draft<'a> {
    runtime: &'a Runtime,
    spec: &'a Spec,
    container: Container,
    waiting: Option<Flock<File>>,
    unfinished: bool,
    hooked: bool,
}

impl<'a> Draft<'a> {
    fn new(runtime: &'a Runtime, id: &ContainerId, bundle: &'a Bundle) -> Result<Self, Error> {
        let mut record = Record::new(id, bundle);
        record.cgroup = bundle.cgroup(id)?.map(|path| path.as_str().to_owned());
        let (aside, hold) = runtime.make_aside(id)?;
        let filled = fill(&aside, bundle, &record)
            .and_then(|waiting| Ok((waiting, runtime.publish(&aside, id)?)));
        let (waiting, folder) = match filled {
            Ok(filled) => filled,
            Err(error) => {
                // The first error is what matters; what is left is out of sight.
                let _removed = store::remove_all(&aside);
                return Err(error);
            }
        };
        Ok(Self {
            runtime,
            spec: &bundle.spec,
            container: Container {
                id: id.clone(),
                folder,
                record,
                hold: Some(hold),
            },
            waiting: Some(waiting),
            unfinished: true,
            hooked: false,
        })
    }

    /// Makes the environment, and records it.
    fn prepare(
        &mut self,
        bundle: &Bundle,
        creation: &Creation,
        start: Start<'_>,
    ) -> Result<Prepared, Error> {
        let terminal = wants_terminal(&bundle.spec);
        if creation.console_socket.is_some() && !terminal {
            return Err(Error::Use(
                "--console-socket is for a terminal: set process.terminal to true, or leave it out",
            ));
        }
        let cgroup = self.container.cgroup();
        let record = self.container.record.clone();
        let state = |status: &'static str, pid| record.hook_state(status, Some(pid));
        self.hooked = bundle.spec.hooks().is_some();
        let mut prepared = runtime::prepare(
            launch(bundle, &record.id, cgroup.as_ref()),
            &Options {
                state: Some(&state),
                preserved_fds: creation.preserve_fds,
                keyring: creation.keyring,
                root_change: creation.root_change,
                mount_maps: &bundle.mount_maps,
                start,
            },
        )?;
        if let Some(socket) = &creation.console_socket {
            if let Some(master) = prepared.take_console() {
                console::send(&master, socket)?;
            }
        }
        let (pid, start) = prepared.identity();
        if let Some(path) = &creation.pid_file {
            pid_file::write(path, pid)?;
        }
        let boot_id = boot_id();
        self.container.record.process = Some(Incarnation {
            pid,
            start,
            boot_id: boot_id.map_err(Error::io("read", "/proc/sys/kernel/random/boot_id"))?,
        });
        store::write_record(&self.container.folder, &self.container.record)?;
        Ok(prepared)
    }

    /// Lets others change it, before its process can outlive us: that has inherited the lock, and
    /// would keep it if we were killed.
    fn let_go(&mut self) {
        self.container.hold = None;
    }

    /// The container is made.
    fn keep(mut self) -> Container {
        self.unfinished = false;
        Container {
            id: self.container.id.clone(),
            folder: std::mem::take(&mut self.container.folder),
            record: self.container.record.clone(),
            hold: self.container.hold.take(),
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.unfinished {
            return;
        }
        // The first error is what the caller needs to hear; `delete` finds what is left.
        let _removed = self.runtime.withdraw(&self.container);
        if self.hooked {
            // Of two errors, the first is told.
            let _warnings = self.container.poststop(self.spec);
        }
    }
}

fn wants_terminal(spec: &Spec) -> bool {
    let process = spec.process().as_ref();
    process.and_then(oci_spec::runtime::Process::terminal) == Some(true)
}

fn launch<'a>(bundle: &'a Bundle, id: &'a str, cgroup: Option<&'a CgroupPath>) -> Launch<'a> {
    let size = bundle.spec.process().as_ref().and_then(console::size);
    Launch {
        id,
        spec: &bundle.spec,
        filter: None,
        rootfs: &bundle.rootfs,
        mount: None,
        cgroup,
        stdio: Stdio::Inherit,
        init: Init::No,
        console: if wants_terminal(&bundle.spec) {
            Console::Pty { size }
        } else {
            Console::None
        },
    }
}

/// Writes what a container's folder holds from the beginning, and takes the lock of the process
/// that is to wait.
fn fill(folder: &Path, bundle: &Bundle, record: &Record) -> Result<Flock<File>, Error> {
    store::write_config(folder, &bundle.config)?;
    store::write_record(folder, record)?;
    let path = folder.join(WAITING);
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, errno)| Error::io("lock", path)(errno))
}

/// A socket in the folder that listens. Its address goes through a descriptor, as the length of
/// addresses is limited (unix(7): 108 bytes), and that of folders is not.
fn listen_in(folder: &Path) -> Result<OwnedFd, Error> {
    let failed = |errno: nix::errno::Errno| Error::io("listen in", folder)(errno);
    let opened = File::open(folder).map_err(Error::io("open", folder))?;
    let listener = start_socket().map_err(failed)?;
    let address = start_address(opened.as_fd()).map_err(failed)?;
    bind(listener.as_raw_fd(), &address).map_err(failed)?;
    listen(&listener, Backlog::new(1).unwrap_or(Backlog::MAXCONN)).map_err(failed)?;
    Ok(listener)
}

/// A socket of the kind that the waiting process speaks through.
pub(super) fn start_socket() -> nix::Result<OwnedFd> {
    socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
}

/// The address of the socket in an open folder.
pub(super) fn start_address(folder: BorrowedFd<'_>) -> nix::Result<UnixAddr> {
    UnixAddr::new(format!("/proc/self/fd/{}/{START}", folder.as_raw_fd()).as_str())
}

impl Container {
    /// Runs the last hooks, whose failures change nothing (runtime specification, lifecycle): they
    /// are warnings.
    pub(super) fn poststop(&self, spec: &Spec) -> Vec<runtime::Error> {
        let hooks = spec.hooks().as_ref();
        let hooks = hooks.and_then(|hooks| hooks.poststop().as_ref());
        let state = self.record.hook_state("stopped", None);
        let run = |hook: &Hook| {
            let one = vec![hook.clone()];
            runtime::run_hooks(HookPoint::Poststop, Some(&one), &state).err()
        };
        hooks.into_iter().flatten().filter_map(run).collect()
    }
}
