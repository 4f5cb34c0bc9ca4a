//! What a container can see and reach.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use crate::suite::case::{Case, Proof, case};
use crate::suite::check::{holds, same};
use crate::suite::image::BASE;
use crate::suite::machine;
use crate::suite::process::{NAMESPACES, Process};
use crate::suite::scene::Scene;

pub(super) const CASES: &[Case] = &[
    case("isolation.pid-namespace-is-new", &["oci.ns.pid"], |scene| {
        new_namespace(scene, "pid")
    }),
    case(
        "isolation.mount-namespace-is-new",
        &["oci.ns.mount"],
        |scene| new_namespace(scene, "mnt"),
    ),
    case("isolation.uts-namespace-is-new", &["oci.ns.uts"], |scene| {
        new_namespace(scene, "uts")
    }),
    case("isolation.ipc-namespace-is-new", &["oci.ns.ipc"], |scene| {
        new_namespace(scene, "ipc")
    }),
    case(
        "isolation.net-namespace-is-new",
        &["oci.ns.network"],
        |scene| new_namespace(scene, "net"),
    ),
    case(
        "isolation.cgroup-namespace-is-new",
        &["oci.ns.cgroup"],
        |scene| new_namespace(scene, "cgroup"),
    ),
    case(
        "isolation.containers-share-no-namespace",
        &["oci.ns.apart"],
        apart,
    ),
    case(
        "isolation.exec-joins-every-namespace",
        &["docker.exec.namespaces"],
        exec_joins,
    ),
    case(
        "isolation.hostname-is-set",
        &["docker.run.hostname"],
        hostname,
    ),
    case(
        "isolation.hostname-is-the-id-otherwise",
        &["docker.run.hostname"],
        default_hostname,
    ),
    case(
        "isolation.hostname-stays-inside",
        &["oci.ns.uts"],
        hostname_stays,
    ),
    case(
        "isolation.only-loopback-without-network",
        &["docker.run.network-none"],
        interfaces,
    ),
    case(
        "isolation.host-files-are-out-of-sight",
        &["oci.rootfs.pivot"],
        host_files,
    ),
    case(
        "isolation.host-mounts-are-out-of-sight",
        &["oci.rootfs.pivot"],
        host_mounts,
    ),
    case(
        "isolation.host-devices-are-out-of-sight",
        &["oci.devices.only-default"],
        host_devices,
    ),
    case(
        "isolation.no-descriptor-leaks-in",
        &["engine.fds.sealed"],
        descriptors,
    ),
    case(
        "isolation.no-descriptor-leaks-into-exec",
        &["engine.fds.sealed"],
        exec_descriptors,
    ),
    case(
        "isolation.working-directory-cannot-escape",
        &["engine.cwd.inside"],
        cwd_escape,
    ),
    case(
        "isolation.environment-is-the-images",
        &["docker.run.env"],
        environment,
    ),
];

fn new_namespace(scene: &Scene<'_>, kind: &str) -> Proof {
    let own = Process::own();
    // Without the kind the kernel has no such link for anyone.
    if kind == "cgroup" && own.namespace(kind).is_err() {
        return Err(crate::suite::case::Unproven::Skip {
            requirement: machine::CGROUP_NAMESPACE,
            why: "this kernel has no cgroup namespaces (4.6)".to_owned(),
        });
    }
    let ours = own.namespace(kind)?;
    let theirs = scene.standard()?.namespace(kind)?;
    holds(ours != theirs, || {
        format!("process 1 is in the host's own {theirs}")
    })
}

fn apart(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    let standard = scene.standard()?;
    let shared: Vec<String> = NAMESPACES
        .iter()
        .filter_map(|kind| {
            let one = container.process.namespace(kind).ok()?;
            let other = standard.namespace(kind).ok()?;
            (one == other).then_some(one)
        })
        .collect();
    same("namespaces that two containers share", shared, Vec::new())?;
    same(
        "processes that it sees",
        container.exec_says(&["processes"])?.lines().count(),
        2,
    )
}

