//! What `inspect` says about a container.

use serde::Deserialize;

/// The part of `inspect`'s answer that cases rely on: Docker's Engine API,
/// `GET /containers/{id}/json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspection {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The state.
    pub state: ContainerState,
}

/// The member `State`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerState {
    /// `created`, `running`, `paused`, `exited`, `dead`.
    pub status: String,
    /// Host process id of the container's process 1; 0 when it doesn't run.
    pub pid: i32,
    /// Meaningful once it has ended.
    pub exit_code: i32,
    /// Whether the kernel killed something in it for want of memory.
    #[serde(default, rename = "OOMKilled")]
    pub oom_killed: bool,
}

impl Inspection {
    /// Reads `inspect`'s answer: an array with one object.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let mut all: Vec<Self> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => Ok(one),
            (None, _) => Err("an empty array".to_owned()),
            (Some(_), false) => Err("more than one object".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_answer_is_read() {
        let json = br#"[{"Id":"ab","Created":"2026-01-01T00:00:00Z","State":{"Status":"exited","Running":false,"OOMKilled":true,"Pid":0,"ExitCode":137}}]"#;
        let seen = Inspection::parse(json).unwrap();
        assert_eq!(
            (seen.state.exit_code, seen.state.oom_killed, seen.state.pid),
            (137, true, 0)
        );
    }

    #[test]
    fn an_answer_without_a_state_is_refused() {
        assert!(Inspection::parse(br#"[{"Id":"ab"}]"#).is_err());
        assert!(Inspection::parse(b"[]").is_err());
        assert!(Inspection::parse(b"").is_err());
    }
}
