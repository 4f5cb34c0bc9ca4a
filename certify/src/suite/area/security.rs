//! What root in a container must not be able to do to the host.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sha2::{Digest, Sha256};

use crate::suite::case::{Case, Proof, Unproven, case};
use crate::suite::check::{holds, same};
use crate::suite::machine;
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case(
        "security.no-new-privileges-by-default",
        &["engine.no-new-privileges.default"],
        no_new_privileges,
    ),
    case(
        "security.no-new-privileges-can-be-asked-for",
        &["docker.run.security-opt.no-new-privileges"],
        asked_for,
    ),
    case(
        "security.setuid-programs-gain-nothing",
        &["docker.run.security-opt.no-new-privileges"],
        setuid,
    ),
    case(
        "security.masked-paths-are-unreadable",
        &["oci.linux.masked-paths"],
        masked,
    ),
    case(
        "security.read-only-paths-are-read-only",
        &["oci.linux.readonly-paths"],
        read_only_paths,
    ),
    case(
        "security.sysfs-is-read-only",
        &["docker.mounts.sysfs"],
        sysfs,
    ),
    case(
        "security.cgroups-are-read-only",
        &["docker.mounts.cgroup"],
        cgroups,
    ),
    case(
        "security.devices-of-the-host-are-out-of-reach",
        &["oci.linux.devices"],
        devices,
    ),
    case(
        "security.the-engines-program-cannot-be-overwritten",
        &["engine.program.sealed"],
        program,
    ),
];

fn no_new_privileges(scene: &Scene<'_>) -> Proof {
    same(
        "NoNewPrivs of process 1",
        scene.standard()?.status("NoNewPrivs")?.as_str(),
        "1",
    )
}

fn asked_for(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&["--security-opt", "no-new-privileges"], &["pause"])?;
    same(
        "NoNewPrivs of process 1",
        container.process.status("NoNewPrivs")?.as_str(),
        "1",
    )?;
    let status = container.exec_says(&["read", "/proc/self/status"])?;
    holds(status.contains("NoNewPrivs:\t1"), || {
        format!("a process of `exec` may gain privileges: {status}")
    })
}

fn setuid(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    let copy = folder.path().join("tool");
    fs::copy(scene.tool_file()?, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755))?;
    let volume = format!("{}:/setuid:ro", copy.display());
    let options = [
        "--user",
        "1000:1000",
        "--security-opt",
        "no-new-privileges",
        "-v",
        &volume,
    ];
    let text = scene.says(&options, &["/setuid", "guest-tool", "id"])?;
    same(
        "ids",
        text.split(" groups=").next(),
        Some("uid=1000 euid=1000 gid=1000 egid=1000"),
    )
}

/// Docker's list (moby, `oci/defaults.go`).
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

fn masked(scene: &Scene<'_>) -> Proof {
    // Those that this kernel has; interrupts are masked since Docker 28 only.
    let here: Vec<&str> = MASKED
        .into_iter()
        .filter(|path| *path != "/proc/interrupts" && fs::exists(path).unwrap_or(false))
        .collect();
    holds(!here.is_empty(), || {
        "this kernel has none of the paths".to_owned()
    })?;
    let applets: Vec<[&str; 2]> = here
        .iter()
        .map(|&path| {
            [
                if std::path::Path::new(path).is_dir() {
                    "ls"
                } else {
                    "read"
                },
                path,
            ]
        })
        .collect();
    let applets: Vec<&[&str]> = applets.iter().map(<[&str; 2]>::as_slice).collect();
    let seen = scene.attempts(&[], &applets)?;
    same("number of answers", seen.len(), here.len())?;
    let readable: Vec<String> = here
        .iter()
        .zip(&seen)
        .filter(|(_, answer)| answer.starts_with("ok "))
        .map(|(path, answer)| format!("{path}: {}", answer.chars().take(40).collect::<String>()))
        .collect();
    same("masked paths that can be read", readable, Vec::new())?;
    // Something is mounted over each, or a race could bring it back.
    let points: Vec<String> = scene
        .standard()?
        .mounts()?
        .into_iter()
        .map(|mount| mount.point)
        .collect();
    let bare: Vec<&str> = here
        .into_iter()
        .filter(|path| !points.iter().any(|point| point == path))
        .collect();
    same("paths without a mask", bare, Vec::new())
}

