//! What `keel run` and `keel create` make a container of: the flags that they share.

use std::net::IpAddr;
use std::path::PathBuf;

use super::pull::{Policy, find};
use super::{ENGINE, Failure, Globals, WithCode};
use crate::container::Request;
use crate::container::config::{HostConfig, ImageDefaults, ImageUsed, ProcessWishes};
use crate::container::name::Name;
use crate::container::options::in_container;
use crate::container::options::{
    Bytes, CapabilityChange, Cpus, Device, EnvVar, ExtraHost, Label, ListFile, LogConfig,
    LogDriver, LogOption, Mount, Network, RestartPolicy, Seccomp, SecurityOpt, Signal, Span,
    SwapLimit, Tmpfs, Ulimit, Userns, Volume, VolumesFrom,
};
use crate::image::config::Healthcheck;
use crate::image::manifest::Platform;
use crate::image::store::{Hold, Image, Store};

/// A container to be made.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct Recipe {
    /// Name of the container [default: one is chosen]
    #[arg(long)]
    name: Option<Name>,
    /// Remove it when it ends
    #[arg(long)]
    rm: bool,
    /// Whether to start it again when it ends: no, `on-failure[:N]`, always, unless-stopped
    #[arg(long, value_name = "POLICY", default_value_t, conflicts_with = "rm")]
    restart: RestartPolicy,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// With a terminal
    #[arg(short, long)]
    tty: bool,
    /// Run a small init as process 1, which passes signals on and reaps orphans
    #[arg(long)]
    init: bool,

    /// Write its id into this file, which must not be there yet
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,

    /// Another beginning of the command than the image's
    #[arg(long, value_name = "PROGRAM", help_heading = "Process")]
    entrypoint: Option<String>,
    /// A variable; without a value, that of the caller
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "Process")]
    env: Vec<EnvVar>,
    /// A file with a variable a line
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    env_file: Vec<ListFile>,
    /// A further group, by number or by the container's own names
    #[arg(long, value_name = "GROUP", help_heading = "Process")]
    group_add: Vec<String>,
    /// The user, by number or by the container's own names
    #[arg(short, long, value_name = "USER[:GROUP]", help_heading = "Process")]
    user: Option<String>,
    /// The folder to start in
    #[arg(short, long, value_name = "DIR", help_heading = "Process")]
    workdir: Option<PathBuf>,
    /// The container's host name [default: its short id]
    #[arg(long, help_heading = "Process")]
    hostname: Option<String>,
    /// A label
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "Process")]
    label: Vec<Label>,
    /// A file with a label a line
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    label_file: Vec<ListFile>,
    /// An annotation, for the runtime
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = "Process")]
    annotation: Vec<Label>,
    /// The container's NIS domain name
    #[arg(long, value_name = "NAME", help_heading = "Process")]
    domainname: Option<String>,
    /// A kernel parameter of its own namespaces
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Process")]
    sysctl: Vec<Label>,
    /// Seconds that `keel stop` waits before killing it; -1: for ever [default: 10]
    #[arg(
        long,
        value_name = "SECONDS",
        allow_negative_numbers = true,
        help_heading = "Process"
    )]
    #[arg(value_parser = clap::value_parser!(i64).range(-1..))]
    stop_timeout: Option<i64>,
    /// What `keel stop` sends [default: the image's, or SIGTERM]
    #[arg(long, value_name = "SIGNAL", help_heading = "Process")]
    stop_signal: Option<Signal>,

    /// Where its output is kept: json-file, local, syslog, journald or none
    #[arg(long, value_name = "NAME", default_value_t, help_heading = "Log")]
    log_driver: LogDriver,
    /// How: `max-size=10m`, `max-file=3`, `tag=web`, `labels=a,b`, `env=A,B`, and more
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Log")]
    log_opt: Vec<LogOption>,
    /// A shell command that tells, by exit code 0, that it is well
    #[arg(long, value_name = "COMMAND", help_heading = "Health")]
    health_cmd: Option<String>,
    /// Between two looks [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    health_interval: Option<Span>,
    /// How long one look may take [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    health_timeout: Option<Span>,
    /// Failures in a row that make it unhealthy [default: 3]
    #[arg(long, value_name = "NUMBER", help_heading = "Health")]
    #[arg(value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
    health_retries: Option<i64>,
    /// How long failures do not count after the start [default: 0s]
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    health_start_period: Option<Span>,
    /// Between two looks during that time [default: 5s]
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    health_start_interval: Option<Span>,
    /// Do not look, whatever the image says
    #[arg(long, help_heading = "Health", conflicts_with_all = ["health_cmd", "health_interval", "health_timeout", "health_retries", "health_start_period", "health_start_interval"])]
    no_healthcheck: bool,

    /// Show a file or folder of the host, or a volume by its name; without source, a volume of its
    /// own
    #[arg(
        short,
        long,
        value_name = "[SOURCE:]TARGET[:OPTIONS]",
        help_heading = "File system"
    )]
    volume: Vec<Volume>,
    /// The same in words: type=volume|bind|tmpfs,source=…,target=…,readonly,…
    #[arg(long, value_name = "KEY=VALUE,…", help_heading = "File system")]
    mount: Vec<Mount>,
    /// The volumes of another container too
    #[arg(long, value_name = "CONTAINER[:ro]", help_heading = "File system")]
    volumes_from: Vec<VolumesFrom>,
    /// A file system in memory
    #[arg(long, value_name = "TARGET[:OPTIONS]", help_heading = "File system")]
    tmpfs: Vec<Tmpfs>,
    /// A line of its /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS", help_heading = "File system")]
    add_host: Vec<ExtraHost>,
    /// A server for its /etc/resolv.conf [default: the host's]
    #[arg(long, value_name = "ADDRESS", help_heading = "File system")]
    dns: Vec<IpAddr>,
    /// A domain to search, for the same file
    #[arg(long, value_name = "DOMAIN", help_heading = "File system")]
    dns_search: Vec<String>,
    /// An option of the resolver, for the same file
    #[arg(
        long,
        alias = "dns-opt",
        value_name = "OPTION",
        help_heading = "File system"
    )]
    dns_option: Vec<String>,
    /// The root file system cannot be written to
    #[arg(long, help_heading = "File system")]
    read_only: bool,
    /// Size of /dev/shm [default: 64m]
    #[arg(long, value_name = "BYTES", help_heading = "File system")]
    shm_size: Option<Bytes>,
    /// Show a device of the host
    #[arg(
        long,
        value_name = "HOST[:CONTAINER][:rwm]",
        help_heading = "File system"
    )]
    device: Vec<Device>,

    /// Memory limit
    #[arg(short, long, value_name = "BYTES", help_heading = "Limits")]
    memory: Option<Bytes>,
    /// Memory that it is left when there is not enough for all
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    memory_reservation: Option<Bytes>,
    /// How readily the kernel kills it when memory runs out
    #[arg(
        long,
        value_name = "NUMBER",
        allow_negative_numbers = true,
        help_heading = "Limits"
    )]
    #[arg(value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    oom_score_adj: Option<i32>,
    /// Limit of memory and swap space together; -1: any amount of swap [default: twice --memory]
    #[arg(
        long,
        value_name = "BYTES",
        requires = "memory",
        allow_hyphen_values = true,
        help_heading = "Limits"
    )]
    memory_swap: Option<SwapLimit>,
    /// How many processors' time it may use
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    cpus: Option<Cpus>,
    /// Microseconds of processor time in each period; at most with `--cpu-period`
    #[arg(
        long,
        value_name = "MICROSECONDS",
        conflicts_with = "cpus",
        allow_negative_numbers = true,
        help_heading = "Limits"
    )]
    cpu_quota: Option<i64>,
    /// Microseconds of that period [default: 100000]
    #[arg(
        long,
        value_name = "MICROSECONDS",
        conflicts_with = "cpus",
        help_heading = "Limits"
    )]
    cpu_period: Option<u64>,
    /// The processors that it may run on, such as `0-2,4`
    #[arg(long, value_name = "LIST", help_heading = "Limits")]
    cpuset_cpus: Option<String>,
    /// The memory nodes that it may use
    #[arg(long, value_name = "LIST", help_heading = "Limits")]
    cpuset_mems: Option<String>,
    /// Its share of disks
    #[arg(long, value_name = "WEIGHT", help_heading = "Limits")]
    #[arg(value_parser = clap::value_parser!(u16).range(10..=1000))]
    blkio_weight: Option<u16>,
    /// Its share when there is not enough for all [default: 1024]
    #[arg(short, long, value_name = "SHARES", help_heading = "Limits")]
    #[arg(value_parser = clap::value_parser!(u64).range(2..=262_144))]
    cpu_shares: Option<u64>,
    /// How many processes and threads it may have; -1: no limit
    #[arg(
        long,
        value_name = "NUMBER",
        help_heading = "Limits",
        allow_negative_numbers = true
    )]
    #[arg(value_parser = clap::value_parser!(i64).range(-1..))]
    pids_limit: Option<i64>,
    /// A resource limit of each process
    #[arg(long, value_name = "NAME=SOFT[:HARD]", help_heading = "Limits")]
    ulimit: Vec<Ulimit>,
    /// The control group to be below
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/keel",
        help_heading = "Limits"
    )]
    cgroup_parent: String,

    /// A capability beyond the default ones, or ALL
    #[arg(long, value_name = "CAPABILITY", help_heading = "Security")]
    cap_add: Vec<CapabilityChange>,
    /// A default capability to be without, or ALL
    #[arg(long, value_name = "CAPABILITY", help_heading = "Security")]
    cap_drop: Vec<CapabilityChange>,
    /// All capabilities and devices, no filter: not isolated from the host
    #[arg(long, help_heading = "Security")]
    privileged: bool,
    /// seccomp=unconfined|FILE, no-new-privileges=true|false
    #[arg(long, value_name = "OPTION", help_heading = "Security")]
    security_opt: Vec<SecurityOpt>,
    /// `none`: a loopback of its own
    #[arg(
        long,
        alias = "net",
        value_name = "NETWORK",
        default_value = "none",
        help_heading = "Security"
    )]
    network: Network,
    /// `host`: the users of whoever runs keel
    #[arg(
        long,
        value_name = "NAMESPACE",
        default_value = "host",
        help_heading = "Security"
    )]
    userns: Userns,

    /// When to pull the image: always, missing or never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "missing",
        hide_possible_values = true,
        help_heading = "Image"
    )]
    pull: Policy,
    /// The image for another platform than this machine's
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", help_heading = "Image")]
    platform: Option<Platform>,

    /// The image: a name or an id
    image: String,
    /// The command and its arguments [default: the image's]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Whether the container runs without anybody waiting for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detached {
    /// It is left to a monitor.
    Yes,
    /// It is not started yet, and whoever does that may attach.
    NotYet,
    /// Whoever makes it waits for it.
    No,
}

