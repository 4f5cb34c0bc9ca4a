//! Real kernels in real virtual machines, with this program as their init process and agent.
//!
//! Needs QEMU and the kernels of the cache (`seaworthy image fetch`); without, these fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's failure is a panic"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use matrix::axis::{Accelerator, CgroupMode};
use vm_images::agent::AgentError;
use vm_images::agent::client::{Captured, Command};
use vm_images::agent::message::ExitStatus;
use vm_images::cache::Cache;
use vm_images::catalogue::Catalogue;
use vm_images::disk::Filesystem;
use vm_images::kernel::Kernel;
use vm_images::qemu::{Acceleration, kvm};
use vm_images::store::ImageStore;
use vm_images::target::{
    BootError, Deadlines, Disk, GuestFile, Micro, MicroSnapshot, MicroSpec, Outfit, Target,
};
use vm_images::trouble::TroubleKind;

/// The series that most tests use.
const USUAL: &str = "debian-12/6.1/amd64";

/// Set for the copy of this program that holds a machine until it is killed.
const HOLDER: &str = "SEAWORTHY_TEST_HOLD_MACHINE";

fn kernel(wanted: &str) -> Kernel {
    let cache = Cache::default_root(|name| std::env::var_os(name));
    let store = ImageStore::open(&cache, Catalogue::built_in().unwrap());
    store
        .kernel(&wanted.parse().unwrap())
        .unwrap()
        .unwrap_or_else(|| {
            panic!(
                "{wanted} is not in {}: run `seaworthy image fetch {wanted}`",
                cache.display()
            )
        })
}

/// A machine under TCG, whose files are in `folder`.
fn spec(folder: &Path, kernel: Kernel) -> MicroSpec {
    let mut spec = MicroSpec::new(
        kernel,
        PathBuf::from(env!("CARGO_BIN_EXE_seaworthy")),
        Acceleration::tcg(),
        folder.join("console.log"),
    );
    spec.scratch = folder.join("scratch");
    fs::create_dir_all(&spec.scratch).unwrap();
    spec
}

/// A shell and its tools for a guest.
fn busybox() -> GuestFile {
    let host = PathBuf::from("/bin/busybox");
    assert!(
        host.exists(),
        "no {}: install the package `busybox-static`",
        host.display()
    );
    GuestFile {
        host,
        guest: "/bin/busybox".to_owned(),
        mode: 0o755,
    }
}

/// Boots a machine, and as every run does another one if the first breaks: an emulated processor
/// errs now and then (decision 0065).
async fn boot(spec: MicroSpec) -> Micro {
    let log = spec.console_log.clone();
    let first = match Micro::boot(spec.clone()).await {
        Err(BootError::Trouble(_)) => Micro::boot(spec).await,
        other => other,
    };
    first.unwrap_or_else(|error| {
        let console = fs::read_to_string(log).unwrap_or_default();
        panic!("{error}: {error:?}\n{console}")
    })
}

async fn run(machine: &Micro, command: Command) -> Captured {
    machine
        .exec(command)
        .await
        .unwrap()
        .capture(1 << 20)
        .await
        .unwrap()
}

/// Runs a script with busybox; gives what it wrote.
async fn script(machine: &Micro, text: &str) -> String {
    let command = Command::new("/bin/busybox").args(["sh", "-c", text]);
    let captured = run(machine, command).await;
    let text = String::from_utf8_lossy(&captured.stdout).into_owned();
    let errors = String::from_utf8_lossy(&captured.stderr);
    assert!(
        captured.exit.status.is_success(),
        "{}: {text}{errors}",
        captured.exit.status
    );
    text
}

