//! What the environment says about registries.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::image::registry::DockerConfig;

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Registries, `host[:port]`, that may be spoken to without TLS. Those on this machine always
    /// may.
    pub insecure: Vec<String>,
    /// Credentials.
    pub config: DockerConfig,
    /// Has a folder `host[:port]` for each registry with authorities and client certificates of
    /// its own.
    pub certificates: PathBuf,
    /// The authorities that are trusted, in place of the system's.
    pub authorities: Option<PathBuf>,
    /// When to give up.
    pub patience: Patience,
    /// When to try again.
    pub retry: Retry,
    /// Bytes of a blob that are uploaded at once; larger ones go in parts of this size.
    pub part_bytes: u64,
}

/// When to give up waiting.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For an answer to begin, and for its next bytes.
    pub silence: Duration,
    /// For [`least_bytes`](Self::least_bytes) of an answer.
    pub window: Duration,
    /// What has to come in each window: a server that sends a byte now and then must not keep us
    /// (slow-loris).
    pub least_bytes: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            window: Duration::from_secs(60),
            least_bytes: 4096,
        }
    }
}

/// How often, and how patiently, something is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// How many attempts in a row may bring nothing.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause that a registry can ask for.
    pub longest_pause: Duration,
    /// Waits.
    pub wait: fn(Duration),
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 4,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
            wait: std::thread::sleep,
        }
    }
}

/// The variable that names registries without TLS, separated by commas.
const INSECURE: &str = "KEEL_INSECURE_REGISTRIES";

impl Settings {
    /// As the variables that `get` knows say: `DOCKER_CONFIG`, `SSL_CERT_FILE`, `HOME` and
    /// `KEEL_INSECURE_REGISTRIES`.
    pub fn from_environment(get: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| {
            get(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home = || path("HOME").unwrap_or_else(|| PathBuf::from("/root"));
        let folder = path("DOCKER_CONFIG").unwrap_or_else(|| home().join(".docker"));
        let insecure = get(INSECURE).unwrap_or_default();
        let insecure = insecure.to_string_lossy();
        Self {
            insecure: insecure
                .split(',')
                .map(str::trim)
                .filter(|host| !host.is_empty())
                .map(str::to_owned)
                .collect(),
            config: DockerConfig::new(folder.join("config.json")),
            certificates: PathBuf::from("/etc/docker/certs.d"),
            authorities: path("SSL_CERT_FILE"),
            patience: Patience::default(),
            retry: Retry::default(),
            part_bytes: 64 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_say_where_things_are() {
        let get = |name: &str| match name {
            "HOME" => Some("/home/me".into()),
            "KEEL_INSECURE_REGISTRIES" => Some("a.b:5000, c.d,".into()),
            _ => None,
        };
        let settings = Settings::from_environment(get);
        assert_eq!(settings.insecure, ["a.b:5000", "c.d"]);
        let config = settings.config.path().to_owned();
        assert_eq!(config, PathBuf::from("/home/me/.docker/config.json"));
        let settings = Settings::from_environment(|name| {
            (name == "DOCKER_CONFIG").then(|| "/elsewhere".into())
        });
        let config = settings.config.path().to_owned();
        assert_eq!(config, PathBuf::from("/elsewhere/config.json"));
    }
}
