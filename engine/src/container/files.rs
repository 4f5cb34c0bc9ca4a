//! `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf` of a container.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::config::HostConfig;
use super::options::Network;
use super::{Container, Error};
use crate::sys::in_root;

const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                     fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\n\
                     ff02::2\tip6-allrouters\n";

/// Where the three files of a container are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In its folder, to be mounted.
    Folder,
    /// In its tree.
    Tree,
}

/// Provides the three, with `root` as the container's open root folder.
///
/// They are written into the container's folder, from where they are mounted: the image's own stay
/// untouched and out of `keel diff`, and the container may write to its. The tree of a container
/// that is removed at its end is nobody's to look at later, so there they go straight into it:
/// three files and three mounts less.
pub(super) fn provide(container: &Container, root: BorrowedFd<'_>) -> Result<Place, Error> {
    let config = container.config();
    let contents = contents(&config.process.hostname, &config.host)?;
    if config.host.auto_remove && !config.host.read_only && write_inside(root, &contents).is_ok() {
        return Ok(Place::Tree);
    }
    for (name, text) in contents {
        let path = container.folder().join(name);
        fs::write(&path, text).map_err(Error::io("write", path))?;
    }
    Ok(Place::Folder)
}

/// An image may have anything in these places: what is no plain file, or leads nowhere, fails.
fn write_inside(root: BorrowedFd<'_>, contents: &[(&str, String)]) -> io::Result<()> {
    for (name, text) in contents {
        let path = Path::new("etc").join(name);
        // Without O_NONBLOCK a pipe of that name would hold us for ever.
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let mode = Mode::from_bits_truncate(0o644);
        let mut file = File::from(in_root::open(root, &path, flags, mode)?);
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Only what holds something: ext4 takes a truncation, of an empty file too, for the sign
        // that the file is being replaced, and writes it to the disk when it is closed.
        if found.len() > 0 {
            file.set_len(0)?;
        }
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn contents(hostname: &str, host: &HostConfig) -> Result<[(&'static str, String); 3], Error> {
    let (mut hosts, resolver) = match host.network {
        Network::None => (HOSTS.to_owned(), host_resolv_conf()?),
    };
    let extra = host.extra_hosts.iter();
    hosts
        .extend(extra.flat_map(|extra| [extra.address.to_string(), format!("\t{}\n", extra.name)]));
    let resolver = resolv_conf(&resolver, host);
    Ok([
        ("hostname", format!("{hostname}\n")),
        ("hosts", hosts),
        ("resolv.conf", resolver),
    ])
}

/// The host's, but for what was asked for: servers, domains and options each replace the host's.
fn resolv_conf(of_host: &str, host: &HostConfig) -> String {
    let mut own = Vec::new();
    let servers = host
        .dns
        .iter()
        .map(|server| format!("nameserver {server}\n"));
    own.extend(servers);
    for (word, list) in [("search", &host.dns_search), ("options", &host.dns_options)] {
        if !list.is_empty() {
            own.push(format!("{word} {}\n", list.join(" ")));
        }
    }
    let is_replaced = |line: &&str| match line.split_whitespace().next() {
        Some("nameserver") => !host.dns.is_empty(),
        Some("search" | "domain") => !host.dns_search.is_empty(),
        Some("options") => !host.dns_options.is_empty(),
        _ => false,
    };
    let kept = of_host.lines().filter(|line| !is_replaced(line));
    let kept = kept.map(|line| format!("{line}\n"));
    kept.chain(own).collect()
}

/// The host's, as Docker does also for containers that reach nobody. Having none is fine.
fn host_resolv_conf() -> Result<String, Error> {
    const PATH: &str = "/etc/resolv.conf";
    match fs::read_to_string(PATH) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::io("read", PATH)(error)),
    }
}
