use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::kconfig::{Kconfig, Setting};
use crate::requirement::{Catalogue, Level};

/// A kernel's configuration in few words: `VETH=m PID_NS=y MEMCG=n`.
fn config(options: &str) -> Kconfig {
    options
        .split_whitespace()
        .map(|word| {
            let (name, value) = word.split_once('=').unwrap_or((word, "y"));
            let setting = match value {
                "y" => Setting::BuiltIn,
                "m" => Setting::Module,
                _ => Setting::Off,
            };
            (name.to_owned(), setting)
        })
        .collect()
}

fn evidence(version: Option<&str>, options: &str) -> Evidence {
    Evidence {
        kernel: KernelIdentity {
            version: version.map(|version| version.parse().unwrap()),
            ..KernelIdentity::default()
        },
        config: Some(config(options)),
        ..Evidence::default()
    }
}

fn finding(evidence: &Evidence, id: &str) -> Finding {
    let catalogue = Catalogue::built_in().unwrap();
    let support = judge(evidence, &catalogue, Level::May);
    support.finding(id).unwrap().clone()
}

fn state(version: &str, options: &str, id: &str) -> State {
    finding(&evidence(Some(version), options), id).state
}

#[test]
fn a_merged_option_is_missing_in_no_era() {
    let nat = "kernel.net.nat";
    assert_eq!(
        state("5.0", "NF_NAT NF_NAT_IPV4 IP_NF_NAT", nat),
        State::Met
    );
    assert_eq!(state("5.1", "NF_NAT=m IP_NF_NAT=m", nat), State::Module);
    // RHEL 8: a backport, as its configuration no longer knows NF_NAT_IPV4.
    let rhel = finding(&evidence(Some("4.18"), "NF_NAT=m IP_NF_NAT=m"), nat);
    assert_eq!(rhel.state, State::Module);
    insta::assert_snapshot!(rhel.why, @"CONFIG_NF_NAT=m, CONFIG_IP_NF_NAT=m (a backport: mainline has it since 5.1)");
    // Mainline's 4.18 with IPv4 NAT off: the newer names prove nothing.
    assert_eq!(
        state("4.18", "NF_NAT=m IP_NF_NAT=m NF_NAT_IPV4=n", nat),
        State::Absent
    );
}

#[test]
fn what_came_later_or_became_permanent_does_not_apply() {
    let pts = "kernel.devices.pts-instances";
    assert_eq!(
        state("4.6", "DEVPTS_MULTIPLE_INSTANCES=n", pts),
        State::Absent
    );
    assert_eq!(state("4.7", "UNIX98_PTYS", pts), State::NotApplicable);
    let overlay = finding(&evidence(Some("3.10"), "VETH"), "kernel.storage.overlay");
    assert_eq!(
        (overlay.state, overlay.available),
        (State::NotApplicable, Some(false))
    );
    let swap = finding(&evidence(Some("6.1"), "MEMCG SWAP"), "kernel.cgroup.swap");
    assert_eq!(
        (swap.state, swap.available),
        (State::NotApplicable, Some(true))
    );
    assert_eq!(
        state("5.10", "MEMCG SWAP MEMCG_SWAP=n", "kernel.cgroup.swap"),
        State::Absent
    );
}

#[test]
fn the_first_hierarchy_is_no_gap_where_the_second_is_complete() {
    let v2 = "CGROUPS MEMCG CGROUP_SCHED CGROUP_PIDS CGROUP_BPF BPF_SYSCALL CGROUP_DEVICE=n CGROUP_FREEZER=n CGROUP_CPUACCT=n MEMCG_V1=n";
    for (id, expected) in [
        ("kernel.cgroup.hierarchy", State::Met),
        ("kernel.cgroup.devices", State::Met),
        ("kernel.cgroup.v2", State::Met),
        ("kernel.cgroup.v1", State::Absent),
    ] {
        assert_eq!(state("6.12", v2, id), expected, "{id}");
    }
    assert_eq!(state("4.9", v2, "kernel.cgroup.devices"), State::Absent);
}

#[test]
fn nothing_is_asked_without_what_it_rests_on() {
    assert_eq!(
        state("7.1", "CGROUPS", "kernel.cgroup.cpuset"),
        State::NotApplicable
    );
    assert_eq!(
        state("7.1", "CGROUPS SMP", "kernel.cgroup.cpuset"),
        State::Absent
    );
}

