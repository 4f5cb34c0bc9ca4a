//! Whether KVM works, found out the only way that proves anything: by booting a real kernel
//! under it.
//!
//! On some hosts (virtual machines without nested virtualisation, for one) the device opens,
//! every ioctl succeeds, a real-mode guest of two instructions even runs, and yet Linux never
//! prints a byte and QEMU does not exit. So a kernel must bring our agent up under KVM before a
//! cell runs there. It races one under TCG, whose time says how long is too long.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use matrix::arch::Arch;
use matrix::axis::Accelerator;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::Acceleration;
use crate::kernel::Kernel;
use crate::sys;
use crate::target::{BootError, Deadlines, Micro, MicroSpec};

/// The least that a guest is given to become ready under KVM.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many times as long as under TCG a boot may take under KVM. It should take a fraction.
const SLOWER: u32 = 3;

/// The file that keeps the answer, in the cache.
const ANSWER: &str = "accelerator.json";

const SCHEMA: &str = "seaworthy.accelerator/1";

/// What is tried.
#[derive(Debug)]
pub struct Trial {
    /// The kernel that has to boot.
    pub kernel: Kernel,
    /// The static `seaworthy`, which has to come up in it.
    pub agent_binary: PathBuf,
    /// The folder that keeps the answer, good for this boot of the host.
    pub cache: PathBuf,
}

/// The stored answer, and what it holds for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    schema: String,
    boot_id: String,
    kernel: String,
    qemu: String,
    accelerator: Accelerator,
    reason: Option<String>,
}

/// Finds out what executes guests of this kernel's architecture best: KVM if it proves to work,
/// else TCG and why.
pub async fn choose(trial: &Trial) -> Acceleration {
    if let Err(reason) = looks_usable(trial.kernel.arch) {
        return Acceleration::tcg_because(reason);
    }
    let wanted = Answer {
        schema: SCHEMA.to_owned(),
        boot_id: boot_id(),
        kernel: trial.kernel.release.clone(),
        qemu: qemu_version(trial.kernel.arch),
        accelerator: Accelerator::Tcg,
        reason: None,
    };
    let path = trial.cache.join(ANSWER);
    if let Some(known) = read_answer(&path).filter(|known| holds_for(known, &wanted)) {
        return Acceleration {
            accelerator: known.accelerator,
            reason: known.reason,
        };
    }
    let acceleration = race(trial).await;
    let answer = Answer {
        accelerator: acceleration.accelerator,
        reason: acceleration.reason.clone(),
        ..wanted
    };
    if let Err(error) = write_answer(&path, &answer) {
        tracing::warn!(%error, path = %path.display(), "the accelerator can't be remembered");
    }
    acceleration
}

/// The cheap steps, which can only say no.
fn looks_usable(arch: Arch) -> Result<(), String> {
    match arch {
        Arch::Amd64 | Arch::I386 if cfg!(target_arch = "x86_64") => {}
        Arch::Amd64 | Arch::I386 | Arch::Arm64 | Arch::Armhf | Arch::S390x => {
            return Err(format!("this processor can't execute {arch}"));
        }
    }
    let kvm = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .map_err(|error| why_closed(&error))?;
    match sys::kvm::api_version(&kvm) {
        Ok(12) => {}
        Ok(other) => return Err(format!("/dev/kvm has version {other}, not 12")),
        Err(error) => return Err(format!("/dev/kvm does not tell its version: {error}")),
    }
    sys::kvm::create_machine(&kvm)
        .map_err(|error| format!("/dev/kvm can't make a virtual machine: {error}"))
}

fn why_closed(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        "there is no /dev/kvm".to_owned()
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "/dev/kvm is not for this user, who should be in the group `kvm`".to_owned()
    } else {
        format!("/dev/kvm can't be opened: {error}")
    }
}

/// Boots the kernel under KVM, and under TCG beside it to know how long that takes.
async fn race(trial: &Trial) -> Acceleration {
    let boot = |acceleration: Acceleration| {
        let mut spec = MicroSpec::new(
            trial.kernel.clone(),
            trial.agent_binary.clone(),
            acceleration,
            // What matters of it stands in the error. A folder would stay if the user had enough.
            PathBuf::from("/dev/null"),
        );
        // This function knows better how long is too long.
        spec.deadlines = Deadlines {
            boot: Duration::from_secs(3600),
            silence: Duration::from_secs(3600),
        };
        Box::pin(Micro::boot(spec))
    };
    let started = Instant::now();
    let mut kvm = boot(Acceleration::kvm());
    let mut tcg = boot(Acceleration::tcg());
    let mut tcg_runs = true;
    // Until TCG has told its time.
    let mut deadline = started + Deadlines::of(Accelerator::Tcg).boot;
    loop {
        tokio::select! {
            ready = &mut kvm => return match ready {
                Ok(_) => Acceleration::kvm(),
                Err(error) => Acceleration::tcg_because(with_suspicion(&in_short(&error))),
            },
            ready = &mut tcg, if tcg_runs => {
                tcg_runs = false;
                let time = ready.map_or(PATIENCE, |machine| machine.boot_time());
                deadline = started + PATIENCE.max(time * SLOWER);
            }
            () = sleep_until(deadline) => {
                let reason = format!(
                    "no kernel became ready under it within {} s",
                    deadline.duration_since(started).as_secs()
                );
                return Acceleration::tcg_because(with_suspicion(&reason));
            }
        }
    }
}

