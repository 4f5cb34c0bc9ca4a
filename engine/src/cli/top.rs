//! `keel top`.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Globals, Outcome, table, terminal};
use crate::container::{Containers, ProcessRow, process_rows};

/// Show the processes of a running container, with their ids on the host
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel top web
  keel top web -o pid,rss,comm       what the host's `ps` can show of them")]
pub(super) struct Args {
    /// Name or id
    container: String,
    /// Options for the host's `ps`, among them the column `pid`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PS OPTIONS"
    )]
    options: Vec<String>,
}

/// Shows them.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let container = Containers::new(&globals.root).find(&args.container)?;
    terminal::answer(&table_of(&container.pids()?, &args.options)?)?;
    Ok(ExitCode::SUCCESS)
}

/// These processes as a table: with options, the host's `ps` makes it.
pub(super) fn table_of(pids: &[u32], options: &[String]) -> anyhow::Result<String> {
    if !options.is_empty() {
        return by_ps(options, pids);
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let now = Timestamp::now();
    let rows: Vec<Value> = process_rows(pids)?
        .iter()
        .map(|row| shown(row, &users, now))
        .collect();
    Ok(table::render(&COLUMNS, &rows))
}

/// Those of `ps -ef`, which Docker calls.
const COLUMNS: [(&str, &str); 8] = [
    ("UID", "UID"),
    ("PID", "PID"),
    ("PPID", "PPID"),
    ("C", "C"),
    ("STIME", "STIME"),
    ("TTY", "TTY"),
    ("TIME", "TIME"),
    ("CMD", "CMD"),
];

fn shown(row: &ProcessRow, users: &str, now: Timestamp) -> Value {
    let (minutes, seconds) = (row.seconds / 60, row.seconds % 60);
    json!({
        "UID": user(row.uid, users),
        "PID": row.pid,
        "PPID": row.parent,
        "C": row.percent.min(99),
        "STIME": start(row.started, now),
        "TTY": row.terminal,
        "TIME": format!("{:02}:{:02}:{seconds:02}", minutes / 60, minutes % 60),
        "CMD": row.command,
    })
}

/// The host's name for a user.
fn user(uid: u32, users: &str) -> String {
    let number = uid.to_string();
    let line = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then_some(name)
    });
    line.map_or(number, str::to_owned)
}

/// The time of day if it started in the last 24 hours, else the day.
fn start(seconds: i64, now: Timestamp) -> String {
    let Ok(time) = Timestamp::from_second(seconds) else {
        return "?".to_owned();
    };
    let format = if now.as_second() - seconds < 86_400 {
        "%H:%M"
    } else {
        "%b%d"
    };
    time.to_zoned(TimeZone::system())
        .strftime(format)
        .to_string()
}

/// The lines of the host's `ps` about these processes, and its heading.
fn by_ps(options: &[String], pids: &[u32]) -> anyhow::Result<String> {
    let list: Vec<String> = pids.iter().map(u32::to_string).collect();
    let call = |more: &[&str]| {
        let output = Command::new("ps").args(options).args(more).output();
        output.context("cannot call the host's `ps`; without options it is not needed")
    };
    let mut output = call(&["-q", &list.join(",")])?;
    if !output.status.success() {
        // Busybox's lists all processes always, procps's refuses `-q` beside `-e`.
        output = call(&[])?;
    }
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(anyhow!(
            "`ps` does not take these options: {}",
            said.trim_end()
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading
        .split_ascii_whitespace()
        .position(|title| title == "PID");
    let column = column.ok_or_else(|| anyhow!("`ps` with these options shows no column PID"))?;
    let mut shown = format!("{heading}\n");
    for line in lines {
        let pid = line.split_ascii_whitespace().nth(column);
        if pid.is_some_and(|pid| pid.parse().is_ok_and(|pid: u32| pids.contains(&pid))) {
            shown += line;
            shown.push('\n');
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_the_hosts_names() {
        let users = "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n";
        assert_eq!(user(33, users), "web");
        assert_eq!(user(34, users), "34");
    }
}
