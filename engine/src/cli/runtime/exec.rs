//! `keel runtime exec`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, Process};

use super::making::preserved;
use crate::cli::{Failure, Outcome};
use crate::container::foreground;
use crate::oci::{Container, ContainerId, ExecRequest, Paused, Runtime, read_process};

/// Run a further process in a running container
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime exec web ps
  keel-runtime exec --tty --env TERM=xterm web sh
  keel-runtime exec --process process.json --detach --pid-file p web

The process has the user, capabilities, limits and environment of the container's own, but for what
is given here. The exit code is its own, or 128+n if signal n killed it.")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct Args {
    /// Socket that the master side of the terminal is sent to
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// The folder to start in
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// A variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// With a terminal
    #[arg(short, long)]
    tty: bool,
    /// The user, by number
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Further groups, by number
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// File with the whole process, as `process` in config.json
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Do not wait for its end
    #[arg(short, long)]
    detach: bool,
    /// File that the process id is written to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// It can gain no privileges
    #[arg(long)]
    no_new_privs: bool,
    /// A further capability
    #[arg(short, long, value_name = "CAPABILITY")]
    cap: Vec<String>,
    /// How many descriptors behind the standard streams the process gets, too
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    preserve_fds: u16,
    /// A group below the container's own to run in
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,
    /// In a paused container, too
    #[arg(long)]
    ignore_paused: bool,
    /// The container
    #[arg(value_name = "ID")]
    id: ContainerId,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    #[arg(required_unless_present = "process", conflicts_with = "process")]
    command: Vec<String>,
}

/// Runs it.
pub(super) fn run(args: &Args, runtime: &Runtime) -> Outcome {
    let container = runtime.find(&args.id)?;
    container.enter_user_namespace()?;
    let request = ExecRequest {
        process: args.process(&container)?,
        console_socket: args.console_socket.clone(),
        pid_file: args.pid_file.clone(),
        preserve_fds: preserved(args.preserve_fds)?,
        paused: if args.ignore_paused {
            Paused::Allowed
        } else {
            Paused::Refused
        },
        subgroup: args.cgroup.clone(),
    };
    let handed_over = request.console_socket.is_some();
    if args.detach && request.process.terminal() == Some(true) && !handed_over {
        return Err(anyhow!(
            "nobody would be there to take the terminal: give --console-socket, or leave out --detach or --tty"
        )
        .into());
    }
    if !args.detach {
        foreground::hold_signals();
    }
    let (process, console) = container.exec(&request)?;
    if args.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let status = foreground::wait(process.pid(), console.as_ref())?;
    Ok(ExitCode::from(status.code()))
}

impl Args {
    fn process(&self, container: &Container) -> Result<Process, Failure> {
        if let Some(path) = &self.process {
            return Ok(read_process(path)?);
        }
        let mut process = container.process()?;
        process.set_args(Some(self.command.clone()));
        process.set_terminal(Some(self.tty));
        if let Some(cwd) = &self.cwd {
            process.set_cwd(cwd.clone());
        }
        let mut env = process.env().clone().unwrap_or_default();
        env.extend(self.env.iter().cloned());
        process.set_env(Some(env));
        if let Some(user) = &self.user {
            let (uid, gid) = numbers(user)?;
            let mut as_user = process.user().clone();
            as_user.set_uid(uid);
            as_user.set_gid(gid.unwrap_or_else(|| as_user.gid()));
            process.set_user(as_user);
        }
        if !self.additional_gids.is_empty() {
            let mut user = process.user().clone();
            let mut groups = user.additional_gids().clone().unwrap_or_default();
            groups.extend(&self.additional_gids);
            user.set_additional_gids(Some(groups));
            process.set_user(user);
        }
        if let Some(label) = &self.process_label {
            process.set_selinux_label(Some(label.clone()));
        }
        if let Some(profile) = &self.apparmor {
            process.set_apparmor_profile(Some(profile.clone()));
        }
        if self.no_new_privs {
            process.set_no_new_privileges(Some(true));
        }
        if !self.cap.is_empty() {
            let own = process.capabilities().clone().unwrap_or_default();
            process.set_capabilities(Some(self.with_more(own)?));
        }
        Ok(process)
    }

    fn with_more(&self, mut own: LinuxCapabilities) -> Result<LinuxCapabilities, Failure> {
        let more = self.cap.iter().map(|name| capability(name));
        let more = more.collect::<Result<Vec<_>, _>>()?;
        let add = |set: &Option<Capabilities>| {
            let mut set = set.clone().unwrap_or_default();
            set.extend(more.iter().copied());
            Some(set)
        };
        own.set_bounding(add(own.bounding()));
        own.set_permitted(add(own.permitted()));
        own.set_effective(add(own.effective()));
        Ok(own)
    }
}

fn numbers(user: &str) -> Result<(u32, Option<u32>), Failure> {
    let (uid, gid) = match user.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (user, None),
    };
    match (uid.parse(), gid.map(str::parse).transpose()) {
        (Ok(uid), Ok(gid)) => Ok((uid, gid)),
        _ => Err(anyhow!("--user {user:?} must be a number, or two with a colon between").into()),
    }
}

fn capability(name: &str) -> Result<Capability, Failure> {
    let upper = name.to_ascii_uppercase();
    let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
    plain
        .parse()
        .map_err(|_| anyhow!("--cap {name:?} is no capability, such as CAP_NET_ADMIN").into())
}
