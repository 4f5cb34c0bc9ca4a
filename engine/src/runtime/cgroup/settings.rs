//! The runtime specification's limits as files and values, for both versions of cgroups.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use super::Error;

/// A value for a file of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The controller whose absence makes the limit impossible.
    pub(super) controller: String,
    pub(super) file: String,
    pub(super) value: String,
}

/// The settings, in an order in which the kernel takes them from a new group.
#[derive(Debug, Default)]
struct List(Vec<Setting>);

impl List {
    fn add(&mut self, controller: &str, file: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.push(Setting {
                controller: controller.to_owned(),
                file: file.to_owned(),
                value: value.to_string(),
            });
        }
    }
}

#[expect(
    clippy::fn_params_excessive_bools,
    reason = "the condition itself, not a mode"
)]
fn refuse(asked: bool, limit: &str, why: &'static str) -> Result<(), Error> {
    if asked {
        return Err(Error::Limit {
            limit: limit.to_owned(),
            why,
        });
    }
    Ok(())
}

const ONLY_V1: &str = "exists with version 1 of cgroups only";
const ONLY_V2: &str = "exists with version 2 of cgroups only";

/// For v1.
pub(super) fn legacy(resources: &LinuxResources) -> Result<Vec<Setting>, Error> {
    refuse(
        resources
            .unified()
            .as_ref()
            .is_some_and(|map| !map.is_empty()),
        "unified",
        ONLY_V2,
    )?;
    let mut list = List::default();
    if let Some(cpu) = resources.cpu() {
        // cpuset first: before its two files are set, no task can be in the group.
        list.add("cpuset", "cpuset.cpus", text(cpu.cpus().as_deref()));
        list.add("cpuset", "cpuset.mems", text(cpu.mems().as_deref()));
        list.add(
            "cpu",
            "cpu.shares",
            cpu.shares().filter(|shares| *shares > 0),
        );
        list.add(
            "cpu",
            "cpu.cfs_period_us",
            cpu.period().filter(|period| *period > 0),
        );
        list.add(
            "cpu",
            "cpu.cfs_quota_us",
            cpu.quota().filter(|quota| *quota != 0),
        );
        list.add("cpu", "cpu.cfs_burst_us", cpu.burst());
        list.add(
            "cpu",
            "cpu.rt_period_us",
            cpu.realtime_period().filter(|period| *period > 0),
        );
        list.add(
            "cpu",
            "cpu.rt_runtime_us",
            cpu.realtime_runtime().filter(|runtime| *runtime != 0),
        );
        list.add("cpu", "cpu.idle", cpu.idle());
    }
    if let Some(memory) = resources.memory() {
        legacy_memory(memory, &mut list)?;
    }
    if let Some(pids) = resources.pids() {
        list.add("pids", "pids.max", Some(pids_max(pids.limit())));
    }
    if let Some(io) = resources.block_io() {
        legacy_io(io, &mut list);
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        list.add(
            "hugetlb",
            &format!("hugetlb.{}.limit_in_bytes", limit.page_size()),
            Some(limit.limit()),
        );
    }
    if let Some(network) = resources.network() {
        list.add("net_cls", "net_cls.classid", network.class_id());
        for priority in network.priorities().iter().flatten() {
            list.add(
                "net_prio",
                "net_prio.ifpriomap",
                Some(format!("{} {}", priority.name(), priority.priority())),
            );
        }
    }
    rdma(resources, &mut list);
    Ok(list.0)
}

