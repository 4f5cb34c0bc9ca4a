//! `seaworthy image fetch`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use vm_images::catalogue::Wanted;
use vm_images::fetch::{FetchError, Retry};
use vm_images::kernel::Kernel;
use vm_images::mirror::{Mirror, Validity};
use vm_images::proxy::Proxies;
use vm_images::store::{ImageStore, Source, StoreError};
use vm_images::verify::Keyring;

use super::progress::Watcher;
use super::{Answer, Failure, InputContext, StoreArgs};
use crate::terminal;

/// Fetch kernels from a Debian mirror through its signed index
///
/// The index's signature is checked against the keyring of Debian's archive, and every digest
/// against the index. A transfer that broke off goes on where it stopped.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  seaworthy image fetch debian-12/6.1/amd64 newest/amd64\n  seaworthy image fetch --mirror https://mirror.example.org/debian\n\nProxies are taken from http_proxy, https_proxy and no_proxy."
)]
pub(super) struct Args {
    /// The kernels' ids, of which `newest/ARCH` is the newest that the mirror has [default: the
    /// whole catalogue]
    #[arg(value_name = "ID")]
    ids: Vec<Wanted>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// Where kernels come from; the same for every verb that may have to fetch some.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceArgs {
    /// The Debian mirror [default: the one that this machine's apt configuration names]
    #[arg(
        long,
        value_name = "URL",
        env = "SEAWORTHY_DEBIAN_MIRROR",
        conflicts_with = "offline"
    )]
    mirror: Option<String>,
    /// The keys that the mirror's index must be signed with [default: those of the package
    /// `debian-archive-keyring`]
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Use what was fetched before, and no network
    #[arg(long)]
    offline: bool,
    /// Accept an index that is past its date, as mirrors that are snapshots have
    #[arg(long)]
    accept_expired: bool,
    /// How many transfers run at once
    #[arg(long, value_name = "N", default_value_t = 4)]
    transfers: usize,
}

impl SourceArgs {
    /// The source that is meant.
    pub(crate) fn source(&self) -> Result<Source, Failure> {
        let mirror = if self.offline {
            None
        } else {
            Some(self.mirror()?)
        };
        let keyring = match &self.keyring {
            Some(path) => Keyring::at(path),
            None => Keyring::of_host(),
        };
        Ok(Source {
            mirror,
            keyring: keyring.or_bad_input()?,
            proxies: Proxies::of_environment(|name| std::env::var_os(name)).or_bad_input()?,
            jobs: self.transfers,
            retry: Retry::default(),
            now: jiff::Timestamp::now(),
        })
    }

    fn mirror(&self) -> Result<Mirror, Failure> {
        let validity = if self.accept_expired {
            Validity::Waived
        } else {
            Validity::of_host()
        };
        match &self.mirror {
            Some(address) => Mirror::at(address, validity),
            None => Mirror::of_host(Path::new("/etc/apt"), validity),
        }
        .or_bad_input()
    }
}

/// Fetches kernels and shows how that goes.
pub(crate) fn fetch(
    store: &ImageStore,
    wanted: &[Wanted],
    source: &Source,
) -> Result<Vec<Kernel>, Failure> {
    let watcher = Watcher::new(terminal::progress());
    store.fetch(wanted, source, &watcher).map_err(|error| {
        let is_input = matches!(
            error,
            StoreError::Unknown(_) | StoreError::Fetch(FetchError::Offline { .. })
        );
        if is_input {
            Failure::Input(error.into())
        } else {
            Failure::Harness(error.into())
        }
    })
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let store = args.store.open()?;
    let wanted: Vec<Wanted> = if args.ids.is_empty() {
        let entries = store.catalogue().entries().iter();
        entries
            .map(|entry| Wanted::Kernel(entry.id.clone()))
            .collect()
    } else {
        args.ids.clone()
    };
    let kernels = fetch(&store, &wanted, &args.source.source()?)?;
    let mut lines = String::new();
    for kernel in kernels {
        let id = kernel.id.map(|id| id.to_string()).unwrap_or_default();
        // Writing into a String cannot fail.
        let _ = writeln!(lines, "{id} {}", kernel.release);
    }
    terminal::answer(&lines)?;
    Ok(Answer::Yes)
}