/// What a container is made with.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) store: Store,
    /// Keeps the image from being removed until the container is on record.
    pub(super) hold: Hold,
    pub(super) request: Request,
}

impl Recipe {
    /// Finds the image and understands the flags.
    pub(super) fn prepare(
        self,
        globals: &Globals,
        detached: Detached,
    ) -> Result<Prepared, Failure> {
        let store =
            Store::open(&globals.root, globals.driver().or_code(ENGINE)?).or_code(ENGINE)?;
        let hold = store.share().or_code(ENGINE)?;
        let image = find(&store, &self.image, self.pull, self.platform.as_ref());
        let image = image.or_code(ENGINE)?;
        let request = request(self, image, detached)?;
        Ok(Prepared {
            store,
            hold,
            request,
        })
    }
}

/// What the flags ask for, of this image.
fn request(args: Recipe, image: Image, detached: Detached) -> Result<Request, Failure> {
    // There is one answer, which needs no record.
    let Userns::Host = args.userns;
    let healthcheck = healthcheck(&args);
    let mut env = Vec::new();
    for file in &args.env_file {
        env.extend(file.variables().or_code(ENGINE)?);
    }
    // What stands on the command line wins.
    env.extend(args.env);
    let mut all_labels = Vec::new();
    for file in &args.label_file {
        all_labels.extend(file.labels().or_code(ENGINE)?);
    }
    all_labels.extend(args.label);
    let map = |list: Vec<Label>| list.into_iter().map(|label| (label.key, label.value));
    let mut no_new_privileges = None;
    let mut seccomp = Seccomp::default();
    for option in args.security_opt {
        match option {
            SecurityOpt::NoNewPrivileges(wanted) => no_new_privileges = Some(wanted),
            SecurityOpt::Seccomp(wanted) => seccomp = wanted,
        }
    }
    let (mut volumes, mut tmpfs) = (args.volume, args.tmpfs);
    for mount in args.mount {
        match mount {
            Mount::Volume(volume) => volumes.push(volume),
            Mount::Tmpfs(memory) => tmpfs.push(memory),
        }
    }
    let log = LogConfig::new(args.log_driver, args.log_opt).or_code(ENGINE)?;
    let labels = map(all_labels);
    Ok(Request {
        name: args.name,
        id_file: args.cidfile,
        top_layer: image.top().copied(),
        image: ImageUsed {
            reference: args.image,
            id: image.id.to_string(),
        },
        defaults: defaults(image)?,
        wishes: ProcessWishes {
            entrypoint: args.entrypoint,
            cmd: args.command,
            env,
            working_dir: args.workdir,
            user: args.user,
            hostname: args.hostname,
            labels: labels.collect(),
            stop_signal: args.stop_signal,
            tty: args.tty,
            open_stdin: args.interactive,
            stdin_once: args.interactive && detached != Detached::Yes,
            healthcheck,
        },
        host: HostConfig {
            auto_remove: args.rm,
            detached: detached != Detached::No,
            privileged: args.privileged,
            read_only: args.read_only,
            init: args.init,
            no_new_privileges,
            seccomp,
            cap_add: args.cap_add,
            cap_drop: args.cap_drop,
            volumes,
            volumes_from: args.volumes_from,
            tmpfs,
            devices: args.device,
            shm_size: args.shm_size,
            ulimits: args.ulimit,
            memory: args.memory,
            memory_swap: args.memory_swap,
            cpus: args.cpus,
            cpu_shares: args.cpu_shares,
            pids_limit: args.pids_limit,
            cgroup: args.cgroup_parent,
            network: args.network,
            restart: args.restart,
            log,
            stop_timeout: args.stop_timeout,
            domainname: args.domainname,
            group_add: args.group_add,
            extra_hosts: args.add_host,
            dns: args.dns,
            dns_search: args.dns_search,
            dns_options: args.dns_option,
            sysctls: map(args.sysctl).collect(),
            annotations: map(args.annotation).collect(),
            oom_score_adj: args.oom_score_adj,
            memory_reservation: args.memory_reservation,
            cpuset_cpus: args.cpuset_cpus,
            cpuset_mems: args.cpuset_mems,
            cpu_period: args.cpu_period,
            cpu_quota: args.cpu_quota,
            blkio_weight: args.blkio_weight,
        },
    })
}

