//! Micro targets that go on from where another one was saved: a kernel boots once for all of its
//! cells.
//!
//! What differs between them comes after that: the drivers and file systems of their disks, which
//! nothing of the saved machine has touched, and modules of their own.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::micro::{BootError, Micro, blocking};
use super::spec::{MicroSpec, Outfit};
use crate::agent::AgentError;
use crate::agent::client::Client;
use crate::agent::message::{Mount, Wake};
use crate::disk::{self, DiskError};
use crate::initramfs::{self, InitramfsError};
use crate::modules::ModuleFile;
use crate::qemu::console::Console;
use crate::qemu::{Memory, Snapshot};

/// A micro target that was ready, and is saved.
#[derive(Debug)]
pub struct MicroSnapshot {
    spec: MicroSpec,
    initramfs: File,
    /// The modules that it has loaded.
    loaded: Vec<ModuleFile>,
    snapshot: Arc<Snapshot>,
}

impl MicroSnapshot {
    /// Boots a machine, waits for its agent, and saves it. Those that go on from it may have any
    /// of the `outfits`, whose disks must be of the same sizes. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// The machine does not become ready, can't be saved, or has shown trouble on the way, such as
    /// an oops. What its console showed is in its log.
    pub async fn make(spec: MicroSpec, outfits: Vec<Outfit>) -> Result<Self, BootError> {
        let (spec, initramfs, launch) = blocking(move || {
            let spare: Vec<&str> = outfits.iter().flat_map(Outfit::wanted).collect();
            let initramfs = initramfs::build(&spec, &spare)?;
            let disks = outfits.first().map_or(&[][..], |outfit| &outfit.disks);
            let disks = disks
                .iter()
                .map(|disk| disk::blank(&spec.scratch, disk.size_mib));
            let disks = disks.collect::<Result<_, DiskError>>()?;
            let memory = Memory::to_keep(spec.memory_mib).map_err(BootError::Prepare)?;
            let again = initramfs.try_clone().map_err(BootError::Prepare)?;
            let launch = spec.launch(again, disks, memory, spec.console_log.clone());
            Ok((spec, initramfs, launch))
        })
        .await?;
        let acceleration = spec.acceleration.clone();
        let machine = Micro::start(launch, acceleration, spec.deadlines, async |_| Ok(())).await?;
        let snapshot = machine.save().await?;
        let console = fs::read(&spec.console_log).map_err(BootError::Prepare)?;
        is_well(&console)?;
        let loaded = initramfs::modules(&spec).map_err(InitramfsError::Module)?;
        Ok(Self {
            spec,
            initramfs,
            loaded,
            snapshot: Arc::new(snapshot.after_console(console)),
        })
    }

    /// A machine that goes on from there, with what tells it from its siblings: its outfit, the
    /// time, and random numbers of its own. Its console's log begins with what the saved machine
    /// had shown.
    ///
    /// # Errors
    /// As [`Micro::boot`].
    pub async fn restore(&self, outfit: Outfit, console_log: PathBuf) -> Result<Micro, BootError> {
        let spec = self.spec.clone();
        let initramfs = self.initramfs.try_clone().map_err(BootError::Prepare)?;
        let fitting = Fitting::of(&self.spec, &self.loaded, &outfit)?;
        let memory = Memory::Restored(Arc::clone(&self.snapshot));
        let launch = blocking(move || {
            let disks = outfit.make_disks(&spec.scratch)?;
            Ok(spec.launch(initramfs, disks, memory, console_log))
        })
        .await?;
        let acceleration = self.spec.acceleration.clone();
        Micro::start(launch, acceleration, self.spec.deadlines, async |client| {
            fitting.apply(client).await
        })
        .await
    }
}

/// Trouble that a saved machine survived would be in all that go on from it, unseen by those who
/// watch their consoles.
fn is_well(shown: &[u8]) -> Result<(), BootError> {
    let mut console = Console::default();
    console.push(shown);
    console
        .trouble()
        .map_or(Ok(()), |trouble| Err(BootError::Trouble(trouble)))
}

/// What is done in a machine that has just been restored.
struct Fitting {
    seed: [u8; 32],
    /// Paths in the guest, in the order in which they are loaded.
    modules: Vec<String>,
    mounts: Vec<Mount>,
}

impl Fitting {
    fn of(spec: &MicroSpec, loaded: &[ModuleFile], outfit: &Outfit) -> Result<Self, BootError> {
        let modules = initramfs::beyond(loaded, spec, &outfit.wanted());
        let modules = modules.map_err(InitramfsError::Module)?;
        let path = |module| initramfs::module_path(&spec.kernel.release, module);
        Ok(Self {
            seed: seed().map_err(BootError::Prepare)?,
            modules: modules.iter().map(path).collect(),
            mounts: initramfs::mounts(&outfit.disks),
        })
    }

    async fn apply(self, client: &Client) -> Result<(), AgentError> {
        // Only now: disks were made and the machine was started since it was asked for.
        client.wake(wake(self.seed)).await?;
        for module in &self.modules {
            client.load_module(module, "").await?;
        }
        for mount in self.mounts {
            client.mount(mount).await?;
        }
        Ok(())
    }
}

fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

/// Now. A host whose clock is before 1970 has guests in 1970.
fn wake(seed: [u8; 32]) -> Wake {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let unix_ns = u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
    Wake { unix_ns, seed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_survived_an_oops_is_no_snapshot() {
        let boot = "[    0.1] Linux version 6.1\n";
        assert!(is_well(boot.as_bytes()).is_ok());
        let oops = format!("{boot}[    1.2] Oops: 0002 [#1] PREEMPT SMP NOPTI\n[    1.3] CPU: 0\n");
        let error = is_well(oops.as_bytes()).unwrap_err();
        assert!(matches!(error, BootError::Trouble(_)), "{error:?}");
    }
}
