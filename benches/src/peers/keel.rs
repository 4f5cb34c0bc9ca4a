//! Keel, with the root file system imported as an image.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use keel::container::Containers;
use keel::container::options::default_capabilities;
use keel::container::spec::{self, Facts, Presence};
use keel::container::user::Identity;
use keel::runtime::seccomp::default_profile;
use keel::volume::Volumes;
use oci_spec::runtime::Spec;

use super::done;

/// The engine on a root folder of its own.
#[derive(Debug)]
pub struct Keel {
    program: PathBuf,
    root: PathBuf,
}

impl Keel {
    /// The engine as `make build` leaves it, with `rootfs` (a tar archive) as its only image.
    ///
    /// # Errors
    /// It was not built, or does not take the image.
    pub fn set_up(root: PathBuf, rootfs: &Path) -> io::Result<Self> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let program = target.join(triple).join("engine/keel");
        if !program.exists() {
            let program = program.display();
            let text = format!("{program} is not there: run `make build` first");
            return Err(io::Error::other(text));
        }
        let keel = Self { program, root };
        done(keel.command().arg("import").arg(rootfs).arg("bench"))?;
        Ok(keel)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root);
        command.args(["--storage-driver", "overlay"]);
        command
    }

    /// `keel run --rm bench /bin/true`
    pub fn run(&self) -> Command {
        let mut command = self.command();
        command.args(["run", "--rm", "bench", "/bin/true"]);
        command
    }

    /// What that makes its container of, for others to do the same.
    ///
    /// # Errors
    /// The container that is made to look at can't be.
    pub fn spec(&self) -> io::Result<Spec> {
        done(
            self.command()
                .args(["run", "--name", "model", "bench", "/bin/true"]),
        )?;
        let model = Containers::new(&self.root).find("model");
        let model = model.map_err(io::Error::other)?;
        let capabilities = default_capabilities();
        let facts = Facts {
            identity: Identity {
                uid: 0,
                gid: 0,
                groups: Vec::new(),
                home: "/".to_owned(),
            },
            capabilities: capabilities.clone(),
            devices: Vec::new(),
            cgroups: Presence::Present,
            device_rules: Presence::Present,
            tty_group: Presence::Present,
            cgroup_namespaces: Presence::from(Path::new("/proc/self/ns/cgroup").exists()),
            swap_limit: Presence::Absent,
            files: None,
            volumes: Volumes::new(&self.root),
        };
        let mut spec = spec::spec(model.config(), &facts).map_err(io::Error::other)?;
        // Keel has the filter ready; others translate the profile.
        let linux = spec.linux().clone().map(|mut linux| {
            linux.set_seccomp(Some(default_profile(&capabilities)));
            linux
        });
        spec.set_linux(linux);
        Ok(spec)
    }
}