#[tokio::test]
async fn every_series_of_kernels_becomes_a_machine_that_containers_can_run_in() {
    for wanted in [
        "debian-11/5.10/amd64",
        USUAL,
        "debian-13/6.12/amd64",
        "newest/amd64",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = spec(folder.path(), kernel(wanted));
        let release = spec.kernel.release.clone();
        spec.files.push(busybox());
        spec.outfit.modules.push("overlay".to_owned());
        let machine = boot(spec).await;
        let facts = machine.facts();
        assert_eq!(facts.release, release);
        assert_eq!(facts.cgroup, Some(CgroupMode::V2));
        assert!(
            facts.filesystems.iter().any(|name| name == "overlay"),
            "{facts:?}"
        );
        assert_eq!(facts.warnings, [""; 0], "{wanted}");
        let seen = script(
            &machine,
            "set -e; PATH=/bin; b=/bin/busybox
             $b ip link show lo | $b grep -q UP
             $b test -c /dev/null -a -d /dev/pts -a -d /proc/self -a -d /sys/kernel
             $b grep -c . /sys/fs/cgroup/cgroup.subtree_control
             $b mkdir -p /new/old; $b mount -t tmpfs new /new; $b mkdir /new/old
             $b unshare -m $b sh -c 'cd /new && /bin/busybox pivot_root . old && echo pivoted'",
        )
        .await;
        assert_eq!(seen, "1\npivoted\n", "{wanted}");
        machine.shut_down().await.unwrap();
        let console = fs::read_to_string(folder.path().join("console.log")).unwrap();
        assert!(console.contains("reboot: Power down"), "{console}");
    }
}

#[tokio::test]
async fn disks_are_mounted_with_their_file_systems_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec(folder.path(), kernel(USUAL));
    spec.files.push(busybox());
    for filesystem in [Filesystem::Ext4, Filesystem::Btrfs, Filesystem::Xfs] {
        spec.outfit.disks.push(Disk {
            filesystem,
            size_mib: 512,
            mount_at: format!("/var/lib/on-{filesystem}"),
        });
    }
    let scratch = spec.scratch.clone();
    let machine = boot(spec).await;
    let mounts = script(
        &machine,
        "/bin/busybox grep /var/lib /proc/mounts | /bin/busybox cut -d' ' -f1-3; echo x >/var/lib/on-btrfs/x",
    )
    .await;
    insta::assert_snapshot!(mounts, @"
    /dev/vda /var/lib/on-ext4 ext4
    /dev/vdb /var/lib/on-btrfs btrfs
    /dev/vdc /var/lib/on-xfs xfs
    ");
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0);
    machine.shut_down().await.unwrap();
}

#[tokio::test]
async fn control_groups_are_mounted_as_asked() {
    for (mode, expected) in [
        (
            CgroupMode::V1,
            "cpu\ncpu,cpuacct\ncpuacct\nmemory\npids\nsystemd\n",
        ),
        (
            CgroupMode::Hybrid,
            "cpu\ncpu,cpuacct\ncpuacct\nmemory\npids\nsystemd\nunified\n",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = spec(folder.path(), kernel(USUAL));
        spec.files.push(busybox());
        spec.cgroup = mode;
        let machine = boot(spec).await;
        assert_eq!(machine.facts().cgroup, Some(mode));
        let names = script(
            &machine,
            "cd /sys/fs/cgroup; for n in cpu* memory pids systemd unified; do
               case $n in cpuset) ;; *) [ -e $n ] && echo $n ;; esac; done; :",
        )
        .await;
        assert_eq!(names, expected);
    }
}

#[tokio::test]
async fn files_and_programs_go_through_the_port_whole() {
    let folder = tempfile::tempdir().unwrap();
    let machine = boot(spec(folder.path(), kernel(USUAL))).await;
    let (from, back) = (folder.path().join("from"), folder.path().join("back"));
    let bytes: Vec<u8> = (0..9_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&from, &bytes[..9_000_000]).unwrap();
    machine.put(&from, "/tmp/there", 0o600).await.unwrap();
    machine.get("/tmp/there", &back).await.unwrap();
    assert!(fs::read(&from).unwrap() == fs::read(&back).unwrap());
    let version = run(&machine, Command::new("seaworthy").arg("--version")).await;
    assert_eq!(version.exit.status, ExitStatus::Code(0));
    assert!(version.stdout.starts_with(b"seaworthy "), "{version:?}");
}

/// Runs a script that ends the machine; gives what was made of it.
async fn trouble_after(text: &str) -> TroubleKind {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec(folder.path(), kernel(USUAL));
    spec.files.push(busybox());
    let machine = boot(spec).await;
    let command = Command::new("/bin/busybox").args(["sh", "-c", text]);
    let error = match machine.exec(command).await {
        Ok(mut running) => running.wait().await.unwrap_err(),
        Err(error) => error,
    };
    let trouble = error
        .trouble()
        .unwrap_or_else(|| panic!("{error:?}"))
        .clone();
    assert!(!trouble.excerpt.is_empty());
    trouble.kind
}