#[test]
fn an_unknown_version_leaves_open_only_what_depends_on_it() {
    let evidence = evidence(None, "PID_NS VETH=n NF_NAT IP_NF_NAT");
    for (id, expected) in [
        ("kernel.version", State::Unknown),
        ("kernel.ns.pid", State::Met),
        ("kernel.net.veth", State::Absent),
        ("kernel.devices.pts-instances", State::Unknown),
        ("kernel.security.no-new-privs", State::Met),
    ] {
        assert_eq!(finding(&evidence, id).state, expected, "{id}");
    }
}

#[test]
fn a_probe_decides_over_the_configuration() {
    let mut evidence = evidence(Some("6.1"), "PID_NS=y OVERLAY_FS=m");
    let fails = Probe::Fails {
        why: "unshare: EPERM".into(),
    };
    evidence
        .probes
        .insert("kernel.ns.pid".parse().unwrap(), fails);
    let not_loaded = Probe::NotLoaded {
        why: "not in /proc/filesystems".into(),
    };
    evidence
        .probes
        .insert("kernel.storage.overlay".parse().unwrap(), not_loaded);
    assert_eq!(finding(&evidence, "kernel.ns.pid").state, State::Absent);
    assert_eq!(
        finding(&evidence, "kernel.storage.overlay").state,
        State::Module
    );

    // The configuration promises a module that is not installed.
    evidence.modules = Some(Modules::default());
    let overlay = finding(&evidence, "kernel.storage.overlay");
    assert_eq!(overlay.state, State::Absent);
    insta::assert_snapshot!(overlay.why, @"the kernel was built with the module overlay, which is not installed");
}

#[test]
fn without_a_configuration_modules_and_the_version_speak() {
    let mut evidence = evidence(Some("6.1"), "");
    evidence.config = None;
    assert_eq!(
        finding(&evidence, "kernel.storage.overlay").state,
        State::Unknown
    );
    let mut modules = Modules::default();
    modules.add_loadable(
        "kernel/fs/overlayfs/overlay.ko.xz:\nkernel/net/bridge/bridge.ko: kernel/net/llc/llc.ko\n",
    );
    modules.add_built_in("kernel/drivers/net/veth.ko\n");
    evidence.modules = Some(modules);
    assert_eq!(
        finding(&evidence, "kernel.storage.overlay").state,
        State::Module
    );
    assert_eq!(finding(&evidence, "kernel.net.veth").state, State::Met);
    assert_eq!(finding(&evidence, "kernel.ns.cgroup").state, State::Unknown);
    assert_eq!(finding(&evidence, "kernel.process.pidfd").state, State::Met);
}

#[test]
fn the_remedy_is_the_smallest_change_with_what_it_depends_on() {
    let remedy =
        |options: &str, id: &str| finding(&evidence(Some("6.1"), options), id).remedy.unwrap();
    insta::assert_snapshot!(remedy("BRIDGE=m NETFILTER NETFILTER_ADVANCED=n BRIDGE_NETFILTER=n", "kernel.net.bridge-netfilter"), @"build the kernel with CONFIG_NETFILTER_ADVANCED=y, CONFIG_BRIDGE_NETFILTER=m");
    // Two of three options of the nftables way are on, so it takes one line more.
    insta::assert_snapshot!(remedy("NF_TABLES NF_TABLES_IPV4=n IP_NF_IPTABLES=n IP_NF_FILTER=n", "kernel.net.filter"), @"build the kernel with CONFIG_NF_TABLES_IPV4=y");
    insta::assert_snapshot!(remedy("OVERLAY_FS=m", "kernel.storage.overlay"), @"load the module overlay");
    insta::assert_snapshot!(remedy("SWAP MEMCG=n", "kernel.cgroup.memory"), @"build the kernel with CONFIG_MEMCG=y; or boot with cgroup_enable=memory");
    assert_eq!(
        finding(&evidence(Some("2.6.32"), ""), "kernel.version")
            .remedy
            .unwrap(),
        "move to a kernel of 3.8 or newer: what is missing in older ones can't be configured in"
    );
}

#[test]
fn a_lower_level_is_left_out_of_the_verdict() {
    let catalogue = Catalogue::built_in().unwrap();
    let evidence = evidence(Some("6.1"), "PID_NS");
    let musts = judge(&evidence, &catalogue, Level::Must);
    assert!(musts.requirements.iter().all(|f| f.level == Level::Must));
    assert_eq!(musts.verdict, SupportVerdict::Unsupported);
    // Drivers are told all the same.
    assert_eq!(musts.drivers.len(), 4);
}

