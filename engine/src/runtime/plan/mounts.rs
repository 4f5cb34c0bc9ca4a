//! The spec's mounts.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use oci_spec::runtime::{Mount, Spec};

use super::options::{self, Options};
use super::{
    CgroupPath, Create, Error, Hierarchies, NamespacePlan, c_string, inner_path, invalid, setup,
};
use crate::runtime::requirement;
use crate::sys::mount::{Attributes, Depth};

/// One mount, worked out.
#[derive(Debug)]
pub(in crate::runtime) struct MountPlan {
    /// For messages: the destination as the spec has it.
    pub(in crate::runtime) shown: String,
    /// Relative to the root.
    pub(in crate::runtime) destination: CString,
    pub(in crate::runtime) create: Create,
    pub(in crate::runtime) kind: Kind,
    /// Propagation changes after the mount, one call each.
    pub(in crate::runtime) propagation: Vec<MsFlags>,
    /// Whether its place may lie in a procfs (CVE-2015-3630).
    pub(in crate::runtime) in_proc: InProc,
    /// Whether the place may be reached through links: not for /proc and /sys themselves
    /// (CVE-2019-19921).
    pub(in crate::runtime) links: crate::sys::open::Links,
}

/// Whether a mount may be placed inside a procfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtime) enum InProc {
    Refused,
    Allowed,
}

/// What is mounted.
#[derive(Debug)]
pub(in crate::runtime) enum Kind {
    /// A file system of its own.
    Filesystem {
        kind: CString,
        source: CString,
        flags: MsFlags,
        data: CString,
    },
    /// A file or folder of the host.
    Bind(BindPlan),
    /// The unified cgroup hierarchy, seen from the container's group.
    CgroupUnified {
        flags: MsFlags,
        fallback: Option<BindPlan>,
    },
    /// A folder of v1 hierarchies.
    CgroupFolders {
        flags: MsFlags,
        folders: Vec<CgroupFolder>,
    },
}

/// A bind mount.
#[derive(Debug, Clone)]
pub(in crate::runtime) struct BindPlan {
    pub(in crate::runtime) source: CString,
    pub(in crate::runtime) depth: Depth,
    pub(in crate::runtime) attributes: Attributes,
    pub(in crate::runtime) recursive: Attributes,
}

/// One v1 hierarchy below the container's /sys/fs/cgroup.
#[derive(Debug)]
pub(in crate::runtime) struct CgroupFolder {
    /// Folder: `cpu,cpuacct`.
    pub(in crate::runtime) name: CString,
    /// With a cgroup namespace: the options that mount it. Else: the group's own folder.
    pub(in crate::runtime) content: CgroupContent,
    /// Links beside it: `cpu` and `cpuacct`.
    pub(in crate::runtime) links: Vec<CString>,
}

/// How a v1 hierarchy gets into the container.
#[derive(Debug)]
pub(in crate::runtime) enum CgroupContent {
    Mount { data: CString },
    Bind(BindPlan),
}

/// Files of /proc that some tools (lxcfs) put better ones over; runc allows the same.
const ALLOWED_IN_PROC: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
];

/// More mounts than a kernel allows in one namespace by default (`fs.mount-max`) are refused early.
const MAX_MOUNTS: usize = 10_000;

pub(super) fn plan(
    spec: &Spec,
    cgroup: Option<&CgroupPath>,
    hierarchies: &Hierarchies,
    namespaces: &NamespacePlan,
) -> Result<Vec<MountPlan>, Error> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    if mounts.len() > MAX_MOUNTS {
        return Err(invalid(
            "mounts",
            &format!(
                "has {} entries; at most {MAX_MOUNTS} are possible",
                mounts.len()
            ),
        ));
    }
    mounts
        .iter()
        .map(|mount| plan_one(mount, cgroup, hierarchies, namespaces))
        .collect()
}

fn plan_one(
    mount: &Mount,
    cgroup: Option<&CgroupPath>,
    hierarchies: &Hierarchies,
    namespaces: &NamespacePlan,
) -> Result<MountPlan, Error> {
    use crate::sys::open::Links;
    let destination = mount.destination();
    let shown = destination.display().to_string();
    let field = format!("mounts {shown:?}");
    let options =
        options::parse(mount.options().iter().flatten().map(String::as_str)).map_err(|option| {
            Error::Unsupported {
                what: format!("the mount option {option:?} of {shown}"),
                remedy: "leave it out",
            }
        })?;
    // A page holds the options, and the kernel cuts off what is longer (before 5.2, silently).
    if options.data.len() > 4095 {
        return Err(invalid(&field, "has more than 4095 bytes of options"));
    }
    let typ = mount.typ().as_deref().unwrap_or_default();
    let mut create = Create::Folder;
    let kind = match typ {
        _ if options.bind.is_some() || typ == "bind" => {
            let bind = bind(mount, &options, &field)?;
            create = source_kind(mount, &field)?;
            Kind::Bind(bind)
        }
        "" => {
            return Err(invalid(
                &field,
                "must have a type, or the option bind or rbind",
            ));
        }
        "cgroup" | "cgroup2" => cgroup_mount(&options, cgroup, hierarchies, namespaces)?,
        _ => Kind::Filesystem {
            kind: c_string(typ.as_bytes(), &field)?,
            source: c_string(
                mount
                    .source()
                    .as_deref()
                    .unwrap_or(Path::new(typ))
                    .as_os_str()
                    .as_bytes(),
                &field,
            )?,
            flags: options.flags,
            data: c_string(options.data.as_bytes(), &field)?,
        },
    };
    let inner = inner_path(destination)?;
    if is_root(destination) {
        return Err(invalid(
            &field,
            "must not be the root itself; root.path says what that is",
        ));
    }
    let special = matches!(typ, "proc" | "sysfs");
    let allowed = ALLOWED_IN_PROC.contains(&shown.as_str());
    Ok(MountPlan {
        destination: inner,
        create,
        kind,
        propagation: after(&options),
        in_proc: if allowed {
            InProc::Allowed
        } else {
            InProc::Refused
        },
        links: if special {
            Links::Refused
        } else {
            Links::InRoot
        },
        shown,
    })
}

