//! What the kernel has to give, as a process in a container finds it.

use crate::suite::case::{Case, Proof, Unproven, case};
use crate::suite::check::{holds, same};
use crate::suite::machine;
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case(
        "kernel.root-is-on-the-chosen-driver",
        &["engine.storage.driver"],
        root_driver,
    ),
    case("kernel.info-names-the-driver", &["docker.info"], info),
    case(
        "kernel.proc-is-the-containers-own",
        &["oci.fs.proc"],
        own_proc,
    ),
    case(
        "kernel.cgroup-paths-start-at-the-container",
        &["oci.ns.cgroup"],
        own_cgroup,
    ),
    case(
        "kernel.devpts-is-an-instance-of-its-own",
        &["oci.fs.devpts"],
        devpts,
    ),
    case(
        "kernel.message-queues-are-mounted",
        &["docker.mounts.mqueue"],
        mqueue,
    ),
    case(
        "kernel.shared-memory-is-bounded",
        &["docker.mounts.shm"],
        shm,
    ),
    case(
        "kernel.loopback-carries-a-connection",
        &["engine.network.loopback"],
        loopback,
    ),
    case(
        "kernel.default-devices-are-there",
        &["oci.devices.default"],
        devices,
    ),
    case(
        "kernel.default-devices-work",
        &["oci.devices.default"],
        devices_work,
    ),
    case(
        "kernel.standard-links-are-there",
        &["oci.fs.dev-links"],
        links,
    ),
    case(
        "kernel.mounts-do-not-propagate",
        &["oci.rootfs.propagation"],
        propagation,
    ),
    case(
        "kernel.everyday-calls-are-allowed",
        &["engine.seccomp.allows"],
        everyday,
    ),
    case(
        "kernel.clone3-falls-back",
        &["engine.seccomp.clone3"],
        clone3,
    ),
];

fn root_driver(scene: &Scene<'_>) -> Proof {
    let root = scene.standard()?.mount_at("/")?;
    let options = scene.engine_options();
    let chosen = options
        .iter()
        .skip_while(|option| *option != "--storage-driver")
        .nth(1);
    match chosen.map(String::as_str) {
        Some("vfs") => holds(!["overlay", "aufs"].contains(&root.kind.as_str()), || {
            format!("vfs was asked for, and the root is on {}", root.kind)
        }),
        Some(driver) => same("file system of the root", root.kind.as_str(), driver),
        None => holds(!root.kind.is_empty(), || {
            "the root has no file system".to_owned()
        }),
    }
}

fn info(scene: &Scene<'_>) -> Proof {
    let root = scene.standard()?.mount_at("/")?;
    let text = scene.engine_ok("info", [""; 0])?.to_lowercase();
    let named = match root.kind.as_str() {
        kind @ ("overlay" | "aufs" | "btrfs") => text.contains(kind) || text.contains("vfs"),
        _ => text.contains("vfs"),
    };
    holds(named, || {
        format!(
            "`info` names no driver that fits a root on {}: {text}",
            root.kind
        )
    })
}

fn own_proc(scene: &Scene<'_>) -> Proof {
    let text = scene.says(&[], &["processes"])?;
    same(
        "processes in a fresh container",
        text,
        "1 0 processes\n".to_owned(),
    )
}

fn own_cgroup(scene: &Scene<'_>) -> Proof {
    if !std::fs::exists("/proc/self/ns/cgroup")? {
        return Err(Unproven::Skip {
            requirement: machine::CGROUP_NAMESPACE,
            why: "this kernel has no cgroup namespaces (4.6)".to_owned(),
        });
    }
    let text = scene.says(&[], &["read", "/proc/self/cgroup"])?;
    holds(!text.is_empty(), || "/proc/self/cgroup is empty".to_owned())?;
    let foreign: Vec<&str> = text
        .lines()
        .filter(|line| line.splitn(3, ':').nth(2) != Some("/"))
        .collect();
    same(
        "control groups above the container's own",
        foreign,
        Vec::new(),
    )
}

fn devpts(scene: &Scene<'_>) -> Proof {
    let mount = scene.standard()?.mount_at("/dev/pts")?;
    same("file system", mount.kind.as_str(), "devpts")?;
    let seen = scene.attempts(&[], &[&["open-write", "/dev/ptmx"], &["ls", "/dev/pts"]])?;
    // A terminal of the host would show as a number beside ptmx.
    same(
        "a new terminal, and those that were there",
        seen,
        vec!["ok".to_owned(), "ok ptmx".to_owned()],
    )
}