#[test]
fn the_document_is_the_published_format() {
    let catalogue = Catalogue::built_in().unwrap();
    let mut support = judge(
        &evidence(Some("5.10"), "X86_64 PID_NS NAMESPACES VETH=n"),
        &catalogue,
        Level::Must,
    );
    support.requirements.retain(|f| {
        [
            "kernel.ns.pid",
            "kernel.net.veth",
            "kernel.devices.pts-instances",
        ]
        .contains(&f.id.as_str())
    });
    support.missing.truncate(2);
    insta::assert_json_snapshot!(support);
}

/// Every requirement, with its eras: a change of the data shows here.
#[test]
fn the_requirements_are_these() {
    let catalogue = Catalogue::built_in().unwrap();
    let mut list = String::new();
    for requirement in &catalogue {
        writeln!(
            list,
            "{} [{}] {}",
            requirement.id, requirement.level, requirement.title
        )
        .unwrap();
        if let Some(minimum) = requirement.minimum {
            writeln!(list, "    a kernel from {minimum} on").unwrap();
        }
        for way in &requirement.ways {
            let since = way.since.map_or(String::new(), |v| v.to_string());
            let until = way.until.map_or(String::new(), |v| v.to_string());
            writeln!(
                list,
                "    {since:>7} - {until:<6} {}",
                way.options.join(" + ")
            )
            .unwrap();
        }
        if let Some(always) = &requirement.always_on {
            writeln!(
                list,
                "    {:>7} -        always on {}",
                always.since,
                always.options.join(" + ")
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!(list);
}

#[test]
fn every_requirement_can_be_judged_and_names_its_source() {
    let catalogue = Catalogue::built_in().unwrap();
    assert!(catalogue.iter().count() > 100);
    for requirement in &catalogue {
        let id = &requirement.id;
        let by = requirement.ways.is_empty()
            && requirement.always_on.is_none()
            && requirement.minimum.is_none();
        assert!(!by, "{id}: nothing decides it");
        assert!(!requirement.source.is_empty(), "{id} has no source");
        for way in &requirement.ways {
            assert!(
                !way.options.is_empty(),
                "{id}: a way without options is always met"
            );
            let ordered = way
                .since
                .zip(way.until)
                .is_none_or(|(since, until)| since <= until);
            assert!(ordered, "{id}: an era ends before it begins");
        }
    }
}

#[test]
fn a_users_requirements_replace_and_add() {
    let mut catalogue = Catalogue::built_in().unwrap();
    let before = catalogue.iter().count();
    let text = r#"
        [[requirement]]
        id = "kernel.net.veth"
        title = "not for us"
        level = "may"
        ways = [{ options = ["VETH"] }]
        source = "our own"
        [[requirement]]
        id = "kernel.ours.driver"
        title = "our driver"
        level = "must"
        ways = [{ options = ["OURS"] }]
        source = "our own"
    "#;
    catalogue.overlay("ours.toml", text).unwrap();
    assert_eq!(catalogue.iter().count(), before + 1);
    assert_eq!(catalogue.get("kernel.net.veth").unwrap().level, Level::May);
    let error = catalogue
        .overlay("bad.toml", "[[requirement]]\nid = \"Kernel\"")
        .unwrap_err();
    insta::assert_snapshot!(error, @"can't read the requirements in `bad.toml`");
}

fn options() -> Vec<String> {
    let catalogue = Catalogue::built_in().unwrap();
    let asked: Vec<&String> = catalogue.iter().flat_map(|r| &r.only_if).collect();
    let mut options: Vec<String> = catalogue
        .iter()
        .flat_map(|r| r.options())
        .map(str::to_owned)
        .filter(|option| !asked.contains(&option))
        .collect();
    options.sort();
    options.dedup();
    options
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Turning an option on never makes a verdict worse. Left out are the options without which
    /// there is nothing to ask, as they bring questions with them.
    #[test]
    fn a_verdict_is_monotone(
        on in prop::sample::subsequence(options(), 0..options().len()),
        more in prop::sample::select(options()),
        version in prop::sample::select(vec!["3.10", "4.9", "4.18", "5.10", "6.1", "6.12", "7.2"]),
    ) {
        let catalogue = Catalogue::built_in().unwrap();
        let verdict = |words: &str| judge(&evidence(Some(version), words), &catalogue, Level::May);
        let before = verdict(&on.join(" "));
        let after = verdict(&format!("{} {more}", on.join(" ")));
        let rank = |s: &Support| (s.missing.len(), s.findings(Level::Should, State::Absent).count());
        prop_assert!(rank(&after).0 <= rank(&before).0, "{more} took a must away");
        prop_assert!(rank(&after).1 <= rank(&before).1, "{more} opened a gap");
    }
}