/// The failure in one line.
fn in_short(error: &BootError) -> String {
    let BootError::Trouble(trouble) = error else {
        return error.to_string();
    };
    match trouble.excerpt.lines().next() {
        Some(line) => format!("{}: {line}", trouble.kind.name()),
        None => trouble.kind.name().to_owned(),
    }
}

/// A processor that does not show its virtualisation probably has none to give.
fn with_suspicion(reason: &str) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if has_virtualisation(&cpuinfo) {
        reason.to_owned()
    } else {
        format!("{reason}; the processor shows neither vmx nor svm")
    }
}

fn has_virtualisation(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .find(|line| line.starts_with("flags"))
        .is_some_and(|flags| flags.split_whitespace().any(|f| f == "vmx" || f == "svm"))
}

/// Another one after each start of the host; empty if it can't be read.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim_end().to_owned()
}

/// The first line that QEMU says of its version; empty if it can't be run, as a start then says.
pub fn qemu_version(arch: Arch) -> String {
    let program = super::command::program(arch).map_or("", |(program, _)| program);
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or_default().to_owned()
}

fn read_answer(path: &Path) -> Option<Answer> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Another boot of the host, another kernel or another QEMU may give another answer.
fn holds_for(known: &Answer, wanted: &Answer) -> bool {
    let circumstances = |answer: &Answer| {
        (
            answer.schema.clone(),
            answer.boot_id.clone(),
            answer.kernel.clone(),
            answer.qemu.clone(),
        )
    };
    circumstances(known) == circumstances(wanted) && !known.boot_id.is_empty()
}

fn write_answer(path: &Path, answer: &Answer) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut part = tempfile::NamedTempFile::new_in(folder)?;
    let file: &mut File = part.as_file_mut();
    file.write_all(&serde_json::to_vec_pretty(answer)?)?;
    part.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::{Trouble, TroubleKind};

    fn answer() -> Answer {
        Answer {
            schema: SCHEMA.to_owned(),
            boot_id: "b".to_owned(),
            kernel: "6.1".to_owned(),
            qemu: "QEMU 7.2".to_owned(),
            accelerator: Accelerator::Tcg,
            reason: Some("why".to_owned()),
        }
    }

    #[test]
    fn an_answer_is_remembered_for_one_boot_kernel_and_qemu() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made").join(ANSWER);
        write_answer(&path, &answer()).unwrap();
        let known = read_answer(&path).unwrap();
        assert_eq!(known, answer());
        assert!(holds_for(&known, &answer()));
        for other in [
            Answer {
                boot_id: "c".to_owned(),
                ..answer()
            },
            Answer {
                kernel: "6.12".to_owned(),
                ..answer()
            },
            Answer {
                qemu: "QEMU 9".to_owned(),
                ..answer()
            },
        ] {
            assert!(!holds_for(&known, &other), "{other:?}");
        }
    }

    #[test]
    fn a_damaged_answer_is_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ANSWER);
        assert_eq!(read_answer(&path), None);
        fs::write(&path, "{").unwrap();
        assert_eq!(read_answer(&path), None);
    }

    #[test]
    fn a_foreign_architecture_needs_no_trial() {
        insta::assert_snapshot!(looks_usable(Arch::S390x).unwrap_err(), @"this processor can't execute s390x");
    }

    #[test]
    fn the_reason_of_a_failure_is_one_line() {
        let error = BootError::Trouble(Trouble {
            kind: TroubleKind::KvmInternalError,
            excerpt: "KVM internal error. Suberror: 1\nRAX=0".to_owned(),
        });
        let reason = Acceleration::tcg_because(in_short(&error)).to_string();
        insta::assert_snapshot!(reason, @"TCG (kvm failed: kvm-internal-error: KVM internal error. Suberror: 1)");
    }

    #[test]
    fn virtualisation_is_read_off_the_flags() {
        assert!(has_virtualisation("model: x\nflags\t\t: fpu svm lm\n"));
        assert!(!has_virtualisation("model: vmx\nflags\t\t: fpu lm\n"));
    }
}
