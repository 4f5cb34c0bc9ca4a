//! crun, with the root file system as a bundle.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use oci_spec::runtime::Spec;

use super::done;

/// The runtime on a state folder and a bundle of its own.
#[derive(Debug)]
pub struct Crun {
    root: PathBuf,
    bundle: PathBuf,
    runs: Cell<u32>,
}

/// What crun was given of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// All of it.
    Whole,
    /// All but the device rules, which it could not set here: why.
    WithoutDeviceRules(String),
}

impl Crun {
    /// The spec that crun suggests, to run `/bin/true` without a terminal.
    ///
    /// # Errors
    /// `crun spec` fails.
    pub fn suggestion() -> io::Result<Spec> {
        let folder = tempfile::tempdir()?;
        done(Command::new("crun").arg("spec").current_dir(&folder))?;
        let spec = fs::read(folder.path().join("config.json"))?;
        let mut spec: Spec = serde_json::from_slice(&spec)?;
        if let Some(process) = spec.process_mut() {
            process.set_terminal(Some(false));
            process.set_args(Some(vec!["/bin/true".to_owned()]));
        }
        Ok(spec)
    }

    /// `bundle` has the folder `rootfs`; `spec` is written there, in crun's own cgroup.
    ///
    /// # Errors
    /// crun does not run it, with device rules or without.
    pub fn set_up(root: PathBuf, bundle: PathBuf, mut spec: Spec) -> io::Result<(Self, Given)> {
        let crun = Self {
            root,
            bundle,
            runs: Cell::new(0),
        };
        // The version that every crun knows; nothing in the spec is newer.
        spec.set_version("1.0.0".to_owned());
        if let Some(linux) = spec.linux_mut() {
            linux.set_cgroups_path(None);
        }
        crun.write(&spec)?;
        let Err(refused) = done(&mut crun.run()) else {
            return Ok((crun, Given::Whole));
        };
        // crun leaves the group of what it could not run, where there is but one hierarchy.
        let group = format!("/sys/fs/cgroup/bench-{}-0", std::process::id());
        drop(fs::remove_dir(group));
        // With v2 crun raises RLIMIT_MEMLOCK before it loads its device program, which needs a
        // capability that root has not everywhere.
        if let Some(resources) = spec
            .linux_mut()
            .as_mut()
            .and_then(|linux| linux.resources_mut().as_mut())
        {
            resources.set_devices(None);
        }
        crun.write(&spec)?;
        if done(&mut crun.run()).is_err() {
            return Err(refused);
        }
        Ok((crun, Given::WithoutDeviceRules(refused.to_string())))
    }

    fn write(&self, spec: &Spec) -> io::Result<()> {
        fs::write(self.bundle.join("config.json"), serde_json::to_vec(spec)?)
    }

    /// `crun run`, each time with another id.
    pub fn run(&self) -> Command {
        let run = self.runs.get();
        self.runs.set(run + 1);
        let mut command = Command::new("crun");
        command.arg("--root").arg(&self.root).arg("run");
        command.arg("--bundle").arg(&self.bundle);
        command.arg(format!("bench-{}-{run}", std::process::id()));
        command
    }
}