#[tokio::test]
async fn a_kernel_that_panics_is_named_with_its_last_words() {
    let kind = trouble_after("echo c >/proc/sysrq-trigger; /bin/busybox sleep 1000").await;
    assert_eq!(kind, TroubleKind::KernelPanic);
}

#[tokio::test]
async fn a_guest_that_runs_out_of_memory_is_named() {
    let kind = trouble_after("exec /bin/busybox tail /dev/zero").await;
    assert_eq!(kind, TroubleKind::OutOfMemory);
}

#[tokio::test]
async fn a_guest_that_switches_itself_off_is_named() {
    let kind = trouble_after("/bin/busybox poweroff -f; /bin/busybox sleep 1000").await;
    assert_eq!(kind, TroubleKind::PoweredOff);
}

#[tokio::test]
async fn an_agent_that_is_killed_ends_the_machine() {
    let kind = trouble_after("/bin/busybox killall -9 exe; /bin/busybox sleep 1000").await;
    assert_eq!(kind, TroubleKind::PoweredOff);
}

#[tokio::test]
async fn a_qemu_that_is_killed_is_noticed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec(folder.path(), kernel(USUAL));
    spec.files.push(busybox());
    let machine = boot(spec).await;
    let command = Command::new("/bin/busybox").args(["sleep", "1000"]);
    let mut running = machine.exec(command).await.unwrap();
    let qemu = nix::unistd::Pid::from_raw(machine.process_id().unwrap());
    nix::sys::signal::kill(qemu, nix::sys::signal::Signal::SIGKILL).unwrap();
    let error: AgentError = running.wait().await.unwrap_err();
    let kind = error.trouble().map(|trouble| trouble.kind.clone());
    let status = "signal: 9 (SIGKILL)".to_owned();
    assert_eq!(kind, Some(TroubleKind::QemuEnded { status }));
    assert_eq!(machine.process_id(), None);
}

#[tokio::test]
async fn a_kernel_without_an_init_process_is_a_panic_not_a_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec(folder.path(), kernel(USUAL));
    spec.kernel_arguments.push("rdinit=/etc/passwd".to_owned());
    let error = Micro::boot(spec).await.unwrap_err();
    let BootError::Trouble(trouble) = error else {
        panic!("{error:?}");
    };
    assert_eq!(trouble.kind, TroubleKind::KernelPanic);
    assert!(trouble.excerpt.contains("Kernel panic"), "{trouble}");
}

#[tokio::test]
async fn a_machine_that_cannot_be_set_up_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec(folder.path(), kernel(USUAL));
    spec.outfit.disks.push(Disk {
        filesystem: Filesystem::Ext4,
        size_mib: 64,
        mount_at: "/etc/passwd/below-a-file".to_owned(),
    });
    let error = Micro::boot(spec).await.unwrap_err();
    let BootError::Trouble(trouble) = error else {
        panic!("{error:?}");
    };
    assert_eq!(trouble.kind, TroubleKind::InitFailed);
    let last = trouble.excerpt.lines().last().unwrap();
    insta::assert_snapshot!(last, @"seaworthy-init: failed: can't mount ext4 on /etc/passwd/below-a-file: Not a directory (os error 20)");
}

#[tokio::test]
async fn a_boot_that_takes_too_long_or_says_nothing_is_cut_off() {
    let second = Duration::from_secs(1);
    let hour = Duration::from_secs(3600);
    for (boot, silence, expected) in [
        (second, hour, TroubleKind::BootDeadline { after: second }),
        (hour, second, TroubleKind::Silent { after: second }),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = spec(folder.path(), kernel(USUAL));
        spec.deadlines = Deadlines { boot, silence };
        // An init process that does nothing, for ever.
        spec.files.push(busybox());
        let init = "rdinit=/bin/busybox -- sleep 1000";
        spec.kernel_arguments.push(init.to_owned());
        let error = Micro::boot(spec).await.unwrap_err();
        let BootError::Trouble(trouble) = error else {
            panic!("{error:?}");
        };
        assert_eq!(trouble.kind, expected);
    }
}

