//! Verdicts on real configurations of distributions and boards, 2.6.18 to 7.2.
//!
//! They are not part of this repository: the test reads a folder `shared/kernel-configs` beside
//! the workspace, and says so and passes where there is none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test: what fails here should end it, and what was not run should be told"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use matrix::kconfig::Kconfig;
use matrix::requirement::{Catalogue, Level};
use matrix::support::{Evidence, State, Support, SupportVerdict, judge};

use SupportVerdict::{Supported, SupportedWithGaps, Unsupported};

/// Gone through by hand: the verdict, what is missing (`!`), what is a gap (`?`), and what
/// others took for missing though it isn't (`=`), with the reason.
struct ByHand {
    file: &'static str,
    verdict: SupportVerdict,
    findings: &'static [&'static str],
    reason: &'static str,
}

const BY_HAND: &[ByHand] = &[
    ByHand {
        file: "centos-linux-7-3.10.0-1127.el7.x86-64-x86_64.config",
        verdict: Supported,
        findings: &[
            "=kernel.storage.overlay",
            "=kernel.cgroup.pids",
            "=kernel.devices.pts-instances",
        ],
        reason: "Red Hat backported overlay (mainline 3.18) and the pids controller (4.3) to its \
                 3.10; ran Docker in production for years",
    },
    ByHand {
        file: "alma-linux-8-4.18.0-553.97.1.el8-10.x86-64-x86_64.config",
        verdict: Supported,
        findings: &[
            "=kernel.net.nat",
            "=kernel.net.match-addrtype",
            "=kernel.cgroup.swap",
        ],
        reason: "its 4.18 has NAT merged as in 5.1: NF_NAT_IPV4 does not exist any more, NF_NAT \
                 and IP_NF_NAT are on",
    },
    ByHand {
        file: "rhel-kernel-4.18.0-4.18-rhel8.5-4.18.0-arm64.config",
        verdict: Supported,
        findings: &["=kernel.net.nat"],
        reason: "the same backport on arm64",
    },
    ByHand {
        file: "centos-9-stream-5.14.0-665.el9.x86-64-x86_64.config",
        verdict: Supported,
        findings: &["=kernel.cgroup.swap", "=kernel.devices.pts-instances"],
        reason: "RHEL 9.6's 5.14 has 6.1's memory controller: MEMCG_SWAP is gone, swap is counted",
    },
    ByHand {
        file: "boot2docker-dev-3.12.1-x86_64.config",
        verdict: SupportedWithGaps,
        findings: &[
            "?kernel.cgroup.cpu-quota",
            "?kernel.security.mac",
            "=kernel.storage.overlay",
            "=kernel.cgroup.pids",
            "=kernel.storage.driver",
        ],
        reason: "made for Docker, with aufs: overlay and the pids controller came later, so they \
                 are no gap; it has no CFS_BANDWIDTH and no security module",
    },
    ByHand {
        file: "openwall-3.1-2.6.18-431.el5.028stab123.1.owl2-x86_64.config",
        verdict: Unsupported,
        findings: &["!kernel.version"],
        reason: "2.6.18 has OpenVZ's containers, not mainline's namespaces; nothing in its \
                 configuration can change that",
    },
    ByHand {
        file: "rhel-6.9-2.6.32-x86_64.config",
        verdict: Unsupported,
        findings: &["!kernel.version", "=kernel.ns.pid", "=kernel.cgroup.memory"],
        reason: "all the old names are on (CGROUP_MEM_RES_CTLR for MEMCG), but 2.6.32 is too old",
    },
    ByHand {
        file: "suse-kernel-3.0-3.0-sles11-3.0.101-x86_64.config",
        verdict: Unsupported,
        findings: &["!kernel.version", "=kernel.net.nat"],
        reason: "SLES 11's 3.0: no seccomp filters, no namespaces to enter",
    },
    ByHand {
        file: "android-samsung-s23-5.15.41-arm64.config",
        verdict: Unsupported,
        findings: &[
            "!kernel.ns.pid",
            "!kernel.ns.ipc",
            "!kernel.ipc.mqueue",
            "=kernel.cgroup.devices",
            "=kernel.net.nat",
        ],
        reason: "phones turn PID_NS, System V IPC and message queues off; devices are covered by \
                 CGROUP_BPF",
    },
    ByHand {
        file: "fedora-43-6.17.1-300.fc43.x86-64-x86_64.config",
        verdict: Supported,
        findings: &[
            "=kernel.net.filter",
            "=kernel.cgroup.hierarchy",
            "=kernel.security.selinux",
        ],
        reason: "a current distribution's kernel, second hierarchy and nftables",
    },
    ByHand {
        file: "suse-opensuse-tumbleweed-6.18.7-x86_64.config",
        verdict: Supported,
        findings: &[
            "=kernel.cgroup.devices",
            "=kernel.cgroup.freezer",
            "=kernel.cgroup.cpuacct",
            "=kernel.cgroup.hierarchy",
        ],
        reason: "CGROUP_CPUACCT, _DEVICE and _FREEZER are off, which only the first hierarchy needs",
    },
    ByHand {
        file: "debian-11-bullseye-5.10.223-x86_64.config",
        verdict: Supported,
        findings: &[
            "=kernel.net.nat",
            "=kernel.net.nat-needed",
            "=kernel.net.xfrm-transport",
            "=kernel.security.apparmor",
        ],
        reason: "the most used kernel of its time; options that ended before 5.10 are no gap",
    },
    ByHand {
        file: "firecracker-ci-4.14.336-x86_64.config",
        verdict: Unsupported,
        findings: &[
            "!kernel.net.netfilter",
            "!kernel.net.nat",
            "!kernel.security.keys",
            "?kernel.security.seccomp",
            "=kernel.ns.pid",
        ],
        reason: "a guest kernel without packet filters, key rings and seccomp: containers would \
                 have no network",
    },
    ByHand {
        file: "linuxkit-config-6.12.59-x86_64.config",
        verdict: Supported,
        findings: &["=kernel.cgroup.hierarchy", "=kernel.storage.overlay"],
        reason: "the kernel of Docker Desktop",
    },
    ByHand {
        file: "linux-am33x-7.1.0-1-arm.config",
        verdict: SupportedWithGaps,
        findings: &[
            "=kernel.net.filter",
            "=kernel.net.masquerade",
            "=kernel.cgroup.cpuset",
            "?kernel.security.mac",
        ],
        reason: "7.1 with the old tables off and nftables on; one processor, so no cpusets",
    },
    ByHand {
        file: "liquorix-lqx-5.1.14-lqx1-x86_64.config",
        verdict: SupportedWithGaps,
        findings: &[
            "?kernel.cgroup.cpu-shares",
            "?kernel.cgroup.pids",
            "=kernel.cgroup.cpu",
            "=kernel.net.nat",
        ],
        reason: "the MuQSS scheduler has the processor controller's files and ignores them",
    },
    ByHand {
        file: "mageia-cauldron-4.17.8-1.mga7-x86_64.config",
        verdict: Unsupported,
        findings: &["!kernel.cgroup.memory"],
        reason: "MEMCG is off: no memory limit can be kept",
    },
    ByHand {
        file: "config-arch-64-x86_64.config",
        verdict: SupportedWithGaps,
        findings: &["=kernel.ns.pid", "=kernel.net.bridge"],
        reason: "no version in it: what depends on the era is left open, and said so",
    },
    ByHand {
        file: "chromeos-crostini-4.19.87-x86_64.config",
        verdict: SupportedWithGaps,
        findings: &["?kernel.storage.overlay", "=kernel.storage.driver"],
        reason: "overlay is off, btrfs is on, which is what Crostini's containers use",
    },
    ByHand {
        file: "wsl-2-5.10.74.3-x86_64.config",
        verdict: SupportedWithGaps,
        findings: &[
            "?kernel.security.mac",
            "=kernel.net.nat",
            "=kernel.storage.overlay",
        ],
        reason: "everything but a security module; Docker Desktop runs on it",
    },
];

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/kernel-configs");
    folder.is_dir().then_some(folder)
}

