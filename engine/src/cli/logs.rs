//! `keel logs`.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::str::FromStr;

use jiff::Timestamp;

use super::events::time;
use super::{Globals, Outcome};
use crate::container::Containers;
use crate::container::logs::{Record, Stream};
use crate::container::options::Malformed;

/// Show what a container said
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel logs web
  keel logs -f --tail 10 web
  keel logs --since 1h --until 10m --details web
  keel logs -t web 2>/dev/null")]
pub(super) struct Args {
    /// Go on until the container ends
    #[arg(short, long)]
    follow: bool,
    /// Show when each line was said
    #[arg(short, long)]
    timestamps: bool,
    /// Show the tag, labels and variables that were asked for with `--log-opt`
    #[arg(long)]
    details: bool,
    /// Only the last lines, or `all`
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    tail: Tail,
    /// Only what was said since then: an age such as `10m`, seconds since 1970, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only what was said before then
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Name or id
    container: String,
}

/// How many of the last lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    All,
    Last(usize),
}

impl FromStr for Tail {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text == "all" {
            return Ok(Self::All);
        }
        let number = text.parse().map(Self::Last);
        number.map_err(|_| Malformed::new(format!("`{text}` is no number"), "`10` or `all`"))
    }
}

/// Shows it: standard output and error each where they belong.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let mut container = Containers::new(&globals.root).find(&args.container)?;
    let mut last = VecDeque::new();
    let mut log = container.log()?;
    while let Some(record) = log.next_record()? {
        match args.tail {
            _ if !args.is_in_time(&record) => {}
            Tail::All => {
                if !show(&record, args)? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            Tail::Last(tail) => {
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
        container.follow_log(&mut log, |record| {
            if args.is_in_time(record) {
                show(record, args)
            } else {
                Ok(args.until.is_none_or(|until| Timestamp::now() < until))
            }
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn is_in_time(&self, record: &Record) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let time = record.time.parse::<Timestamp>();
        time.is_ok_and(|time| {
            self.since.is_none_or(|since| since <= time)
                && self.until.is_none_or(|until| time < until)
        })
    }
}

/// A line as it is shown.
fn shown(record: &Record, args: &Args) -> String {
    let mut text = String::new();
    if args.timestamps {
        text += &record.time;
        text.push(' ');
    }
    if args.details {
        let attrs = record.attrs.iter();
        let attrs: Vec<String> = attrs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        text += &attrs.join(",");
        text.push(' ');
    }
    text + &record.log
}

/// `false`: nobody reads it any more.
fn show(record: &Record, args: &Args) -> io::Result<bool> {
    let text = shown(record, args);
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
