//! `keel attach`.

use std::process::ExitCode;

use super::{FAILED, Globals, Outcome, terminal};
use crate::container::{Containers, DetachKeys, Interaction, Left, SigProxy, TakeInput};

/// Take part in a running container: see what it says, and type into it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel attach web
  keel attach --detach-keys ctrl-a,d shell
  keel attach --no-stdin --sig-proxy=false web

The exit code is the container's. Several may be attached to one container.")]
pub(super) struct Args {
    #[command(flatten)]
    keys: Keys,
    /// Do not pass standard input on
    #[arg(long)]
    no_stdin: bool,
    #[command(flatten)]
    proxy: Proxy,
    /// Name or id
    container: String,
}

/// `--detach-keys`, of every verb that attaches.
#[derive(Debug, clap::Args)]
pub(super) struct Keys {
    /// What to type to leave it running: keys such as `a` or `ctrl-a`, with commas between
    #[arg(long = "detach-keys", value_name = "KEYS", default_value_t)]
    pub(super) keys: DetachKeys,
}

/// `--sig-proxy`, of every verb that attaches.
#[derive(Debug, clap::Args)]
pub(super) struct Proxy {
    /// Pass signals on, unless it has a terminal [default: true]
    #[arg(
        long = "sig-proxy",
        value_name = "BOOL",
        default_value_t = true,
        hide_default_value = true,
        hide_possible_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    wanted: bool,
}

impl Proxy {
    pub(super) fn signals(&self) -> SigProxy {
        if self.wanted {
            SigProxy::Yes
        } else {
            SigProxy::No
        }
    }
}

/// Takes part.
pub(super) fn run(args: Args, globals: &Globals) -> Outcome {
    let container = Containers::new(&globals.root).find(&args.container)?;
    let process = &container.config().process;
    let input = if args.no_stdin {
        TakeInput::No
    } else {
        TakeInput::Yes
    };
    if process.tty && process.open_stdin && input == TakeInput::Yes {
        terminal::for_typing()?;
    }
    let left = container.attach(Interaction {
        keys: args.keys.keys,
        input,
        signals: args.proxy.signals(),
    })?;
    Ok(exit_code(left, Detaching::IsTold))
}

/// What `attach` and `exec` make of being left, and `run` and `start` do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detaching {
    /// It is told, and is no success: the end of the command was not seen.
    IsTold,
    /// It is what was asked for.
    IsFine,
}

/// Docker's exit code.
pub(super) fn exit_code(left: Left, detaching: Detaching) -> ExitCode {
    match (left, detaching) {
        (Left::Exited(code), _) => ExitCode::from(code),
        (Left::Detached, Detaching::IsFine) => ExitCode::SUCCESS,
        (Left::Detached, Detaching::IsTold) => {
            terminal::message("read escape sequence");
            ExitCode::from(FAILED)
        }
        (Left::Interrupted(signal), _) => {
            ExitCode::from(128_u8.saturating_add(u8::try_from(signal).unwrap_or(127)))
        }
    }
}
