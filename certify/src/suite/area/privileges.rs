//! Capabilities, to the bit.

use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{holds, same};
use crate::suite::process::Process;
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case(
        "security.capabilities-are-the-default-set",
        &["docker.capabilities.default"],
        default_set,
    ),
    case(
        "security.capabilities-are-not-inherited",
        &["oci.process.capabilities"],
        not_inherited,
    ),
    case(
        "security.cap-drop-all-leaves-none",
        &["docker.run.cap-drop"],
        drop_all,
    ),
    case(
        "security.cap-drop-takes-one",
        &["docker.run.cap-drop"],
        drop_one,
    ),
    case(
        "security.cap-add-gives-one",
        &["docker.run.cap-add"],
        add_one,
    ),
    case(
        "security.cap-drop-all-and-add-one-leaves-one",
        &["docker.run.cap-add", "docker.run.cap-drop"],
        only_one,
    ),
    case(
        "security.users-have-no-capabilities",
        &["docker.run.user.capabilities"],
        user,
    ),
    case(
        "security.exec-has-the-same-privileges",
        &["docker.exec.privileges"],
        exec,
    ),
    case(
        "security.privileged-has-all",
        &["docker.run.privileged"],
        privileged,
    ),
];

/// `CHOWN`, `DAC_OVERRIDE`, `FOWNER`, `FSETID`, `KILL`, `SETGID`, `SETUID`, `SETPCAP`,
/// `NET_BIND_SERVICE`, `NET_RAW`, `SYS_CHROOT`, `MKNOD`, `AUDIT_WRITE`, `SETFCAP`.
const DEFAULT: u64 = 0xa804_25fb;
const CHOWN: u64 = 1;
const NET_ADMIN: u64 = 1 << 12;

/// The five sets of `/proc/PID/status` as text.
fn sets(process: Process) -> Proof<[String; 5]> {
    let set = |name| process.mask(name).map(|mask| format!("{mask:x}"));
    Ok([
        set("CapEff")?,
        set("CapPrm")?,
        set("CapBnd")?,
        set("CapInh")?,
        set("CapAmb")?,
    ])
}

/// Effective, permitted and bounding as given; nothing inheritable or ambient.
fn exactly(effective: u64, bounding: u64) -> [String; 5] {
    [effective, effective, bounding, 0, 0].map(|mask| format!("{mask:x}"))
}

const SETS: &str = "effective, permitted, bounding, inheritable, ambient capabilities";

fn default_set(scene: &Scene<'_>) -> Proof {
    same(SETS, sets(scene.standard()?)?, exactly(DEFAULT, DEFAULT))
}

fn not_inherited(scene: &Scene<'_>) -> Proof {
    // CVE-2022-24769: inheritable ones come back through files that have them.
    let container = scene.start(&["--cap-add", "NET_ADMIN"], &["pause"])?;
    same("inheritable", container.process.mask("CapInh")?, 0)?;
    same("ambient", container.process.mask("CapAmb")?, 0)
}

fn drop_all(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--cap-drop", "ALL"], &["pause"])?;
    same(SETS, sets(container.process)?, exactly(0, 0))
}

fn drop_one(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--cap-drop", "CHOWN"], &["pause"])?;
    same(
        SETS,
        sets(container.process)?,
        exactly(DEFAULT & !CHOWN, DEFAULT & !CHOWN),
    )?;
    let chown: &[&str] = &["chown", "1", "1", "/srv/a"];
    let without = scene.attempts(&["--cap-drop", "CAP_CHOWN"], &[chown])?;
    let with = scene.attempts(&[], &[chown])?;
    same(
        "changing an owner without it and with it",
        (without.concat(), with.concat()),
        ("EPERM".to_owned(), "ok".to_owned()),
    )
}

fn add_one(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--cap-add", "NET_ADMIN"], &["pause"])?;
    same(
        SETS,
        sets(container.process)?,
        exactly(DEFAULT | NET_ADMIN, DEFAULT | NET_ADMIN),
    )
}

fn only_one(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"], &["pause"])?;
    same(
        SETS,
        sets(container.process)?,
        exactly(NET_ADMIN, NET_ADMIN),
    )
}

fn user(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--user", "1000"], &["pause"])?;
    same(SETS, sets(container.process)?, exactly(0, DEFAULT))
}

fn exec(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--cap-drop", "CHOWN"], &["pause"])?;
    let (second, running) = container.exec_beside(&["pause"])?;
    for field in [
        "CapEff",
        "CapPrm",
        "CapBnd",
        "CapInh",
        "CapAmb",
        "Seccomp",
        "NoNewPrivs",
    ] {
        same(
            field,
            second.status(field)?,
            container.process.status(field)?,
        )?;
    }
    same("effective", second.mask("CapEff")?, DEFAULT & !CHOWN)?;
    drop(running);
    Ok(())
}

fn privileged(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--privileged"], &["pause"])?;
    let own = Process::own();
    let all = own.mask("CapBnd")?;
    same(SETS, sets(container.process)?, exactly(all, all))?;
    same(
        "Seccomp",
        container.process.status("Seccomp")?.as_str(),
        "0",
    )?;
    holds(!container.process.mount_at("/sys")?.is_read_only(), || {
        "/sys is read-only".to_owned()
    })?;
    let text = container.exec_says(&[
        "then",
        "mkdir",
        "/scratch",
        ",",
        "mount-tmpfs",
        "/scratch",
        ",",
        "echo",
        "mounted",
    ])?;
    same("mounting", text.as_str(), "mounted\n")
}
