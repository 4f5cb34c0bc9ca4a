//! The group of one container: making it, moving processes into it, limits.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

use super::settings::{self, Setting};
use super::tree::{self, Made};
use super::{CgroupPath, Error, Hierarchies, Hierarchy, Stats, delegate, devices};
use crate::runtime::requirement;
use crate::sys::bpf;

/// One container's cgroup: a folder in every hierarchy that is used.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: CgroupPath,
    pub(super) folders: Folders,
}

#[derive(Debug, Clone)]
pub(super) enum Folders {
    Unified(PathBuf),
    Legacy(Vec<(Hierarchy, PathBuf)>),
}

impl Cgroup {
    /// Makes the group and sets its limits. A group of that name with processes in it is left
    /// alone; an empty one (of a container that crashed) is taken over.
    ///
    /// # Errors
    /// [`Error::InUse`]; [`Error::Missing`] for a limit without its controller; nothing stays
    /// behind then.
    pub fn create(path: &CgroupPath, resources: Option<&LinuxResources>) -> Result<Self, Error> {
        Self::create_in(&Hierarchies::detect(), path, resources)
    }

    pub(in crate::runtime) fn create_in(
        hierarchies: &Hierarchies,
        path: &CgroupPath,
        resources: Option<&LinuxResources>,
    ) -> Result<Self, Error> {
        let (folders, settings) = match hierarchies {
            Hierarchies::Absent => return Err(requirement::CGROUP.into()),
            Hierarchies::Unified(root) => {
                let settings = resources
                    .map(settings::unified)
                    .transpose()?
                    .unwrap_or_default();
                let folder = path.below(root);
                if delegate::make(root, path)? == Made::Old {
                    refuse_used(&folder)?;
                }
                (Folders::Unified(folder), settings)
            }
            Hierarchies::Legacy(list) => {
                let settings = resources
                    .map(settings::legacy)
                    .transpose()?
                    .unwrap_or_default();
                (
                    Folders::Legacy(make_legacy(list, path, &settings)?),
                    settings,
                )
            }
        };
        let group = Self {
            path: path.clone(),
            folders,
        };
        let limited = group
            .set(&settings)
            .and_then(|()| group.set_devices(resources));
        match limited {
            Ok(()) => Ok(group),
            Err(error) => {
                // The first error is what matters; a leftover is taken over next time.
                let _removed = group.remove();
                Err(error)
            }
        }
    }

    /// The cgroup of a container that runs already.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no hierarchy.
    pub fn open(path: &CgroupPath) -> Result<Self, Error> {
        let folders = match Hierarchies::detect() {
            Hierarchies::Absent => return Err(requirement::CGROUP.into()),
            Hierarchies::Unified(root) => Folders::Unified(path.below(&root)),
            Hierarchies::Legacy(list) => {
                let with_folder = |hierarchy: Hierarchy| {
                    let folder = path.below(&hierarchy.point);
                    folder.is_dir().then_some((hierarchy, folder))
                };
                Folders::Legacy(list.into_iter().filter_map(with_folder).collect())
            }
        };
        Ok(Self {
            path: path.clone(),
            folders,
        })
    }

    /// Its place.
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// Moves a process (all its threads) into the group.
    pub fn attach(&self, pid: u32) -> Result<(), Error> {
        let pid = pid.to_string();
        for folder in self.all_folders() {
            tree::write(folder, "cgroup.procs", &pid)?;
        }
        Ok(())
    }

    /// The unified hierarchy's folder, to be born in.
    pub(in crate::runtime) fn birthplace(&self) -> Option<OwnedFd> {
        match &self.folders {
            Folders::Unified(folder) => File::open(folder).ok().map(OwnedFd::from),
            Folders::Legacy(_) => None,
        }
    }

    /// Changes the limits of a running container. Device rules are replaced when there are any.
    pub fn apply(&self, resources: &LinuxResources) -> Result<(), Error> {
        match &self.folders {
            Folders::Unified(_) => self.set(&settings::unified(resources)?)?,
            Folders::Legacy(own) => {
                let settings = settings::legacy(resources)?;
                let more = self.missing_folders(own, &settings)?;
                if more.is_empty() {
                    self.set(&settings)?;
                } else {
                    self.extend(own, more, &settings)?;
                }
            }
        }
        self.set_devices(Some(resources))
    }

