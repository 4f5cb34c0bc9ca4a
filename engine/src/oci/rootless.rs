//! Bundles of users who are not root.
//!
//! Such a user's runtime enters the user namespace that a bundle asks for itself, before it makes
//! anything, and makes the container without one: what comes out is the same, and all that the
//! container is made of can be made as for root (decision 0098).

use nix::unistd::geteuid;
use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType};

use super::{Bundle, Container, Error};
use crate::rootless::{self, IdMap, IdRange};

impl Bundle {
    /// Moves this process, if it is not root, into a user namespace with the bundle's mappings.
    /// The process must have one thread.
    ///
    /// # Errors
    /// [`Error::Bundle`] without such a namespace; [`Error::Rootless`].
    pub fn enter_user_namespace(&mut self) -> Result<(), Error> {
        if geteuid().is_root() {
            return Ok(());
        }
        let wrong = || Error::Bundle {
            bundle: self.folder.clone(),
            why: "a user who is not root needs a new user namespace in linux.namespaces, with \
                  uidMappings and gidMappings; `keel runtime spec --rootless` writes one"
                .to_owned(),
        };
        let mut linux = self.spec.linux().clone().ok_or_else(wrong)?;
        let mut namespaces = linux.namespaces().clone().unwrap_or_default();
        let before = namespaces.len();
        namespaces.retain(|namespace| {
            namespace.typ() != LinuxNamespaceType::User || namespace.path().is_some()
        });
        if namespaces.len() == before {
            return Err(wrong());
        }
        let uid = ranges(linux.uid_mappings().as_deref());
        let gid = ranges(linux.gid_mappings().as_deref());
        let has_root = |ranges: &[IdRange]| ranges.iter().any(|range| range.inside == 0);
        if !has_root(&uid) || !has_root(&gid) {
            return Err(wrong());
        }
        rootless::make(&IdMap::exactly(uid, gid)?)?;
        linux.set_namespaces(Some(namespaces));
        linux.set_uid_mappings(None).set_gid_mappings(None);
        self.spec.set_linux(Some(linux));
        Ok(())
    }
}

fn ranges(mappings: Option<&[LinuxIdMapping]>) -> Vec<IdRange> {
    let range = |mapping: &LinuxIdMapping| IdRange {
        inside: mapping.container_id(),
        host: mapping.host_id(),
        count: mapping.size(),
    };
    mappings.unwrap_or_default().iter().map(range).collect()
}

impl Container {
    /// Moves this process, if it is not root, into the user namespace of the container. The
    /// process must have one thread.
    ///
    /// # Errors
    /// [`Error::Rootless`].
    pub fn enter_user_namespace(&self) -> Result<(), Error> {
        match &self.record.process {
            Some(process) if !geteuid().is_root() => Ok(rootless::join(process.pid)?),
            Some(_) | None => Ok(()),
        }
    }
}