fn read_only_paths(scene: &Scene<'_>) -> Proof {
    let seen = scene.attempts(
        &[],
        &[
            &["open-write", "/proc/sys/kernel/hostname"],
            &["open-write", "/proc/sys/kernel/core_pattern"],
            &["open-write", "/proc/sysrq-trigger"],
            &["write", "/proc/self/comm", "renamed"],
        ],
    )?;
    let expected = |index: usize, allowed: &[&str]| {
        let answer = seen.get(index).map(String::as_str).unwrap_or_default();
        holds(allowed.contains(&answer), || {
            format!("answer {index} of {seen:?}")
        })
    };
    expected(0, &["EROFS"])?;
    expected(1, &["EROFS"])?;
    // A kernel without the key has no such file.
    expected(2, &["EROFS", "ENOENT"])?;
    expected(3, &["ok"])?;
    let standard = scene.standard()?;
    for path in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"] {
        if fs::exists(path)? {
            holds(standard.mount_at(path)?.is_read_only(), || {
                format!("{path} is mounted rw")
            })?;
        }
    }
    Ok(())
}

fn sysfs(scene: &Scene<'_>) -> Proof {
    let mount = scene.standard()?.mount_at("/sys")?;
    holds(mount.is_read_only(), || {
        format!("/sys is mounted rw: {mount:?}")
    })?;
    let seen = scene.attempts(
        &[],
        &[
            &["open-write", "/sys/kernel/uevent_helper"],
            &["mkdir", "/sys/new"],
            &["ls", "/sys/kernel/debug"],
        ],
    )?;
    let refused = |index: usize| {
        seen.get(index)
            .is_some_and(|answer| ["EROFS", "ENOENT", "EPERM"].contains(&answer.as_str()))
    };
    holds(refused(0) && refused(1), || {
        format!("/sys can be changed: {seen:?}")
    })
}

fn cgroups(scene: &Scene<'_>) -> Proof {
    let mounts = scene.standard()?.mounts()?;
    let groups: Vec<_> = mounts
        .iter()
        .filter(|mount| mount.kind.starts_with("cgroup"))
        .collect();
    let writable: Vec<&str> = groups
        .iter()
        .filter(|mount| !mount.is_read_only())
        .map(|mount| mount.point.as_str())
        .collect();
    same("control groups that can be changed", writable, Vec::new())?;
    let seen = scene
        .attempts(&[], &[&["mkdir", "/sys/fs/cgroup/new"]])?
        .concat();
    holds(
        ["EROFS", "ENOENT", "EPERM"].contains(&seen.as_str()),
        || format!("a new control group: {seen}"),
    )
}

fn devices(scene: &Scene<'_>) -> Proof {
    let controlled = fs::read_to_string("/proc/self/mountinfo")?
        .lines()
        .any(|line| {
            line.contains(" - cgroup2 ")
                || line
                    .rsplit(' ')
                    .next()
                    .is_some_and(|o| o.split(',').any(|o| o == "devices"))
        });
    if !controlled {
        return Err(Unproven::Skip {
            requirement: machine::DEVICES,
            why: "neither the devices controller nor a unified hierarchy is mounted".to_owned(),
        });
    }
    // /dev/kmsg: there on every kernel, and whoever can open it may write to the host's log.
    let seen = scene.attempts(
        &[],
        &[
            &["mknod", "/srv/kmsg", "c", "1", "11"],
            &["open-write", "/srv/kmsg"],
            &["mknod", "/srv/disk", "b", "7", "0"],
            &["open-write", "/srv/disk"],
            &["mknod", "/srv/null", "c", "1", "3"],
            &["open-write", "/srv/null"],
        ],
    )?;
    same(
        "making and opening kmsg, a disk, null",
        seen,
        ["ok", "EPERM", "ok", "EPERM", "ok", "ok"]
            .map(str::to_owned)
            .to_vec(),
    )
}

/// CVE-2019-5736. The prey shows under `/proc` while `exec` enters the container; the link
/// `/bin/self-exe` of the image makes it execute itself there.
fn program(scene: &Scene<'_>) -> Proof {
    let digest = || -> Proof<String> {
        Ok(format!(
            "{:x}",
            Sha256::digest(fs::read(scene.engine_program())?)
        ))
    };
    let before = digest()?;
    let container = scene.start(&[], &["hunt"])?;
    for _ in 0..3 {
        // Whatever comes of it.
        container.exec(&[], &["/bin/self-exe", "version"])?;
        container.exec_says(&["true"])?;
    }
    // The hunter may end, and with it all of its container, before this command does.
    container.exec(&[], &["write", "/tmp/over", ""])?;
    same("exit status of the hunter", container.wait()?, 0)?;
    let text = container.logs()?.out();
    holds(text.starts_with("found "), || {
        format!("the hunter said nothing: {text:?}")
    })?;
    holds(!text.contains("writable"), || {
        format!("the container can overwrite: {text}")
    })?;
    same("digest of the engine's program", digest()?, before)
}