fn exec_joins(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    let (second, running) = container.exec_beside(&["pause"])?;
    for kind in NAMESPACES {
        if let Ok(first) = container.process.namespace(kind) {
            same(kind, second.namespace(kind)?, first)?;
        }
    }
    // Asked from inside, as the host's view of a foreign root differs by mount namespace.
    let container_root = container.exec_says(&["stat", "/"])?;
    let mounted = second.mount_at("/")?;
    same(
        "mount of the root",
        mounted,
        container.process.mount_at("/")?,
    )?;
    holds(container_root.starts_with("/ dir"), || {
        format!("the root is odd: {container_root}")
    })?;
    drop(running);
    Ok(())
}

fn hostname(scene: &Scene<'_>) -> Proof {
    same(
        "host name",
        scene.says(&["--hostname", "argo"], &["hostname"])?,
        "argo\n".to_owned(),
    )?;
    let hosts = scene.says(&["--hostname", "argo"], &["env", "HOSTNAME"])?;
    same("HOSTNAME", hosts, "HOSTNAME=argo\n".to_owned())
}

fn default_hostname(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    let id: String = container.inspect()?.id.chars().take(12).collect();
    same("host name", container.exec_says(&["hostname"])?, id + "\n")
}

fn hostname_stays(scene: &Scene<'_>) -> Proof {
    let before = own_hostname()?;
    let said = scene.says(
        &["--cap-add", "SYS_ADMIN"],
        &["hostname", "seaworthy-changed"],
    )?;
    same("host name inside", said, "seaworthy-changed\n".to_owned())?;
    same("host name of this machine", own_hostname()?, before)
}

fn own_hostname() -> Proof<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/hostname")?)
}

fn interfaces(scene: &Scene<'_>) -> Proof {
    same(
        "interfaces",
        scene.says(&[], &["interfaces"])?,
        "lo up\n".to_owned(),
    )
}

fn host_files(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    let path = folder.path().join("canary");
    fs::write(&path, "of the host")?;
    let path = path.display().to_string();
    let seen = scene.attempts(
        &[],
        &[&["read", &path], &["ls", "/.."], &["read", "/etc/release"]],
    )?;
    holds(seen.first().is_some_and(|line| line == "ENOENT"), || {
        format!("a file of the host is seen: {seen:?}")
    })?;
    let names = seen.get(1).map(String::as_str).unwrap_or_default();
    let above_root = ["bin", "etc", "srv"]
        .iter()
        .all(|name| names.contains(name));
    holds(above_root, || {
        format!("`..` of the root is not the root: {names}")
    })?;
    same(
        "a file of the image",
        seen.last().map(String::as_str),
        Some("ok Seaworthy guest"),
    )
}