fn check(path: &Path, catalogue: &Catalogue) -> Support {
    let config = Kconfig::parse(&fs::read(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let evidence = Evidence {
        config: Some(config),
        ..Evidence::default()
    };
    judge(&evidence, catalogue, Level::May)
}

#[test]
fn real_configurations_get_the_verdicts_that_a_person_gave_them() {
    let Some(folder) = folder() else {
        eprintln!("not run: there is no folder shared/kernel-configs beside the workspace");
        return;
    };
    let catalogue = Catalogue::built_in().unwrap();
    let mut wrong = Vec::new();
    for expected in BY_HAND {
        let support = check(&folder.join(expected.file), &catalogue);
        if support.verdict != expected.verdict {
            let missing: Vec<_> = support.missing.iter().map(ToString::to_string).collect();
            wrong.push(format!(
                "{}: {} instead of {} (missing: {}), though {}",
                expected.file,
                support.verdict,
                expected.verdict,
                missing.join(", "),
                expected.reason
            ));
        }
        for finding in expected.findings {
            let (mark, id) = finding.split_at(1);
            let found = support
                .finding(id)
                .unwrap_or_else(|| panic!("no requirement `{id}`"));
            let right = match mark {
                "!" => found.level == Level::Must && found.state == State::Absent,
                "?" => found.level == Level::Should && found.state == State::Absent,
                "=" => !matches!(found.state, State::Absent | State::Unknown),
                other => panic!("no mark `{other}`"),
            };
            if !right {
                wrong.push(format!(
                    "{}: `{finding}` is {} ({}), though {}",
                    expected.file, found.state, found.why, expected.reason
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every configuration that can be read as one gets a verdict, and none is refused that is
/// known to run containers.
#[test]
fn no_container_system_is_refused() {
    /// Kernels that are too old or that someone built without what containers need.
    const REFUSED: &[&str] = &[
        "android-",
        "firecracker-ci-4.14",
        "i386-defconfig-",
        "linux-utilite-3.0",
        "linuxkit-kernel-config.debug-",
        "mageia-cauldron-4.17.8",
        "openelec-",
        "openwall-",
        "photon-3-4.18.9-i386",
        "qubes-1-",
        "qubes-2-",
        "rhel-5-",
        "rhel-6.9-",
        "suse-kernel-3.0-",
        "suse-sles11sp1-",
    ];
    let Some(folder) = folder() else {
        eprintln!("not run: there is no folder shared/kernel-configs beside the workspace");
        return;
    };
    let catalogue = Catalogue::built_in().unwrap();
    let mut verdicts: BTreeMap<String, Support> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".config") {
            verdicts.insert(name, check(&path, &catalogue));
        }
    }
    assert!(
        verdicts.len() > 100,
        "only {} configurations",
        verdicts.len()
    );
    let wrong: Vec<_> = verdicts
        .iter()
        .filter(|(name, support)| {
            let expected = REFUSED.iter().any(|prefix| name.starts_with(prefix));
            expected != (support.verdict == Unsupported)
        })
        .map(|(name, support)| format!("{name}: {} {:?}", support.verdict, support.missing))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Verdicts rest on what was read: only a configuration without a version leaves a must open.
    for (name, support) in &verdicts {
        let open = support.findings(Level::Must, State::Unknown).next();
        assert_eq!(
            open.is_some(),
            support.kernel.version.is_none(),
            "{name}: {open:?}"
        );
    }
}
