//! What was asked for a container; written once, when it is made.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::health;
use super::id::ContainerId;
use super::name::Name;
use super::options::{
    Bytes, CapabilityChange, Cpus, Device, EnvVar, ExtraHost, LogConfig, Network, RestartPolicy,
    Seccomp, Signal, SwapLimit, Tmpfs, Ulimit, Volume, VolumesFrom,
};
use crate::image::config::Healthcheck;

/// The version of the format of `config.json`.
pub const SCHEMA: &str = "keel.container/1";
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All that was asked for one container: the contents of its `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// [`SCHEMA`].
    pub schema: String,
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: Name,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// The image that it was made from.
    pub image: ImageUsed,
    /// The storage driver that keeps its tree.
    pub driver: String,
    /// What its tree is called, once the container has been renamed; `None`: as its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// The command and what it sees.
    pub process: ProcessConfig,
    /// What surrounds it, and its limits.
    pub host: HostConfig,
}

impl Config {
    /// Whether a monitor runs it, as it may go on when whoever started it has left. The others are
    /// their starter's children, which is one process and two executions less.
    pub fn has_monitor(&self) -> bool {
        // At a terminal the detach keys can be typed.
        self.host.detached
            || self.process.tty
            || self.host.restart != RestartPolicy::No
            || health::is_wanted(self.process.healthcheck.as_ref())
    }
}

/// The image that a container was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageUsed {
    /// As the user named it.
    pub reference: String,
    /// The digest of its configuration: `sha256:…`.
    pub id: String,
}

/// The command and what it sees: what an image may suggest and a user may change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessConfig {
    /// The beginning of the command.
    pub entrypoint: Vec<String>,
    /// The rest of the command.
    pub cmd: Vec<String>,
    /// `NAME=VALUE` each.
    pub env: Vec<String>,
    /// The folder that it starts in; empty: `/`.
    pub working_dir: String,
    /// `uid[:gid]`, by number or by the container's own names; empty: root.
    pub user: String,
    /// The name that `hostname` shows.
    pub hostname: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What `keel stop` sends.
    pub stop_signal: Option<Signal>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input is kept open.
    pub open_stdin: bool,
    /// Whether that ends when the first who is attached has nothing more to say.
    #[serde(default)]
    pub stdin_once: bool,
    /// How to tell whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The words before a health check that is a shell script; empty: `/bin/sh -c`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
}

/// What surrounds the command, and its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct HostConfig {
    /// Removed when it ends.
    pub auto_remove: bool,
    /// Nobody waits in the foreground.
    pub detached: bool,
    /// All capabilities, no filter, all devices.
    pub privileged: bool,
    /// The root file system cannot be written to.
    pub read_only: bool,
    /// A small init is process 1.
    pub init: bool,
    /// `None`: on, unless privileged.
    pub no_new_privileges: Option<bool>,
    /// System call filter.
    pub seccomp: Seccomp,
    /// Capabilities beyond the default set.
    pub cap_add: Vec<CapabilityChange>,
    /// Capabilities taken from the default set.
    pub cap_drop: Vec<CapabilityChange>,
    /// Files and folders of the host, and volumes.
    pub volumes: Vec<Volume>,
    /// Containers whose volumes it has too; they are among its own already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<VolumesFrom>,
    /// File systems in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Size of `/dev/shm`; `None`: 64 MiB.
    pub shm_size: Option<Bytes>,
    /// Resource limits of each process.
    pub ulimits: Vec<Ulimit>,
    /// Memory limit.
    pub memory: Option<Bytes>,
    /// Limit of memory and swap space together; `None`: twice that of memory.
    #[serde(default)]
    pub memory_swap: Option<SwapLimit>,
    /// Processor limit.
    pub cpus: Option<Cpus>,
    /// Processor share when there is not enough for all; 1024 is the default.
    pub cpu_shares: Option<u64>,
    /// How many processes and threads it may have; `None` or -1: no limit.
    pub pids_limit: Option<i64>,
    /// Its place among the control groups.
    pub cgroup: String,
    /// How it is connected.
    pub network: Network,
    /// Whether it is started again when it has ended.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Where its output is kept.
    #[serde(default)]
    pub log: LogConfig,
    /// Seconds that `keel stop` waits unless told otherwise; -1: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The NIS domain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Further groups of its first process, by number or by the container's own names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
    /// Lines of `/etc/hosts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<ExtraHost>,
    /// Servers in `/etc/resolv.conf`; none: the host's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
    /// Domains to search, in the same place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<String>,
    /// Options of the resolver, in the same place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_options: Vec<String>,
    /// Kernel parameters of its own namespaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Annotations of the runtime's spec.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// How readily the kernel kills it when memory runs out, -1000 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// Memory that it is left when there is not enough for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<Bytes>,
    /// The processors that it may run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpuset_cpus: Option<String>,
    /// The memory nodes that it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpuset_mems: Option<String>,
    /// Microseconds of the period of `cpu_quota`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_period: Option<u64>,
    /// Microseconds of processor time in each period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<i64>,
    /// Its share of disks, 10 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blkio_weight: Option<u16>,
}