fn mqueue(scene: &Scene<'_>) -> Proof {
    if !std::fs::read_to_string("/proc/filesystems")?.contains("mqueue") {
        return Err(Unproven::Skip {
            requirement: machine::MESSAGE_QUEUES,
            why: "this kernel has no POSIX message queues".to_owned(),
        });
    }
    let mount = scene.standard()?.mount_at("/dev/mqueue")?;
    same("file system", mount.kind.as_str(), "mqueue")
}

fn shm(scene: &Scene<'_>) -> Proof {
    let mount = scene.standard()?.mount_at("/dev/shm")?;
    same("file system", mount.kind.as_str(), "tmpfs")?;
    let size = mount
        .super_options
        .iter()
        .find_map(|option| option.strip_prefix("size="));
    same("size", size, Some("65536k"))?;
    for option in ["nosuid", "nodev", "noexec"] {
        holds(mount.has(option), || {
            format!("/dev/shm is mounted without {option}")
        })?;
    }
    Ok(())
}

fn loopback(scene: &Scene<'_>) -> Proof {
    same(
        "what came round",
        scene.says(&[], &["loopback"])?,
        "round the loop\n".to_owned(),
    )
}

/// The default devices of the runtime specification (config-linux.md, "Default Devices").
const DEVICES: [(&str, &str); 6] = [
    ("/dev/null", "1:3"),
    ("/dev/zero", "1:5"),
    ("/dev/full", "1:7"),
    ("/dev/random", "1:8"),
    ("/dev/urandom", "1:9"),
    ("/dev/tty", "5:0"),
];

fn devices(scene: &Scene<'_>) -> Proof {
    let command: Vec<&str> = std::iter::once("stat")
        .chain(DEVICES.map(|(path, _)| path))
        .collect();
    let text = scene.says(&[], &command)?;
    let seen: Vec<(&str, &str, &str)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?, words.next_back()?))
        })
        .collect();
    same(
        "devices",
        seen,
        DEVICES
            .map(|(path, number)| (path, "char", number))
            .to_vec(),
    )
}

fn devices_work(scene: &Scene<'_>) -> Proof {
    let seen = scene.attempts(
        &["--user", "1000"],
        &[
            &["write", "/dev/null", "x"],
            &["write", "/dev/full", "x"],
            &["open-write", "/dev/zero"],
            &["open-write", "/dev/urandom"],
        ],
    )?;
    same(
        "writing to null, full, zero, urandom",
        seen,
        ["ok", "ENOSPC", "ok", "ok"].map(str::to_owned).to_vec(),
    )
}

fn links(scene: &Scene<'_>) -> Proof {
    let expected = [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
    ];
    let applets: Vec<[&str; 2]> = expected.map(|(link, _)| ["readlink", link]).to_vec();
    let applets: Vec<&[&str]> = applets.iter().map(<[&str; 2]>::as_slice).collect();
    let seen = scene.attempts(&[], &applets)?;
    let expected: Vec<String> = expected
        .iter()
        .map(|(_, target)| format!("ok {}", target.trim_start_matches('/')))
        .collect();
    let seen = seen
        .iter()
        .map(|line| line.replace("ok /", "ok "))
        .collect::<Vec<_>>();
    same("targets of fd, stdin, stdout, stderr, ptmx", seen, expected)
}

fn propagation(scene: &Scene<'_>) -> Proof {
    let shared: Vec<String> = scene
        .standard()?
        .mounts()?
        .into_iter()
        .filter(|mount| {
            mount
                .optional
                .iter()
                .any(|field| field.starts_with("shared:"))
        })
        .map(|mount| mount.point)
        .collect();
    same("mounts that are shared with others", shared, Vec::new())
}

fn everyday(scene: &Scene<'_>) -> Proof {
    let done = scene.run(&[], &["ordinary"])?;
    holds(done.code() == 0, || {
        format!("an everyday call is refused: {}", done.err().trim())
    })?;
    same(
        "output",
        scene.says(&[], &["then", "ordinary", ",", "echo", "all"])?,
        "all\n".to_owned(),
    )
}

fn clone3(scene: &Scene<'_>) -> Proof {
    let seen = scene.attempts(&[], &[&["probe", "clone3"]])?;
    // EPERM would keep libc from falling back to clone (moby 20.10.10, runc 1.0.0-rc93).
    holds(
        ["ENOSYS", "EINVAL", "EFAULT"].contains(&seen.concat().as_str()),
        || format!("clone3 must be absent or allowed, and gives {seen:?}"),
    )
}
