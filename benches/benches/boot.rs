//! A micro target's way to its agent against the same kernel, machine and initramfs with an
//! init process that exits at once, and from a snapshot against from the kernel's start; each in
//! one interleaved run.
//!
//! `cargo bench -p benches --bench boot [PAIRS [KERNEL]]`, after `make build` and
//! `seaworthy image fetch`. Both are timed from QEMU's start: to the agent's first answer, and
//! to the kernel's word that its init process has exited. Fails when a promise is broken: at
//! most 1.5 times as long, and from a snapshot a tenth, with the interval's lower end.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use benches::pair::Pairs;
use vm_images::cache::Cache;
use vm_images::catalogue::Catalogue;
use vm_images::initramfs;
use vm_images::kernel::Kernel;
use vm_images::qemu::{Acceleration, Launch, Machine, Memory, kvm};
use vm_images::store::ImageStore;
use vm_images::target::{Micro, MicroSnapshot, MicroSpec, Outfit};
use vm_images::trouble::TroubleKind;

/// At most this many times the time of an init process that exits at once.
const TIME: f64 = 1.5;

/// At most this part of a boot's time for a machine that goes on from a snapshot.
const RESTORED: f64 = 0.10;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    // `cargo test` runs bench targets too, to see that they build; `cargo bench` says `--bench`.
    if !std::env::args().any(|arg| arg == "--bench") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().map_err(Into::into);
    match runtime.and_then(|runtime| runtime.block_on(compare())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report(&format!("boot: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn compare() -> Result<bool> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let pairs = arguments.first().map_or(Ok(10), |text| text.parse())?;
    let wanted = arguments
        .get(1)
        .map_or("debian-12/6.1/amd64", String::as_str);

    let folder = tempfile::tempdir()?;
    let exits = folder.path().join("exits-at-once");
    fs::write(&exits, program_that_exits())?;
    fs::set_permissions(&exits, fs::Permissions::from_mode(0o755))?;
    let cache = Cache::default_root(|name| std::env::var_os(name));
    let trial = kvm::Trial {
        kernel: kernel(&cache, wanted)?,
        agent_binary: seaworthy()?,
        cache,
    };
    let acceleration = kvm::choose(&trial).await;
    let spec = |init: &Path| {
        MicroSpec::new(
            trial.kernel.clone(),
            init.to_owned(),
            acceleration.clone(),
            folder.path().join("console.log"),
        )
    };
    let mut taken = Pairs::default();
    for pair in 0..pairs {
        let ready = async {
            Micro::boot(spec(&trial.agent_binary))
                .await
                .map(|m| m.boot_time())
        };
        let (ready, exit) = if pair % 2 == 0 {
            let ready = ready.await?;
            (ready, time_to_exit(spec(&exits)).await?)
        } else {
            let exit = time_to_exit(spec(&exits)).await?;
            (ready.await?, exit)
        };
        taken.a.push(ready.as_secs_f64());
        taken.b.push(exit.as_secs_f64());
    }
    report(&taken.line(
        &title("boot", wanted, &acceleration),
        "agent ready",
        "init exits",
    ));
    let booted = taken.ratio().is_some_and(|ratio| ratio.low <= TIME);

    let taken = restored_and_booted(&spec(&trial.agent_binary), pairs).await?;
    report(&taken.line(
        &title("restore", wanted, &acceleration),
        "restored",
        "booted",
    ));
    let restored = taken.ratio().is_some_and(|ratio| ratio.low <= RESTORED);
    Ok(booted && restored)
}

/// From QEMU's start to the agent's answer: from a snapshot, and from the kernel's start.
async fn restored_and_booted(spec: &MicroSpec, pairs: usize) -> Result<Pairs> {
    let snapshot = MicroSnapshot::make(spec.clone(), Vec::new()).await?;
    let log = spec.console_log.with_extension("restored.log");
    let mut taken = Pairs::default();
    for pair in 0..pairs {
        let restore = snapshot.restore(Outfit::default(), log.clone());
        let boot = Micro::boot(spec.clone());
        let (restored, booted) = if pair % 2 == 0 {
            let restored = restore.await?.boot_time();
            (restored, boot.await?.boot_time())
        } else {
            let booted = boot.await?.boot_time();
            (restore.await?.boot_time(), booted)
        };
        taken.a.push(restored.as_secs_f64());
        taken.b.push(booted.as_secs_f64());
    }
    Ok(taken)
}

fn title(what: &str, wanted: &str, acceleration: &Acceleration) -> String {
    format!("{what} of {wanted} under {acceleration}")
}

/// From QEMU's start to the kernel's word that its init process has exited.
async fn time_to_exit(spec: MicroSpec) -> Result<Duration> {
    let launch = Launch {
        arch: spec.kernel.arch,
        accelerator: spec.acceleration.accelerator,
        memory_mib: spec.memory_mib,
        cpus: spec.cpus,
        initramfs: initramfs::build(&spec, &[])?,
        kernel: spec.kernel.vmlinux,
        kernel_arguments: spec.kernel_arguments,
        disks: Vec::new(),
        memory: Memory::Own,
        console_log: spec.console_log,
    };
    let (machine, _agent) = Machine::start(launch).await?;
    let mut trouble = machine.trouble();
    let trouble = trouble.wait_for(Option::is_some).await?.clone();
    let time = machine.started().elapsed();
    match trouble {
        Some(trouble) if trouble.kind == TroubleKind::InitExited => Ok(time),
        Some(other) => Err(other.into()),
        None => Err("the machine ended without a word".into()),
    }
}

/// An ELF program of 129 bytes: `exit(0)`.
fn program_that_exits() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    // mov eax, 60 (exit); xor edi, edi; syscall
    let code = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
    let size = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_EXEC for x86-64, version 1; entry, program headers, no section headers, no flags.
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [BASE + HEADERS, 64, 0] {
        elf.extend(u64::to_le_bytes(word));
    }
    elf.extend([0; 4]);
    // Sizes of this header and of the one program header.
    elf.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // PT_LOAD, readable and executable: from 0 of the file to BASE.
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(u64::to_le_bytes(word));
    }
    elf.extend(code);
    elf
}

fn kernel(cache: &Path, wanted: &str) -> Result<Kernel> {
    let store = ImageStore::open(cache, Catalogue::built_in()?);
    store
        .kernel(&wanted.parse()?)?
        .ok_or_else(|| format!("{wanted} is not here: run `seaworthy image fetch {wanted}`").into())
}

/// The harness as `make build` leaves it.
fn seaworthy() -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let seaworthy = target.join(triple).join("release/seaworthy");
    if seaworthy.exists() {
        Ok(seaworthy)
    } else {
        Err(format!(
            "{} is not there: run `make build` first",
            seaworthy.display()
        )
        .into())
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the answer")]
fn report(line: &str) {
    println!("{line}");
}