fn host_mounts(scene: &Scene<'_>) -> Proof {
    // Where an engine may mount something of its own, by Docker's and Podman's habit.
    let expected = |point: &str| {
        point == "/"
            || ["/proc", "/dev", "/sys", "/run"].iter().any(|own| {
                point
                    .strip_prefix(own)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            || [
                "/etc/hosts",
                "/etc/hostname",
                "/etc/resolv.conf",
                "/sbin/docker-init",
            ]
            .contains(&point)
    };
    let points: Vec<String> = scene
        .standard()?
        .mounts()?
        .into_iter()
        .map(|mount| mount.point)
        .collect();
    let roots = points.iter().filter(|point| *point == "/").count();
    same("mounts at the root", roots, 1)?;
    let odd: Vec<String> = points
        .into_iter()
        .filter(|point| !expected(point))
        .collect();
    same("mounts that a container should not have", odd, Vec::new())
}

fn host_devices(scene: &Scene<'_>) -> Proof {
    const KNOWN: [&str; 15] = [
        "console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm",
        "stderr", "stdin", "stdout", "tty", "urandom",
    ];
    let text = scene.says(&[], &["ls", "/dev"])?;
    let odd: Vec<&str> = text
        .lines()
        .filter(|name| !KNOWN.contains(name) && *name != "zero")
        .collect();
    same("devices that are not default", odd, Vec::new())?;
    holds(text.lines().any(|name| name == "null"), || {
        format!("/dev has no null: {text}")
    })
}

/// A descriptor that every program started from here inherits, as a careless caller's is.
fn careless_descriptor(scene: &Scene<'_>) -> Proof<OwnedFd> {
    let folder = scene.folder()?;
    let path = folder.path().join("canary");
    fs::write(&path, "of the host")?;
    let file = fs::File::open(&path)?;
    crate::suite::sys::inheritable(file.as_fd()).map_err(|errno| std::io::Error::from(errno).into())
}

fn descriptors(scene: &Scene<'_>) -> Proof {
    let careless = careless_descriptor(scene)?;
    let container = scene.start(&[], &["pause"])?;
    let open = container.process.names("fd")?;
    drop(careless);
    same(
        "descriptors of process 1",
        open,
        ["0", "1", "2"].map(str::to_owned).to_vec(),
    )?;
    same(
        "descriptors that it sees",
        scene.says(&[], &["fds"])?,
        String::new(),
    )
}

fn exec_descriptors(scene: &Scene<'_>) -> Proof {
    let container = scene.start(&[], &["pause"])?;
    let careless = careless_descriptor(scene)?;
    let text = container.exec_says(&["then", "fds", ",", "echo", "end"])?;
    drop(careless);
    same(
        "descriptors beyond the standard three",
        text,
        "end\n".to_owned(),
    )
}

/// CVE-2024-21626: a working directory that is a descriptor of the engine's, open on a
/// folder of the host. Refusing to start is right, and so is any place inside.
fn cwd_escape(scene: &Scene<'_>) -> Proof {
    let folder = scene.folder()?;
    let path = folder.path().join("canary");
    fs::write(&path, "of the host")?;
    let up = "../".repeat(12);
    let outside = format!(
        "{}{}",
        up,
        path.display().to_string().trim_start_matches('/')
    );
    // A plain one works, or refusing everything would pass.
    let plain = scene.says(&["--workdir", "/srv/folder"], &["pwd"])?;
    same(
        "a plain working directory",
        plain,
        "/srv/folder /srv/folder\n".to_owned(),
    )?;
    for number in 3..=9 {
        let cwd = format!("/proc/self/fd/{number}");
        let done = scene.run(&["--workdir", &cwd], &["try", "pwd", ",", "read", &outside])?;
        let text = done.out();
        holds(
            !text.contains("of the host") && !text.contains("(unreachable)"),
            || format!("the working directory {cwd} is outside: {text}"),
        )?;
    }
    Ok(())
}

fn environment(scene: &Scene<'_>) -> Proof {
    // What this process has in its environment and no image sets.
    let text = scene.says(&["--env", "ONE=1", "-e", "TWO=a b=c"], &["env"])?;
    let odd: Vec<&str> = text
        .lines()
        .filter(|line| !["PATH=/bin", "ONE=1", "TWO=a b=c"].contains(line))
        .filter(|line| {
            !["HOSTNAME=", "HOME=", "TERM=", "container="]
                .iter()
                .any(|own| line.starts_with(own))
        })
        .collect();
    same("variables that nobody set", odd, Vec::new())?;
    for wanted in ["PATH=/bin", "ONE=1", "TWO=a b=c", "HOME=/root"] {
        holds(text.lines().any(|line| line == wanted), || {
            format!("{wanted} is missing: {text}")
        })?;
    }
    let text = scene.image_says(BASE, &["--env", "PATH=/bin:/srv"], &["env", "PATH"])?;
    same(
        "a variable of the image, overridden",
        text,
        "PATH=/bin:/srv\n".to_owned(),
    )
}
