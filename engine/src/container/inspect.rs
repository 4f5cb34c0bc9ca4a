//! All about a container, under Docker's names.

use serde_json::{Value, json};

use super::options::{Access, Seccomp, Source, SwapLimit, Volume};
use super::state::Incarnation;
use super::{Container, Phase, config::HostConfig};
use crate::volume::Volumes;

/// Docker's time for "not yet".
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Container {
    /// What `keel inspect` shows: Docker's document, without what Keel does not have.
    pub fn inspect(&self) -> Value {
        let config = self.config();
        let (process, host) = (&config.process, &config.host);
        let args = process.args();
        let file = |name: &str| self.folder().join(name).display().to_string();
        json!({
            "Id": config.id,
            "Created": config.created,
            "Path": args.first(),
            "Args": args.get(1..).unwrap_or_default(),
            "State": self.inspect_state(),
            "Image": config.image.id,
            "ResolvConfPath": file("resolv.conf"),
            "HostnamePath": file("hostname"),
            "HostsPath": file("hosts"),
            "LogPath": self.log_path().display().to_string(),
            "Name": format!("/{}", config.name),
            "RestartCount": self.state().restarts,
            "Driver": config.driver,
            "Platform": "linux",
            "HostConfig": inspect_host(host),
            "GraphDriver": {"Name": config.driver, "Data": {"Tree": self.tree_name()}},
            "Mounts": self.inspect_mounts(),
            "Config": {
                "Hostname": process.hostname,
                "Domainname": host.domainname.as_deref().unwrap_or_default(),
                "StopTimeout": host.stop_timeout,
                "User": process.user,
                "AttachStdin": process.open_stdin && !host.detached,
                "AttachStdout": !host.detached,
                "AttachStderr": !host.detached,
                "Tty": process.tty,
                "OpenStdin": process.open_stdin,
                "StdinOnce": process.stdin_once,
                "Env": process.env,
                "Cmd": process.cmd,
                "Image": config.image.reference,
                "WorkingDir": process.working_dir,
                "Entrypoint": process.entrypoint,
                "Labels": process.labels,
                "StopSignal": process.stop_signal,
                "Healthcheck": process.healthcheck,
            },
            "NetworkSettings": {"Networks": {"none": {}}, "Ports": {}},
        })
    }

    fn inspect_mounts(&self) -> Vec<Value> {
        let volumes = Volumes::new(self.root());
        let shown = |volume: &Volume| {
            let mut shown = json!({
                "Type": "bind",
                "Source": volume.on_host(&volumes),
                "Destination": volume.target,
                "Mode": access(volume.access),
                "RW": volume.access == Access::ReadWrite,
                "Propagation": "rprivate",
            });
            if let (Source::Named(name), Some(fields)) = (&volume.source, shown.as_object_mut()) {
                fields.insert("Type".to_owned(), "volume".into());
                fields.insert("Name".to_owned(), name.as_str().into());
                fields.insert("Driver".to_owned(), "local".into());
                fields.insert("Propagation".to_owned(), "".into());
            }
            shown
        };
        self.config().host.volumes.iter().map(shown).collect()
    }

    fn inspect_state(&self) -> Value {
        let (state, phase) = (self.state(), self.phase());
        let mut all = json!({
            "Status": phase.as_str(),
            "Running": phase.is_live(),
            "Paused": phase == Phase::Paused,
            "Restarting": phase == Phase::Restarting,
            "OOMKilled": state.oom_killed,
            "Dead": false,
            "Pid": state.process.as_ref().map_or(0, |Incarnation { pid, .. }| *pid),
            "ExitCode": state.exit_code,
            "Error": state.error,
            "StartedAt": state.started.as_deref().unwrap_or(NEVER),
            "FinishedAt": state.finished.as_deref().unwrap_or(NEVER),
        });
        // As Docker has it: only of containers that are looked at.
        if let (Some(health), Some(fields)) = (self.health(), all.as_object_mut()) {
            fields.insert("Health".to_owned(), json!(health));
        }
        all
    }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "ro",
        Access::ReadWrite => "rw",
    }
}