/// Whether a path names the root, whatever its form.
fn is_root(path: &Path) -> bool {
    use std::path::Component;
    let mut depth = 0_usize;
    for component in path.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth = depth.saturating_sub(1),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    depth == 0
}

/// New mounts are private already where the tree was cut off privately.
fn after(options: &Options) -> Vec<MsFlags> {
    options
        .propagation
        .iter()
        .copied()
        .filter(|flags| !flags.contains(MsFlags::MS_PRIVATE))
        .collect()
}

fn bind(mount: &Mount, options: &Options, field: &str) -> Result<BindPlan, Error> {
    let source = mount
        .source()
        .as_deref()
        .ok_or_else(|| invalid(field, "is a bind mount and must have a source"))?;
    if !source.is_absolute() {
        return Err(invalid(field, "must have an absolute source"));
    }
    if !options.data.is_empty() {
        return Err(invalid(
            field,
            &format!(
                "is a bind mount, which cannot have the option {:?}",
                options.data
            ),
        ));
    }
    Ok(BindPlan {
        source: c_string(source.as_os_str().as_bytes(), field)?,
        depth: options.bind.unwrap_or(Depth::Single),
        attributes: options.attributes,
        recursive: options.recursive,
    })
}

fn source_kind(mount: &Mount, field: &str) -> Result<Create, Error> {
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    match source.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(Create::Folder),
        Ok(_) => Ok(Create::File),
        Err(error) => Err(setup(
            format!("find {} for {field}", source.display()),
            "create it on the host, or correct the path",
            error,
        )),
    }
}

fn cgroup_mount(
    options: &Options,
    cgroup: Option<&CgroupPath>,
    hierarchies: &Hierarchies,
    namespaces: &NamespacePlan,
) -> Result<Kind, Error> {
    let own_namespace = namespaces.is_own(CloneFlags::CLONE_NEWCGROUP);
    let bind = |path: &Path| {
        Ok::<_, Error>(BindPlan {
            source: c_string(path.as_os_str().as_bytes(), "linux.cgroupsPath")?,
            depth: Depth::Recursive,
            attributes: options.attributes,
            recursive: Attributes::default(),
        })
    };
    let needs_group = || {
        invalid(
            "mounts of type cgroup",
            "need a cgroup namespace in linux.namespaces, or a cgroup of the container's own",
        )
    };
    match hierarchies {
        Hierarchies::Absent => Err(requirement::CGROUP.into()),
        Hierarchies::Unified(root) => {
            let own = cgroup.map(|path| path.below(root));
            let fallback = own.as_deref().map(bind).transpose()?;
            if !own_namespace && fallback.is_none() {
                return Err(needs_group());
            }
            Ok(match fallback {
                Some(fallback) if !own_namespace => Kind::Bind(fallback),
                fallback => Kind::CgroupUnified {
                    flags: options.flags,
                    fallback,
                },
            })
        }
        Hierarchies::Legacy(hierarchies) => {
            let mut folders = Vec::new();
            for hierarchy in hierarchies {
                let content = match cgroup {
                    Some(path) if !own_namespace => {
                        // The group has no folder where no limit was asked for.
                        if !hierarchy.always_used() {
                            continue;
                        }
                        CgroupContent::Bind(bind(&path.below(&hierarchy.point))?)
                    }
                    None if !own_namespace => return Err(needs_group()),
                    _ => CgroupContent::Mount {
                        data: c_string(hierarchy.options().as_bytes(), "cgroup")?,
                    },
                };
                let name = hierarchy.folder_name();
                let links = hierarchy.controllers.iter().filter(|link| **link != name);
                let links = links
                    .map(|link| c_string(link.as_bytes(), "cgroup"))
                    .collect::<Result<_, _>>()?;
                folders.push(CgroupFolder {
                    name: c_string(name.as_bytes(), "cgroup")?,
                    content,
                    links,
                });
            }
            Ok(Kind::CgroupFolders {
                flags: options.flags,
                folders,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_recognised_in_every_form() {
        for path in ["/", "//", "/.", "/a/..", "/..", "/a/../../.."] {
            assert!(is_root(Path::new(path)), "{path}");
        }
        assert!(!is_root(Path::new("/a/../b")));
    }
}
