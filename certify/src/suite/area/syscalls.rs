//! System calls that a container must not get through.

use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{fail, holds, same};
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case(
        "security.seccomp-filters",
        &["engine.seccomp.default"],
        filtered,
    ),
    case(
        "security.seccomp-unconfined-lifts-the-filter",
        &["docker.run.security-opt.seccomp"],
        unconfined,
    ),
    case(
        "security.user-namespaces-are-refused",
        &["engine.seccomp.user-namespaces"],
        user_namespaces,
    ),
    case(
        "security.mounting-is-refused",
        &["engine.seccomp.mount"],
        mounting,
    ),
    case(
        "security.kernel-keyrings-are-refused",
        &["engine.seccomp.keyrings"],
        keyrings,
    ),
    case(
        "security.kernel-programs-are-refused",
        &["engine.seccomp.bpf"],
        programs,
    ),
    case(
        "security.the-kernel-cannot-be-changed",
        &["engine.seccomp.kernel"],
        kernel,
    ),
    case(
        "security.file-handles-are-refused",
        &["engine.seccomp.file-handles"],
        file_handles,
    ),
    case(
        "security.vsock-is-refused",
        &["engine.seccomp.vsock"],
        vsock,
    ),
    case(
        "security.odd-personalities-are-refused",
        &["engine.seccomp.personality"],
        personality,
    ),
    case(
        "security.other-system-call-tables-are-filtered",
        &["engine.seccomp.architectures"],
        other_tables,
    ),
];

fn filtered(scene: &Scene<'_>) -> Proof {
    same(
        "Seccomp of process 1",
        scene.standard()?.status("Seccomp")?.as_str(),
        "2",
    )
}

fn unconfined(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--security-opt", "seccomp=unconfined"], &["pause"])?;
    same(
        "Seccomp of process 1",
        container.process.status("Seccomp")?.as_str(),
        "0",
    )
}

/// Makes each call in one container; each must be refused, or unknown.
fn refused(scene: &Scene<'_>, options: &[&str], calls: &[&str]) -> Proof {
    let applets: Vec<[&str; 2]> = calls.iter().map(|call| ["probe", call]).collect();
    let applets: Vec<&[&str]> = applets.iter().map(<[&str; 2]>::as_slice).collect();
    let seen = scene.attempts(options, &applets)?;
    same("number of answers", seen.len(), calls.len())?;
    let allowed: Vec<String> = calls
        .iter()
        .zip(&seen)
        .filter(|(_, answer)| !["EPERM", "ENOSYS", "EACCES"].contains(&answer.as_str()))
        .map(|(call, answer)| format!("{call} gave {answer}"))
        .collect();
    same("calls that are not refused", allowed, Vec::new())
}

fn user_namespaces(scene: &Scene<'_>) -> Proof {
    refused(scene, &[], &["unshare-user", "clone-user"])?;
    refused(scene, &["--user", "1000"], &["unshare-user", "clone-user"])
}

fn mounting(scene: &Scene<'_>) -> Proof {
    refused(
        scene,
        &[],
        &["mount", "umount", "pivot_root", "unshare-mount", "setns"],
    )
}

fn keyrings(scene: &Scene<'_>) -> Proof {
    refused(scene, &[], &["keyctl", "add_key", "request_key"])
}

fn programs(scene: &Scene<'_>) -> Proof {
    refused(scene, &[], &["bpf", "perf_event_open", "userfaultfd"])
}

fn kernel(scene: &Scene<'_>) -> Proof {
    let calls = [
        "init_module",
        "finit_module",
        "delete_module",
        "kexec_load",
        "reboot",
        "swapon",
        "settimeofday",
        "acct",
        "quotactl",
        "syslog",
    ];
    refused(scene, &[], &calls)
}

fn file_handles(scene: &Scene<'_>) -> Proof {
    refused(scene, &[], &["open_by_handle_at"])
}

fn vsock(scene: &Scene<'_>) -> Proof {
    let seen = scene.attempts(&[], &[&["probe", "vsock-socket"]])?.concat();
    // A kernel without the family says EAFNOSUPPORT, which is as good.
    holds(
        ["EPERM", "EACCES", "ENOSYS", "EAFNOSUPPORT"].contains(&seen.as_str()),
        || format!("an AF_VSOCK socket gives {seen}"),
    )
}

fn personality(scene: &Scene<'_>) -> Proof {
    refused(scene, &[], &["personality"])
}

fn other_tables(scene: &Scene<'_>) -> Proof {
    if cfg!(target_arch = "x86_64") {
        refused(scene, &[], &["x32-unshare-user"])?;
        let done = scene.run(&[], &["try", "probe", "int80-unshare-user"])?;
        let answer = done.out();
        return match (done.code(), answer.trim()) {
            // A kernel without the 32-bit entry ends the process by SIGSEGV, a filter that
            // kills by SIGSYS.
            (0, "EPERM" | "ENOSYS") | (139 | 159, _) => Ok(()),
            _ => fail(format!(
                "a user namespace by way of int 0x80: {}",
                done.account()
            )),
        };
    }
    // Elsewhere there is no second table to come in by; the first must hold.
    refused(scene, &[], &["unshare-user"])
}