fn defaults(image: Image) -> Result<ImageDefaults, Failure> {
    let config = image.config.config;
    let stop_signal = match config.stop_signal.as_str() {
        "" => None,
        signal => Some(signal.parse().or_code(ENGINE)?),
    };
    Ok(ImageDefaults {
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        env: config.env,
        working_dir: config.working_dir,
        user: config.user,
        labels: config.labels,
        stop_signal,
        // What is no folder of a container is nobody's volume.
        volumes: config
            .volumes
            .iter()
            .filter_map(|path| in_container(path))
            .collect(),
        healthcheck: config.healthcheck,
        shell: config.shell,
    })
}

/// What the user wants of health checks.
fn healthcheck(args: &Recipe) -> Healthcheck {
    let span = |span: Option<Span>| span.map_or(0, Span::nanoseconds);
    let test = match &args.health_cmd {
        _ if args.no_healthcheck => vec!["NONE".to_owned()],
        Some(command) => vec!["CMD-SHELL".to_owned(), command.clone()],
        None => Vec::new(),
    };
    Healthcheck {
        test,
        interval: span(args.health_interval),
        timeout: span(args.health_timeout),
        start_period: span(args.health_start_period),
        start_interval: span(args.health_start_interval),
        retries: args.health_retries.unwrap_or(0),
    }
}
