//! What `keel run` and `keel create` make a container of: the flags that they share.

use std::path::PathBuf;

use super::{ENGINE, Failure, Globals, WithCode};
use crate::container::Request;
use crate::container::config::{HostConfig, ImageDefaults, ImageUsed, ProcessWishes};
use crate::container::name::Name;
use crate::container::options::in_container;
use crate::container::options::{
    Bytes, CapabilityChange, Cpus, Device, EnvVar, Label, Mount, Network, Seccomp, SecurityOpt,
    Signal, SwapLimit, Tmpfs, Ulimit, Userns, Volume, VolumesFrom,
};
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
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// With a terminal
    #[arg(short, long)]
    tty: bool,
    /// Run a small init as process 1, which passes signals on and reaps orphans
    #[arg(long)]
    init: bool,

    /// Another beginning of the command than the image's
    #[arg(long, value_name = "PROGRAM", help_heading = "Process")]
    entrypoint: Option<String>,
    /// A variable; without a value, that of the caller
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "Process")]
    env: Vec<EnvVar>,
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
    /// What `keel stop` sends [default: the image's, or SIGTERM]
    #[arg(long, value_name = "SIGNAL", help_heading = "Process")]
    stop_signal: Option<Signal>,

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
        let image = store.resolve(&self.image).or_code(ENGINE)?;
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
    let labels = args.label.into_iter().map(|label| (label.key, label.value));
    Ok(Request {
        name: args.name,
        top_layer: image.top().copied(),
        image: ImageUsed {
            reference: args.image,
            id: image.id.to_string(),
        },
        defaults: defaults(image)?,
        wishes: ProcessWishes {
            entrypoint: args.entrypoint,
            cmd: args.command,
            env: args.env,
            working_dir: args.workdir,
            user: args.user,
            hostname: args.hostname,
            labels: labels.collect(),
            stop_signal: args.stop_signal,
            tty: args.tty,
            open_stdin: args.interactive,
        },
        host: HostConfig {
            auto_remove: args.rm,
            detached: detached == Detached::Yes,
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
    })
}