    /// Makes the folders in v1 hierarchies that no limit had asked for yet.
    fn missing_folders(
        &self,
        own: &[(Hierarchy, PathBuf)],
        settings: &[Setting],
    ) -> Result<Vec<(Hierarchy, PathBuf)>, Error> {
        let is_missing = |setting: &Setting| self.folder_of(&setting.controller).is_none();
        let Hierarchies::Legacy(all) = Hierarchies::detect() else {
            return Ok(Vec::new());
        };
        if !settings.iter().any(is_missing) {
            return Ok(Vec::new());
        }
        let others: Vec<_> = all
            .into_iter()
            .filter(|one| own.iter().all(|(other, _)| other != one))
            .filter(|one| !one.always_used())
            .collect();
        make_legacy(&others, &self.path, settings)
    }

    /// Sets limits, also in new folders, and moves the processes there afterwards.
    fn extend(
        &self,
        own: &[(Hierarchy, PathBuf)],
        more: Vec<(Hierarchy, PathBuf)>,
        settings: &[Setting],
    ) -> Result<(), Error> {
        let new: Vec<PathBuf> = more.iter().map(|(_, folder)| folder.clone()).collect();
        let whole = Self {
            path: self.path.clone(),
            folders: Folders::Legacy(own.iter().cloned().chain(more).collect()),
        };
        whole.set(settings)?;
        for pid in self.pids()? {
            for folder in &new {
                match tree::write(folder, "cgroup.procs", &pid.to_string()) {
                    // It has ended meanwhile.
                    Err(Error::Io { source, .. })
                        if source.raw_os_error() == Some(nix::libc::ESRCH) => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// Use so far.
    pub fn stats(&self) -> Result<Stats, Error> {
        match &self.folders {
            Folders::Unified(folder) => Stats::unified(folder),
            Folders::Legacy(list) => {
                let mut stats = Stats::default();
                for (hierarchy, folder) in list {
                    for controller in &hierarchy.controllers {
                        stats.add_legacy(folder, controller)?;
                    }
                }
                Ok(stats)
            }
        }
    }

    /// How many processes the out-of-memory killer has taken here (v1: Linux 4.13; before, 0).
    pub fn oom_kills(&self) -> Result<u64, Error> {
        let (folder, file) = match &self.folders {
            Folders::Unified(folder) => (Some(folder.as_path()), "memory.events"),
            Folders::Legacy(_) => (self.folder_of("memory"), "memory.oom_control"),
        };
        let text = match folder {
            Some(folder) => tree::read_if_there(folder, file)?,
            None => None,
        };
        Ok(text
            .and_then(|text| tree::keyed(&text, "oom_kill"))
            .unwrap_or_default())
    }

    /// The processes in it and below, ids in the caller's pid namespace.
    pub fn pids(&self) -> Result<Vec<u32>, Error> {
        let mut pids = Vec::new();
        if let Some(folder) = self.tasks_folder() {
            tree::pids(folder, &mut pids)?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    pub(super) fn all_folders(&self) -> impl Iterator<Item = &Path> {
        let (one, list) = match &self.folders {
            Folders::Unified(folder) => (Some(folder.as_path()), &[][..]),
            Folders::Legacy(list) => (None, list.as_slice()),
        };
        one.into_iter()
            .chain(list.iter().map(|(_, folder)| folder.as_path()))
    }

    /// A folder in which all its processes are.
    pub(super) fn tasks_folder(&self) -> Option<&Path> {
        self.folder_of("freezer")
            .or_else(|| self.all_folders().next())
    }

    /// v1: the folder of a controller; v2: the only one.
    pub(super) fn folder_of(&self, controller: &str) -> Option<&Path> {
        match &self.folders {
            Folders::Unified(folder) => Some(folder),
            Folders::Legacy(list) => {
                let found = list.iter().find(|(hierarchy, _)| hierarchy.has(controller));
                found.map(|(_, folder)| folder.as_path())
            }
        }
    }

    fn set(&self, settings: &[Setting]) -> Result<(), Error> {
        for setting in settings {
            let folder = self.folder_of(&setting.controller);
            let folder = folder.ok_or_else(|| requirement::controller(&setting.controller))?;
            set_one(folder, setting)?;
        }
        Ok(())
    }

    fn set_devices(&self, resources: Option<&LinuxResources>) -> Result<(), Error> {
        let spec = resources.and_then(|resources| resources.devices().as_deref());
        let rules = devices::rules(spec.unwrap_or_default())?;
        if rules.is_empty() {
            return Ok(());
        }
        match &self.folders {
            Folders::Unified(folder) => set_device_program(folder, &rules),
            Folders::Legacy(_) => {
                let folder = self
                    .folder_of("devices")
                    .ok_or_else(|| requirement::controller("devices"))?;
                for rule in rules {
                    let (file, line) = rule.legacy();
                    tree::write(folder, file, &line)?;
                }
                Ok(())
            }
        }
    }
}

fn set_one(folder: &Path, setting: &Setting) -> Result<(), Error> {
    match tree::write(folder, &setting.file, &setting.value) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(missing_file(folder, setting).into())
        }
        // v1 keeps memory ≤ memory+swap at every moment, so a running group that is to get more
        // of both needs the second first.
        Err(Error::Io { source, .. })
            if source.raw_os_error() == Some(nix::libc::EINVAL)
                && setting.file == "memory.limit_in_bytes" =>
        {
            tree::write(folder, "memory.memsw.limit_in_bytes", "-1")?;
            tree::write(folder, &setting.file, &setting.value)
        }
        other => other,
    }
}

/// The controller's files are there but this one is not.
fn missing_file(folder: &Path, setting: &Setting) -> requirement::Missing {
    let swap = setting.file.contains("memsw") || setting.file.contains("swap.");
    let other = setting.file == "memory.memsw.limit_in_bytes"
        && folder.join("memory.limit_in_bytes").exists()
        || setting.file == "memory.swap.max" && folder.join("memory.max").exists();
    if swap && other {
        return requirement::SWAP;
    }
    requirement::controller(&setting.controller)
}

fn refuse_used(folder: &Path) -> Result<(), Error> {
    let mut pids = Vec::new();
    tree::pids(folder, &mut pids)?;
    if pids.is_empty() {
        return Ok(());
    }
    Err(Error::InUse {
        path: folder.to_owned(),
    })
}

fn make_legacy(
    list: &[Hierarchy],
    path: &CgroupPath,
    settings: &[Setting],
) -> Result<Vec<(Hierarchy, PathBuf)>, Error> {
    let mut folders = Vec::new();
    for hierarchy in list {
        let asked = settings
            .iter()
            .any(|setting| hierarchy.has(&setting.controller));
        if !asked && !hierarchy.always_used() {
            continue;
        }
        let folder = path.below(&hierarchy.point);
        if make_below(hierarchy, path)? == Made::Old {
            refuse_used(&folder)?;
        }
        folders.push((hierarchy.clone(), folder));
    }
    Ok(folders)
}

/// Makes the group's folder, and those above when they are missing.
fn make_below(hierarchy: &Hierarchy, path: &CgroupPath) -> Result<Made, Error> {
    let cpuset = hierarchy.has("cpuset");
    if !cpuset {
        match tree::make(&path.below(&hierarchy.point)) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            other => return other,
        }
    }
    let mut folder = hierarchy.point.clone();
    let mut made = Made::Old;
    for name in path.components() {
        let above = folder.clone();
        folder.push(name);
        made = tree::make(&folder)?;
        if cpuset {
            inherit_cpuset(&above, &folder)?;
        }
    }
    Ok(made)
}

/// A new v1 cpuset is empty, and no task can enter it: take over what the group above has.
fn inherit_cpuset(above: &Path, folder: &Path) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if tree::read(folder, file)?.trim().is_empty() {
            tree::write(folder, file, tree::read(above, file)?.trim())?;
        }
    }
    Ok(())
}

/// Attaches the new program before the old ones go, so that no moment is without rules.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "error numbers: only some have a meaning here"
)]
fn set_device_program(folder: &Path, rules: &[devices::Rule]) -> Result<(), Error> {
    let failed =
        |errno: nix::errno::Errno| tree::failed("attach a device program to", folder, errno.into());
    let opened = File::open(folder).map_err(|source| tree::failed("open", folder, source))?;
    // ENOSYS: no bpf call; EINVAL: no device programs.
    let program =
        bpf::load_device_program(&devices::program(rules)).map_err(|errno| match errno {
            nix::errno::Errno::ENOSYS | nix::errno::Errno::EINVAL => {
                Error::Missing(requirement::CGROUP_BPF)
            }
            other => failed(other),
        })?;
    let old = bpf::device_programs(opened.as_fd()).unwrap_or_default();
    bpf::attach_device_program(opened.as_fd(), program.as_fd()).map_err(failed)?;
    for program in old {
        bpf::detach_device_program(opened.as_fd(), program.as_fd()).map_err(failed)?;
    }
    Ok(())
}
