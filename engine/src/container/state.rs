//! What a container came to be, as far as it was recorded, and whether that still holds.

use std::io;

use serde::{Deserialize, Serialize};

use crate::runtime::StartTime;

/// The version of the format of `state.json`.
pub const SCHEMA: &str = "keel.state/1";

/// The exit code of a container whose end nobody saw.
pub const LOST: u8 = 255;

/// The contents of a container's `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`SCHEMA`].
    pub schema: String,
    /// What it is doing.
    pub status: Status,
    /// Its first process; only while running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Incarnation>,
    /// The code that it ended with; 0 before that.
    #[serde(default)]
    pub exit_code: u8,
    /// Whether the kernel ran out of memory for it.
    #[serde(default)]
    pub oom_killed: bool,
    /// Why it did not start, or why its exit code is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// How often it was started again since somebody started it.
    #[serde(default)]
    pub restarts: u32,
    /// When it started, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When it ended, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
}

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, not started.
    Created,
    /// Its first process lives.
    Running,
    /// Its first process has ended, and its monitor is about to start it again.
    Restarting,
    /// Its first process has ended, or never came to be.
    Exited,
}

/// One life of one process: process ids are used again, and start over when the machine does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// Process id in the host's pid namespace.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub start: StartTime,
    /// `/proc/sys/kernel/random/boot_id` of that time.
    pub boot_id: String,
}

/// The boot that this machine is in.
///
/// # Errors
/// Those of reading it.
pub fn boot_id() -> io::Result<String> {
    let mut text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

impl Incarnation {
    /// Whether that very process lives. A zombie does not.
    pub fn lives(&self) -> bool {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) else {
            return false;
        };
        Self::is_alive_and_started_at(&stat, self.start)
            && boot_id().is_ok_and(|boot| boot == self.boot_id)
    }

    /// Judges a line of `/proc/PID/stat`. The name in it may hold brackets and spaces.
    fn is_alive_and_started_at(line: &str, start: StartTime) -> bool {
        let Some((_, behind_name)) = line.rsplit_once(')') else {
            return false;
        };
        let mut fields = behind_name.split_ascii_whitespace();
        let state = fields.next().unwrap_or("X");
        // Field 22 of the line is the 19th after the state, which is field 3.
        let ticks = fields.nth(18).and_then(|ticks| ticks.parse().ok());
        !matches!(state, "Z" | "X" | "x") && ticks == Some(start.0)
    }
}

impl State {
    /// Made, not started.
    pub fn created() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            status: Status::Created,
            process: None,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            restarts: 0,
            started: None,
            finished: None,
        }
    }

    /// Started just `now`, after so many restarts.
    pub fn running(process: Incarnation, now: String, restarts: u32) -> Self {
        Self {
            restarts,
            status: Status::Running,
            process: Some(process),
            started: Some(now),
            ..Self::created()
        }
    }

    /// This state of a container that could not be started.
    #[must_use]
    pub fn not_started(self, exit_code: u8, error: String) -> Self {
        Self {
            status: match self.status {
                Status::Created => Status::Created,
                // It had run before.
                Status::Running | Status::Restarting | Status::Exited => Status::Exited,
            },
            process: None,
            exit_code,
            oom_killed: false,
            error,
            ..self
        }
    }

    /// This state, to be followed by another start.
    #[must_use]
    pub fn to_be_restarted(self) -> Self {
        Self {
            status: Status::Restarting,
            ..self
        }
    }

    /// This state, ended just `now`.
    #[must_use]
    pub fn exited(self, exit_code: u8, now: String) -> Self {
        Self {
            status: Status::Exited,
            process: None,
            exit_code,
            finished: Some(now),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &str, state: &str) -> String {
        format!("7 ({name}) {state} 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 2 3")
    }

    #[test]
    fn this_process_lives_and_another_start_time_is_another_process() {
        let pid = std::process::id();
        let myself = Incarnation {
            pid,
            start: StartTime::of(pid).unwrap(),
            boot_id: boot_id().unwrap(),
        };
        assert!(myself.lives());
        let recycled = Incarnation {
            start: StartTime(myself.start.0 + 1),
            ..myself.clone()
        };
        assert!(!recycled.lives());
        let before_the_reboot = Incarnation {
            boot_id: "another".into(),
            ..myself
        };
        assert!(!before_the_reboot.lives());
    }

    #[test]
    fn zombies_do_not_live_whatever_they_are_called() {
        let alive = Incarnation::is_alive_and_started_at;
        assert!(alive(&stat("sh", "S"), StartTime(4711)));
        assert!(alive(&stat(") Z 1 (", "R"), StartTime(4711)));
        assert!(!alive(&stat("sh", "Z"), StartTime(4711)));
        assert!(!alive("", StartTime(4711)));
    }

    #[test]
    fn states_of_the_first_release_are_read() {
        let text = r#"{"schema":"keel.state/1","status":"exited","exit_code":137}"#;
        let state: State = serde_json::from_str(text).unwrap();
        assert_eq!((state.status, state.exit_code), (Status::Exited, 137));
    }
}
