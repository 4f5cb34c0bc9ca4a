//! Devices that appear while drivers are loaded.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Where virtio ports tell their names.
const PORTS: &str = "/sys/class/virtio-ports";

/// How long a driver may take to find its device.
pub(super) const DEVICE_WITHIN: Duration = Duration::from_secs(30);

/// Why a device is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeviceError {
    #[error("can't watch /dev")]
    Watch(#[source] io::Error),
    #[error("{what} did not appear within {} s: is its driver built into the kernel, or among its modules (`--modules DIR`)?", .within.as_secs())]
    Absent { what: String, within: Duration },
}

/// Waits for devices.
#[derive(Debug)]
pub(super) struct Devices(Inotify);

impl Devices {
    /// Begins to watch `/dev`: what appears from now on is not missed.
    pub(super) fn watch() -> Result<Self, DeviceError> {
        let watch = || {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            inotify.add_watch("/dev", AddWatchFlags::IN_CREATE)?;
            Ok(Self(inotify))
        };
        watch().map_err(|error: Errno| DeviceError::Watch(error.into()))
    }

    /// Waits for a path that is a device; other words, which file systems without a device take
    /// as their source, are not waited for.
    pub(super) fn wait_for_path(
        &mut self,
        path: &Path,
        within: Duration,
    ) -> Result<(), DeviceError> {
        let found = || (!path.starts_with("/dev") || path.exists()).then_some(());
        self.wait(&path.display().to_string(), within, found)
    }

    /// Waits for the virtio port of this name; gives its device.
    pub(super) fn wait_for_port(
        &mut self,
        name: &str,
        within: Duration,
    ) -> Result<PathBuf, DeviceError> {
        self.wait(&format!("the virtio port `{name}`"), within, || {
            find_port(Path::new(PORTS), name)
                .map(|port| Path::new("/dev").join(port))
                .filter(|device| device.exists())
        })
    }

    fn wait<T>(
        &mut self,
        what: &str,
        within: Duration,
        find: impl Fn() -> Option<T>,
    ) -> Result<T, DeviceError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = find() {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(DeviceError::Absent {
                    what: what.to_owned(),
                    within,
                });
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(DeviceError::Watch(error.into())),
            }
            match self.0.read_events() {
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(DeviceError::Watch(error.into())),
            }
        }
    }
}

/// The device name of the port whose `name` attribute is `name`.
fn find_port(ports: &Path, name: &str) -> Option<String> {
    fs::read_dir(ports).ok()?.flatten().find_map(|port| {
        let is_it = fs::read_to_string(port.path().join("name"))
            .ok()?
            .trim_end()
            == name;
        is_it.then(|| port.file_name().to_string_lossy().into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_port_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for (port, name) in [("vport0p1", "other\n"), ("vport0p2", "org.x\n")] {
            fs::create_dir(folder.path().join(port)).unwrap();
            fs::write(folder.path().join(port).join("name"), name).unwrap();
        }
        // A port whose host gave it no name.
        fs::create_dir(folder.path().join("vport0p0")).unwrap();
        assert_eq!(
            find_port(folder.path(), "org.x").as_deref(),
            Some("vport0p2")
        );
        assert_eq!(find_port(folder.path(), "org.y"), None);
    }

    #[test]
    fn a_device_that_is_there_is_not_waited_for_and_one_that_never_comes_is_an_error() {
        let mut devices = Devices::watch().unwrap();
        let hour = Duration::from_secs(3600);
        devices.wait_for_path("/dev/null".as_ref(), hour).unwrap();
        devices.wait_for_path("tmpfs".as_ref(), hour).unwrap();
        let error = devices
            .wait_for_path("/dev/no-such-device".as_ref(), Duration::ZERO)
            .unwrap_err();
        assert!(matches!(error, DeviceError::Absent { .. }), "{error:?}");
    }
}