fn legacy_memory(memory: &LinuxMemory, list: &mut List) -> Result<(), Error> {
    check_swap(memory)?;
    list.add(
        "memory",
        "memory.use_hierarchy",
        memory.use_hierarchy().filter(|on| *on).map(u8::from),
    );
    list.add("memory", "memory.limit_in_bytes", limited(memory.limit()));
    list.add(
        "memory",
        "memory.memsw.limit_in_bytes",
        limited(memory.swap()),
    );
    list.add(
        "memory",
        "memory.soft_limit_in_bytes",
        limited(memory.reservation()),
    );
    list.add(
        "memory",
        "memory.kmem.limit_in_bytes",
        limited(memory.kernel()),
    );
    list.add(
        "memory",
        "memory.kmem.tcp.limit_in_bytes",
        limited(memory.kernel_tcp()),
    );
    list.add("memory", "memory.swappiness", memory.swappiness());
    list.add(
        "memory",
        "memory.oom_control",
        memory.disable_oom_killer().filter(|on| *on).map(u8::from),
    );
    Ok(())
}

fn legacy_io(io: &LinuxBlockIo, list: &mut List) {
    list.add(
        "blkio",
        "blkio.weight",
        io.weight().filter(|weight| *weight > 0),
    );
    list.add(
        "blkio",
        "blkio.leaf_weight",
        io.leaf_weight().filter(|weight| *weight > 0),
    );
    for device in io.weight_device().iter().flatten() {
        let line = |weight: u16| format!("{}:{} {weight}", device.major(), device.minor());
        list.add("blkio", "blkio.weight_device", device.weight().map(line));
        list.add(
            "blkio",
            "blkio.leaf_weight_device",
            device.leaf_weight().map(line),
        );
    }
    for (file, devices) in [
        (
            "blkio.throttle.read_bps_device",
            io.throttle_read_bps_device(),
        ),
        (
            "blkio.throttle.write_bps_device",
            io.throttle_write_bps_device(),
        ),
        (
            "blkio.throttle.read_iops_device",
            io.throttle_read_iops_device(),
        ),
        (
            "blkio.throttle.write_iops_device",
            io.throttle_write_iops_device(),
        ),
    ] {
        for device in devices.iter().flatten() {
            let line = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            list.add("blkio", file, Some(line));
        }
    }
}

/// For v2.
pub(super) fn unified(resources: &LinuxResources) -> Result<Vec<Setting>, Error> {
    let mut list = List::default();
    if let Some(cpu) = resources.cpu() {
        unified_cpu(cpu, &mut list)?;
    }
    if let Some(memory) = resources.memory() {
        unified_memory(memory, &mut list)?;
    }
    if let Some(pids) = resources.pids() {
        list.add("pids", "pids.max", Some(pids_max(pids.limit())));
    }
    if let Some(io) = resources.block_io() {
        unified_io(io, &mut list)?;
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        list.add(
            "hugetlb",
            &format!("hugetlb.{}.max", limit.page_size()),
            Some(or_max(limit.limit())),
        );
    }
    let network = resources.network().as_ref();
    refuse(
        network.is_some_and(|network| network.class_id().is_some()),
        "network.classID",
        ONLY_V1,
    )?;
    let priorities = network.and_then(|network| network.priorities().as_ref());
    refuse(
        priorities.is_some_and(|list| !list.is_empty()),
        "network.priorities",
        ONLY_V1,
    )?;
    rdma(resources, &mut list);
    for (file, value) in resources.unified().iter().flatten() {
        // Only files of controllers: `cgroup.procs` and others would undo what we do.
        let controller = file
            .split('.')
            .next()
            .filter(|name| *name != "cgroup" && !file.contains('/'));
        let controller = controller.ok_or_else(|| Error::Limit {
            limit: format!("unified {file:?}"),
            why: "is no file of a controller",
        })?;
        // The explicit map wins.
        list.0.retain(|setting| setting.file != *file);
        list.add(controller, file, Some(value));
    }
    Ok(list.0)
}