/// What an image suggests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageDefaults {
    /// The beginning of the command.
    pub entrypoint: Vec<String>,
    /// The rest of the command, unless the user gives one.
    pub cmd: Vec<String>,
    /// `NAME=VALUE` each.
    pub env: Vec<String>,
    /// The folder to start in.
    pub working_dir: String,
    /// The user to be.
    pub user: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What stops it.
    pub stop_signal: Option<Signal>,
    /// Paths whose files outlive the container.
    pub volumes: Vec<PathBuf>,
    /// How to tell whether it is well.
    pub healthcheck: Option<Healthcheck>,
    /// The words before a shell script.
    pub shell: Vec<String>,
}

/// What the user wants other than the image suggests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessWishes {
    /// `--entrypoint`; empty text removes the image's.
    pub entrypoint: Option<String>,
    /// What follows the image on the command line.
    pub cmd: Vec<String>,
    /// `--env`, in order.
    pub env: Vec<EnvVar>,
    /// `--workdir`.
    pub working_dir: Option<PathBuf>,
    /// `--user`.
    pub user: Option<String>,
    /// `--hostname`; `None`: the short id.
    pub hostname: Option<String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--stop-signal`.
    pub stop_signal: Option<Signal>,
    /// `--tty`.
    pub tty: bool,
    /// `--interactive`.
    pub open_stdin: bool,
    /// Whoever starts it attaches, with `--interactive`.
    pub stdin_once: bool,
    /// `--health-*`; what is zero or empty is the image's.
    pub healthcheck: Healthcheck,
}

impl ProcessConfig {
    /// The image's suggestions with the user's wishes laid over them, by Docker's rules: a new
    /// entry point takes the image's command away, a new command does not take the entry point.
    ///
    /// `inherited` looks up a variable of keel's own environment, for `--env NAME`.
    pub fn new(
        image: ImageDefaults,
        wishes: ProcessWishes,
        id: &ContainerId,
        inherited: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let (entrypoint, image_cmd) = match wishes.entrypoint {
            None => (image.entrypoint, image.cmd),
            Some(program) if program.is_empty() => (Vec::new(), Vec::new()),
            Some(program) => (vec![program], Vec::new()),
        };
        let cmd = if wishes.cmd.is_empty() {
            image_cmd
        } else {
            wishes.cmd
        };
        let hostname = wishes.hostname.unwrap_or_else(|| id.short().to_owned());
        let mut env = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
        if wishes.tty {
            env.push("TERM=xterm".to_owned());
        }
        for assignment in image.env {
            assign(&mut env, assignment);
        }
        apply_env(&mut env, wishes.env, inherited);
        let mut labels = image.labels;
        labels.extend(wishes.labels);
        let working_dir = wishes
            .working_dir
            .map(|path| path.to_string_lossy().into_owned());
        Self {
            entrypoint,
            cmd,
            env,
            working_dir: working_dir.unwrap_or(image.working_dir),
            user: wishes.user.unwrap_or(image.user),
            hostname,
            labels,
            stop_signal: wishes.stop_signal.or(image.stop_signal),
            tty: wishes.tty,
            open_stdin: wishes.open_stdin,
            stdin_once: wishes.stdin_once,
            healthcheck: healthcheck(image.healthcheck, wishes.healthcheck),
            shell: image.shell,
        }
    }

    /// The whole command.
    pub fn args(&self) -> Vec<String> {
        let parts = self.entrypoint.iter().chain(&self.cmd);
        parts.cloned().collect()
    }
}

/// The image's health check with the user's wishes laid over it.
fn healthcheck(image: Option<Healthcheck>, wishes: Healthcheck) -> Option<Healthcheck> {
    let image = image.unwrap_or_default();
    let or = |wish: i64, image: i64| if wish == 0 { image } else { wish };
    let merged = Healthcheck {
        test: if wishes.test.is_empty() {
            image.test
        } else {
            wishes.test
        },
        interval: or(wishes.interval, image.interval),
        timeout: or(wishes.timeout, image.timeout),
        start_period: or(wishes.start_period, image.start_period),
        start_interval: or(wishes.start_interval, image.start_interval),
        retries: or(wishes.retries, image.retries),
    };
    (merged != Healthcheck::default()).then_some(merged)
}

/// Lays the user's variables over an environment.
pub(super) fn apply_env(
    env: &mut Vec<String>,
    wishes: Vec<EnvVar>,
    inherited: impl Fn(&str) -> Option<String>,
) {
    for wish in wishes {
        match wish {
            EnvVar::Set(assignment) => assign(env, assignment),
            EnvVar::Inherit(name) => match inherited(&name) {
                Some(value) => assign(env, format!("{name}={value}")),
                None => env.retain(|known| variable(known) != name),
            },
        }
    }
}

/// Sets one variable, in its old place if it has one.
fn assign(env: &mut Vec<String>, assignment: String) {
    let name = variable(&assignment);
    match env.iter_mut().find(|known| variable(known) == name) {
        Some(known) => *known = assignment,
        None => env.push(assignment),
    }
}

/// The name in `NAME=VALUE`.
pub(super) fn variable(assignment: &str) -> &str {
    assignment.split('=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ContainerId {
        ContainerId::try_from("ab".repeat(32)).unwrap()
    }

    fn image() -> ImageDefaults {
        ImageDefaults {
            entrypoint: vec!["/entry".into()],
            cmd: vec!["image-cmd".into()],
            env: vec!["A=image".into(), "B=image".into()],
            ..ImageDefaults::default()
        }
    }

    fn merged(wishes: ProcessWishes) -> ProcessConfig {
        ProcessConfig::new(image(), wishes, &id(), |name| {
            (name == "HERE").then(|| "kept".to_owned())
        })
    }

    #[test]
    fn a_command_replaces_the_images_command_and_not_its_entry_point() {
        let wishes = ProcessWishes {
            cmd: vec!["mine".into()],
            ..ProcessWishes::default()
        };
        assert_eq!(merged(wishes).args(), ["/entry", "mine"]);
        assert_eq!(
            merged(ProcessWishes::default()).args(),
            ["/entry", "image-cmd"]
        );
    }

    #[test]
    fn an_entry_point_takes_the_images_command_away() {
        let wishes = |entrypoint: &str| ProcessWishes {
            entrypoint: Some(entrypoint.into()),
            ..ProcessWishes::default()
        };
        assert_eq!(merged(wishes("/mine")).args(), ["/mine"]);
        assert!(merged(wishes("")).args().is_empty());
    }

    #[test]
    fn the_users_variables_win_and_keep_their_place() {
        let wishes = ProcessWishes {
            env: vec![
                EnvVar::Set("A=mine".into()),
                EnvVar::Inherit("HERE".into()),
                EnvVar::Inherit("B".into()),
            ],
            ..ProcessWishes::default()
        };
        let env = merged(wishes).env;
        assert_eq!(
            env,
            [DEFAULT_PATH, "HOSTNAME=abababababab", "A=mine", "HERE=kept"]
        );
    }
}