#[tokio::test]
async fn the_accelerator_is_proved_by_a_boot_and_remembered() {
    let cache = tempfile::tempdir().unwrap();
    let trial = kvm::Trial {
        kernel: kernel(USUAL),
        agent_binary: PathBuf::from(env!("CARGO_BIN_EXE_seaworthy")),
        cache: cache.path().to_owned(),
    };
    let first = kvm::choose(&trial).await;
    // Either may be right here, but a worse one has a reason.
    assert_eq!(
        first.reason.is_some(),
        first.accelerator == Accelerator::Tcg,
        "{first}"
    );
    // Remembered: an agent that can't be read is not asked again.
    let blind = kvm::Trial {
        agent_binary: "/no/such/agent".into(),
        ..trial
    };
    assert_eq!(kvm::choose(&blind).await, first);
}

/// Not a test: what the next one kills.
#[tokio::test]
async fn hold_a_machine() {
    let Some(folder) = std::env::var_os(HOLDER) else {
        return;
    };
    let mut spec = spec(Path::new(&folder), kernel(USUAL));
    spec.outfit.disks.push(Disk {
        filesystem: Filesystem::Ext4,
        size_mib: 64,
        mount_at: "/var/lib/engine".to_owned(),
    });
    let machine = boot(spec).await;
    fs::write(
        Path::new(&folder).join("qemu"),
        machine.process_id().unwrap().to_string(),
    )
    .unwrap();
    writeln!(std::io::stderr(), "holding").unwrap();
    std::future::pending::<()>().await;
}

#[test]
fn machines_and_their_files_end_with_the_harness_even_if_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "hold_a_machine", "--nocapture"])
        .env(HOLDER, folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stderr.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap() == "holding"),
        "it did not boot"
    );
    let qemu = fs::read_to_string(folder.path().join("qemu")).unwrap();
    let qemu = format!("/proc/{qemu}/cmdline");
    assert!(fs::read(&qemu).unwrap().starts_with(b"qemu-system"));
    holder.kill().unwrap();
    holder.wait().unwrap();
    // The kernel kills QEMU as the holder's threads end; its entry is empty from then on. A
    // reused number is another program's.
    while fs::read(&qemu).is_ok_and(|line| line.starts_with(b"qemu-system")) {
        std::thread::yield_now();
    }
    assert_eq!(
        fs::read_dir(folder.path().join("scratch")).unwrap().count(),
        0
    );
}

/// An outfit with one disk.
fn outfit(filesystem: Filesystem) -> Outfit {
    Outfit {
        modules: Vec::new(),
        disks: vec![Disk {
            filesystem,
            size_mib: 512,
            mount_at: "/srv".to_owned(),
        }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_that_go_on_from_a_snapshot_are_each_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec(folder.path(), kernel(USUAL));
    spec.files = vec![busybox()];
    let outfits = vec![outfit(Filesystem::Ext4), outfit(Filesystem::Btrfs)];
    let log = spec.console_log.clone();
    let snapshot = MicroSnapshot::make(spec, outfits)
        .await
        .unwrap_or_else(|error| {
            let console = fs::read_to_string(log).unwrap_or_default();
            panic!("{error:?}\n{console}")
        });
    let mut random = Vec::new();
    for filesystem in [Filesystem::Ext4, Filesystem::Btrfs] {
        let log = folder.path().join(format!("{filesystem}.log"));
        let machine = snapshot
            .restore(outfit(filesystem), log.clone())
            .await
            .unwrap();
        let found = script(
            &machine,
            "set -e; b=/bin/busybox; $b grep -m1 /srv /proc/mounts; $b ls /srv-was-here 2>/dev/null || true
             $b touch /srv-was-here; echo x >/srv/file; $b date -u +%s; $b od -An -tx1 -N16 /dev/urandom",
        )
        .await;
        let lines: Vec<_> = found.lines().collect();
        let [mount, date, number] = lines[..] else {
            panic!("{found}");
        };
        assert!(
            mount.starts_with(&format!("/dev/vda /srv {filesystem} ")),
            "{mount}"
        );
        let now = jiff::Timestamp::now().as_second();
        assert!(
            (now - 5..=now + 1).contains(&date.parse::<i64>().unwrap()),
            "{date} {now}"
        );
        random.push(number.to_owned());
        machine.shut_down().await.unwrap();
        let console = fs::read_to_string(log).unwrap();
        assert!(
            console.contains("Linux version") && console.contains("Power down"),
            "{console}"
        );
    }
    assert_ne!(random[0], random[1]);
}