fn unified_cpu(cpu: &LinuxCpu, list: &mut List) -> Result<(), Error> {
    refuse(
        cpu.realtime_runtime().is_some_and(|runtime| runtime != 0),
        "cpu.realtimeRuntime",
        ONLY_V1,
    )?;
    refuse(
        cpu.realtime_period().is_some_and(|period| period != 0),
        "cpu.realtimePeriod",
        ONLY_V1,
    )?;
    list.add("cpuset", "cpuset.cpus", text(cpu.cpus().as_deref()));
    list.add("cpuset", "cpuset.mems", text(cpu.mems().as_deref()));
    list.add(
        "cpu",
        "cpu.weight",
        cpu.shares().filter(|shares| *shares > 0).map(weight),
    );
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period > 0);
    if quota.is_some() || period.is_some() {
        let quota = or_max(quota.unwrap_or(-1));
        list.add(
            "cpu",
            "cpu.max",
            Some(format!("{quota} {}", period.unwrap_or(100_000))),
        );
    }
    list.add("cpu", "cpu.max.burst", cpu.burst());
    list.add("cpu", "cpu.idle", cpu.idle());
    Ok(())
}

fn unified_memory(memory: &LinuxMemory, list: &mut List) -> Result<(), Error> {
    refuse(
        memory.kernel().is_some_and(|limit| limit > 0),
        "memory.kernel",
        ONLY_V1,
    )?;
    refuse(
        memory.kernel_tcp().is_some_and(|limit| limit > 0),
        "memory.kernelTCP",
        ONLY_V1,
    )?;
    refuse(memory.swappiness().is_some(), "memory.swappiness", ONLY_V1)?;
    refuse(
        memory.disable_oom_killer() == Some(true),
        "memory.disableOOMKiller",
        ONLY_V1,
    )?;
    check_swap(memory)?;
    let limit = limited(memory.limit());
    list.add("memory", "memory.max", limit.map(or_max));
    list.add(
        "memory",
        "memory.low",
        limited(memory.reservation()).map(or_max),
    );
    // v1 limits memory and swap together, v2 swap alone.
    let swap = limited(memory.swap()).map(|swap| match limit {
        Some(limit) if swap > 0 && limit > 0 => swap - limit,
        _ => swap,
    });
    list.add("memory", "memory.swap.max", swap.map(or_max));
    Ok(())
}

fn unified_io(io: &LinuxBlockIo, list: &mut List) -> Result<(), Error> {
    refuse(
        io.leaf_weight().is_some_and(|weight| weight > 0),
        "blockIO.leafWeight",
        ONLY_V1,
    )?;
    let scale = |weight: u16| 1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990;
    list.add(
        "io",
        "io.weight",
        io.weight()
            .filter(|weight| *weight > 0)
            .map(|weight| format!("default {}", scale(weight))),
    );
    for device in io.weight_device().iter().flatten() {
        refuse(
            device.leaf_weight().is_some_and(|weight| weight > 0),
            "blockIO.weightDevice.leafWeight",
            ONLY_V1,
        )?;
        let line = |weight: u16| format!("{}:{} {}", device.major(), device.minor(), scale(weight));
        list.add("io", "io.weight", device.weight().map(line));
    }
    for (key, devices) in [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ] {
        for device in devices.iter().flatten() {
            let line = format!(
                "{}:{} {key}={}",
                device.major(),
                device.minor(),
                device.rate()
            );
            list.add("io", "io.max", Some(line));
        }
    }
    Ok(())
}

fn rdma(resources: &LinuxResources, list: &mut List) {
    for (device, limit) in resources.rdma().iter().flatten() {
        let handles = limit
            .hca_handles()
            .map(|handles| format!(" hca_handle={handles}"));
        let objects = limit
            .hca_objects()
            .map(|objects| format!(" hca_object={objects}"));
        let line = format!(
            "{device}{}{}",
            handles.unwrap_or_default(),
            objects.unwrap_or_default()
        );
        list.add("rdma", "rdma.max", Some(line));
    }
}

fn check_swap(memory: &LinuxMemory) -> Result<(), Error> {
    let (limit, swap) = (limited(memory.limit()), limited(memory.swap()));
    refuse(
        matches!((limit, swap), (Some(limit), Some(swap)) if swap > 0 && limit > 0 && swap < limit),
        "memory.swap",
        "counts memory and swap together, so it must not be below memory.limit",
    )?;
    refuse(
        swap.is_some_and(|swap| swap > 0) && limit.is_none(),
        "memory.swap",
        "needs memory.limit",
    )
}

