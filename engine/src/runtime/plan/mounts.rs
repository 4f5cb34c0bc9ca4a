//! The spec's mounts.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use oci_spec::runtime::{Mount, Spec};

use super::extras::refuse_without_selinux;
use super::options::{self, Options};
use super::{
    CgroupPath, Create, Error, Hierarchies, NamespacePlan, c_string, inner_path, invalid, setup,
};
use crate::runtime::MountMaps;
use crate::runtime::requirement;
use crate::runtime::user_namespace::{self, UserMaps};
use crate::sys::mount::{Attributes, Depth, clone_path, map_ids, set_attributes};

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
    ids: Ids,
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
#[derive(Debug)]
pub(in crate::runtime) struct BindPlan {
    pub(in crate::runtime) source: CString,
    pub(in crate::runtime) depth: Depth,
    pub(in crate::runtime) attributes: Attributes,
    pub(in crate::runtime) recursive: Attributes,
    /// The mount itself, ready to be attached: where the child may not see the source, or not do
    /// all that is to be done with it.
    pub(in crate::runtime) tree: Option<OwnedFd>,
}

/// How the sources of bind mounts are got hold of.
#[derive(Debug)]
pub(in crate::runtime) struct Sources<'a> {
    /// Whether the parent does so: the root of a user namespace may lack the rights.
    pub(super) prepared: bool,
    /// What the child does to the host's mounts.
    pub(super) cut: MsFlags,
    /// The maps of each mount of the spec.
    pub(super) maps: &'a [MountMaps],
    /// A procfs of ours.
    pub(super) proc: BorrowedFd<'a>,
}

/// Whose files those of a mount look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    /// Those whose they are.
    Plain,
    /// Mapped, with or without the mounts below.
    Mapped(Depth),
}

impl Sources<'_> {
    /// Gets hold of the source if that is the parent's part.
    pub(super) fn prepare(
        &self,
        bind: BindPlan,
        users: Option<(OwnedFd, Depth)>,
        field: &str,
    ) -> Result<BindPlan, Error> {
        if !self.prepared && users.is_none() {
            return Ok(bind);
        }
        let failed = |errno| {
            setup(
                format!("prepare the source of {field}"),
                "idmapped mounts need Linux 5.12, and a file system that can be mapped",
                errno,
            )
        };
        let tree = match clone_path(&bind.source, bind.depth) {
            Ok(tree) => tree,
            // The child does it in the classic way.
            Err(Errno::ENOSYS | Errno::EPERM) if users.is_none() => return Ok(bind),
            Err(errno) => return Err(failed(errno)),
        };
        let propagation = (self.cut - MsFlags::MS_REC).bits();
        let cut = set_attributes(tree.as_fd(), bind.recursive, propagation, Depth::Recursive)
            .and_then(|()| set_attributes(tree.as_fd(), bind.attributes, 0, Depth::Single));
        match cut {
            Ok(()) => {}
            Err(Errno::ENOSYS) if users.is_none() => return Ok(bind),
            Err(errno) => return Err(failed(errno)),
        }
        if let Some((users, depth)) = users {
            map_ids(tree.as_fd(), users.as_fd(), depth).map_err(failed)?;
        }
        Ok(BindPlan {
            tree: Some(tree),
            ..bind
        })
    }

    /// The user namespace of an idmapped mount.
    fn users(
        &self,
        index: usize,
        ids: Ids,
        spec: &Spec,
        field: &str,
    ) -> Result<Option<(OwnedFd, Depth)>, Error> {
        let own = self.maps.get(index).filter(|maps| !maps.is_empty());
        let depth = match (ids, own) {
            (Ids::Mapped(depth), _) => depth,
            (Ids::Plain, Some(_)) => Depth::Single,
            (Ids::Plain, None) => return Ok(None),
        };
        let maps = match own {
            Some(own) => UserMaps::of_mount(field, &own.uid, &own.gid)?,
            // The container's own, if it has some.
            None => UserMaps::build(spec)?,
        };
        Ok(Some((user_namespace::holding(&maps, self.proc)?, depth)))
    }
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
    sources: &Sources<'_>,
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
    let label = mount_label(spec)?;
    let mut plans = Vec::with_capacity(mounts.len());
    for (index, mount) in mounts.iter().enumerate() {
        let mut plan = plan_one(mount, cgroup, hierarchies, namespaces)?;
        let field = format!("mounts {:?}", plan.shown);
        let users = sources.users(index, plan.ids, spec, &field)?;
        plan.kind = match (plan.kind, users) {
            (Kind::Bind(bind), users) => Kind::Bind(sources.prepare(bind, users, &field)?),
            (kind, None) => labelled(kind, label, &field)?,
            (_, Some(_)) => {
                return Err(invalid(
                    &field,
                    "has mappings, which only bind mounts can have",
                ));
            }
        };
        plans.push(plan);
    }
    Ok(plans)
}

/// `linux.mountLabel`.
fn mount_label(spec: &Spec) -> Result<Option<&str>, Error> {
    let linux = spec.linux().as_ref();
    let label = linux.and_then(|linux| linux.mount_label().as_deref());
    let label = label.filter(|label| !label.is_empty());
    if label.is_some() {
        refuse_without_selinux("linux.mountLabel")?;
    }
    Ok(label)
}

/// Gives a file system of the container's own its label; those of the kernel have theirs.
fn labelled(kind: Kind, label: Option<&str>, field: &str) -> Result<Kind, Error> {
    match (kind, label) {
        (
            Kind::Filesystem {
                kind,
                source,
                flags,
                data,
            },
            Some(label),
        ) if ![c"proc", c"sysfs"].contains(&kind.as_c_str()) => {
            let old = data.to_string_lossy();
            let comma = if old.is_empty() { "" } else { "," };
            let data = format!("{old}{comma}context=\"{label}\"");
            Ok(Kind::Filesystem {
                kind,
                source,
                flags,
                data: c_string(data.as_bytes(), field)?,
            })
        }
        (kind, _) => Ok(kind),
    }
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
        ids: options.idmap.map_or(Ids::Plain, Ids::Mapped),
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
        tree: None,
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
            tree: None,
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