fn inspect_host(host: &HostConfig) -> Value {
    let names = |changes: &[super::options::CapabilityChange]| -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    };
    let binds = host.volumes.iter().map(|volume| {
        let (source, target) = (&volume.source, volume.target.display());
        format!("{source}:{target}:{}", access(volume.access))
    });
    let tmpfs = host.tmpfs.iter().map(|tmpfs| {
        (
            tmpfs.target.display().to_string(),
            Value::from(tmpfs.options.join(",")),
        )
    });
    let memory = host.memory.map_or(0, |memory| memory.0);
    let memory_swap = match (host.memory_swap, host.memory) {
        (Some(swap), _) => swap.memory_and_swap(),
        (None, Some(memory)) => SwapLimit::twice(memory).memory_and_swap(),
        (None, None) => 0,
    };
    json!({
        "AutoRemove": host.auto_remove,
        "RestartPolicy": {
            "Name": host.restart.name(),
            "MaximumRetryCount": host.restart.maximum_retry_count(),
        },
        "Binds": binds.collect::<Vec<_>>(),
        "VolumesFrom": host.volumes_from.iter().map(|from| from.container.as_str()).collect::<Vec<_>>(),
        "Tmpfs": tmpfs.collect::<serde_json::Map<_, _>>(),
        "CapAdd": names(&host.cap_add),
        "CapDrop": names(&host.cap_drop),
        "CgroupParent": host.cgroup.rsplit_once('/').map_or("", |(parent, _)| parent),
        "Privileged": host.privileged,
        "ReadonlyRootfs": host.read_only,
        "SecurityOpt": security_options(host),
        "Init": host.init,
        "NetworkMode": "none",
        "ShmSize": host.shm_size.map_or(64 << 20, |size| size.0),
        "Memory": memory,
        "MemorySwap": memory_swap,
        "NanoCpus": host.cpus.map_or(0, super::options::Cpus::nano),
        "CpuShares": host.cpu_shares.unwrap_or(0),
        "CpuPeriod": host.cpu_period.unwrap_or(0),
        "CpuQuota": host.cpu_quota.unwrap_or(0),
        "CpusetCpus": host.cpuset_cpus.as_deref().unwrap_or_default(),
        "CpusetMems": host.cpuset_mems.as_deref().unwrap_or_default(),
        "BlkioWeight": host.blkio_weight.unwrap_or(0),
        "MemoryReservation": host.memory_reservation.map_or(0, |memory| memory.0),
        "OomScoreAdj": host.oom_score_adj.unwrap_or(0),
        "Sysctls": host.sysctls,
        "Annotations": host.annotations,
        "GroupAdd": host.group_add,
        "ExtraHosts": host.extra_hosts,
        "Dns": host.dns,
        "DnsSearch": host.dns_search,
        "DnsOptions": host.dns_options,
        "PidsLimit": host.pids_limit,
        "Devices": host.devices.iter().map(|device| json!({
            "PathOnHost": device.path_on_host,
            "PathInContainer": device.path_in_container,
            "CgroupPermissions": device.cgroup_permissions,
        })).collect::<Vec<_>>(),
        "Ulimits": host.ulimits.iter().map(super::options::Ulimit::inspect).collect::<Vec<_>>(),
        "LogConfig": {"Type": host.log.driver.as_str(), "Config": host.log.options},
    })
}

fn security_options(host: &HostConfig) -> Vec<String> {
    let mut options = Vec::new();
    if host.no_new_privileges.unwrap_or(!host.privileged) {
        options.push("no-new-privileges".to_owned());
    }
    match &host.seccomp {
        Seccomp::Default if host.privileged => options.push("seccomp=unconfined".to_owned()),
        Seccomp::Default => {}
        Seccomp::Unconfined => options.push("seccomp=unconfined".to_owned()),
        Seccomp::Profile(path) => options.push(format!("seccomp={}", path.display())),
    }
    options
}