/// 0 means "not set" to every runtime.
fn limited(limit: Option<i64>) -> Option<i64> {
    limit.filter(|limit| *limit != 0)
}

fn text(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

/// Negative means "no limit".
fn or_max(limit: i64) -> String {
    if limit < 0 {
        "max".to_owned()
    } else {
        limit.to_string()
    }
}

fn pids_max(limit: i64) -> String {
    or_max(if limit == 0 { -1 } else { limit })
}

/// `cpu.shares` (2 to 262144) as `cpu.weight` (1 to 10000), linearly, as systemd and runc did.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(json: &str) -> LinuxResources {
        serde_json::from_str(json).expect("resources")
    }

    fn shown(settings: Vec<Setting>) -> Vec<String> {
        settings
            .into_iter()
            .map(|setting| format!("{} = {}", setting.file, setting.value))
            .collect()
    }

    const COMMON: &str = r#"{
        "memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432},
        "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0-1"},
        "pids": {"limit": 100},
        "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}]}
    }"#;

    #[test]
    fn v1_takes_the_limits_as_they_are() {
        insta::assert_snapshot!(shown(legacy(&resources(COMMON)).expect("settings")).join("\n"), @r"
        cpuset.cpus = 0-1
        cpu.shares = 1024
        cpu.cfs_period_us = 100000
        cpu.cfs_quota_us = 50000
        memory.limit_in_bytes = 67108864
        memory.memsw.limit_in_bytes = 134217728
        memory.soft_limit_in_bytes = 33554432
        pids.max = 100
        blkio.weight = 500
        blkio.throttle.read_bps_device = 8:0 1048576
        ");
    }

    #[test]
    fn v2_takes_the_limits_in_its_own_units() {
        insta::assert_snapshot!(shown(unified(&resources(COMMON)).expect("settings")).join("\n"), @r"
        cpuset.cpus = 0-1
        cpu.weight = 39
        cpu.max = 50000 100000
        memory.max = 67108864
        memory.low = 33554432
        memory.swap.max = 67108864
        pids.max = 100
        io.weight = default 4950
        io.max = 8:0 rbps=1048576
        ");
    }

    #[test]
    fn the_unified_map_wins_but_cannot_touch_the_core_files() {
        let list = unified(&resources(
            r#"{"pids":{"limit":5},"unified":{"pids.max":"7"}}"#,
        ))
        .expect("settings");
        assert_eq!(shown(list), ["pids.max = 7"]);
        for file in ["cgroup.procs", "../pids.max", "cgroup.kill"] {
            unified(&resources(&format!(r#"{{"unified":{{"{file}":"1"}}}}"#))).expect_err(file);
        }
    }

    #[test]
    fn limits_of_the_other_version_are_refused() {
        legacy(&resources(r#"{"unified":{"memory.high":"1"}}"#)).expect_err("v2 only");
        for limit in [
            r#"{"memory":{"swappiness":10}}"#,
            r#"{"memory":{"disableOOMKiller":true}}"#,
            r#"{"cpu":{"realtimeRuntime":1}}"#,
            r#"{"network":{"classID":1}}"#,
        ] {
            unified(&resources(limit)).expect_err(limit);
        }
    }

    #[test]
    fn swap_below_memory_is_refused_in_both() {
        let limits = resources(r#"{"memory":{"limit":200,"swap":100}}"#);
        legacy(&limits).expect_err("v1");
        unified(&limits).expect_err("v2");
    }

    proptest::proptest! {
        #[test]
        fn weights_keep_the_order_of_shares(a in 0_u64..300_000, b in 0_u64..300_000) {
            proptest::prop_assert!((1..=10_000).contains(&weight(a)));
            if a <= b {
                proptest::prop_assert!(weight(a) <= weight(b));
            }
        }
    }
}
