//! `keel logs`.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::process::ExitCode;

use super::{Globals, Outcome};
use crate::container::Containers;
use crate::container::logs::{Record, Stream};

/// Show what a container said
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel logs web
  keel logs -f --tail 10 web
  keel logs -t web 2>/dev/null")]
pub(super) struct Args {
    /// Go on until the container ends
    #[arg(short, long)]
    follow: bool,
    /// Show when each line was said
    #[arg(short, long)]
    timestamps: bool,
    /// Only the last lines
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<usize>,
    /// Name or id
    container: String,
}

/// Shows it: standard output and error each where they belong.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let mut container = Containers::new(&globals.root).find(&args.container)?;
    let mut last = VecDeque::new();
    let mut log = container.log()?;
    while let Some(record) = log.next_record()? {
        match args.tail {
            None => {
                if !show(&record, args)? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            Some(tail) => {
                last.push_back(record);
                if last.len() > tail {
                    last.pop_front();
                }
            }
        }
    }
    for record in &last {
        if !show(record, args)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if args.follow {
        container.follow_log(&mut log, |record| show(record, args))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `false`: nobody reads it any more.
fn show(record: &Record, args: &Args) -> io::Result<bool> {
    let text = if args.timestamps {
        format!("{} {}", record.time, record.log)
    } else {
        record.log.clone()
    };
    let written = match record.stream {
        Stream::Stdout => {
            let mut stdout = io::stdout().lock();
            stdout
                .write_all(text.as_bytes())
                .and_then(|()| stdout.flush())
        }
        Stream::Stderr => io::stderr().lock().write_all(text.as_bytes()),
    };
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
