//! `keel start`.

use super::attach::{Detaching, Keys, Proxy, exit_code};
use super::{FAILED, Failure, Globals, Outcome, each, terminal};
use crate::container::{Containers, Interaction, TakeInput};

/// Start containers that were made or have ended
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel start web
  keel start -ai shell
  keel start $(keel ps -aq --filter status=exited)")]
pub(super) struct Args {
    /// See what it says, and have its exit code; of one container only
    #[arg(short, long)]
    attach: bool,
    /// Also pass standard input on
    #[arg(short, long)]
    interactive: bool,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    proxy: Proxy,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Several containers cannot share one terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("only one container can be attached to: start the others without `-a` and `-i`")]
struct OneOnly;

/// Starts them. One that runs is left alone, as Docker does.
pub(super) fn run(args: Args, globals: &Globals) -> Outcome {
    if !args.attach && !args.interactive {
        return each::for_each(globals, &args.containers, |mut container| {
            container.start().map(|()| None)
        });
    }
    let [given] = args.containers.as_slice() else {
        return Err(Failure::new(FAILED, OneOnly));
    };
    let mut container = Containers::new(&globals.root).find(given)?;
    let process = &container.config().process;
    if args.interactive && process.tty && process.open_stdin {
        terminal::for_typing()?;
    }
    let left = container.start_and_attach(Interaction {
        keys: args.keys.keys,
        input: if args.interactive {
            TakeInput::Yes
        } else {
            TakeInput::No
        },
        signals: args.proxy.signals(),
    })?;
    Ok(exit_code(left, Detaching::IsFine))
}
