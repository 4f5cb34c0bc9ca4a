//! Credentials where Docker keeps them: `config.json`, or the helpers that it names.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::image::reference::DEFAULT_REGISTRY;

/// Why credentials could not be had, or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A system call failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The file.
    #[error("`{}` is not the JSON that it should be: mend or remove it", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// What is stored for a registry.
    #[error("what `{}` has for `{registry}` is no name and password: log in again", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// The registry.
        registry: String,
    },
    /// The name of a helper.
    #[error("`{0}` is no name of a credential helper")]
    HelperName(String),
    /// A helper.
    #[error("the credential helper `{helper}` failed to {verb}: {said}")]
    Helper {
        /// The program.
        helper: String,
        /// What was asked of it.
        verb: &'static str,
        /// What it said.
        said: String,
    },
}

impl CredentialsError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// What a user is known by.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Name and password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token with which others are had (OAuth 2's refresh token).
    IdentityToken(String),
}

/// Secrets are not for logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user})"),
            Self::IdentityToken(_) => write!(f, "IdentityToken"),
        }
    }
}

/// Where credentials are after they were stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In the file, readable to whoever can read it.
    InFile(PathBuf),
    /// With a helper.
    WithHelper(String),
}

/// Docker's `config.json`. What keel does not know in it stays as it is.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    path: PathBuf,
}

const MAX_BYTES: u64 = 1 << 20;

/// What Docker Hub is called in the file.
const HUB: &str = "https://index.docker.io/v1/";

/// The name that helpers and the file use for an identity token's user.
const TOKEN_USER: &str = "<token>";

impl DockerConfig {
    /// The file, which need not be there.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is known for `registry`, as references name it.
    pub fn credentials(&self, registry: &str) -> Result<Option<Credentials>, CredentialsError> {
        let file = self.read()?;
        if let Some(helper) = Helper::of(&file, registry)? {
            return helper.get(server(registry));
        }
        let Some(auths) = file.get("auths").and_then(Value::as_object) else {
            return Ok(None);
        };
        let entry = names(registry)
            .into_iter()
            .find_map(|name| auths.get(&name));
        let Some(entry) = entry else {
            return Ok(None);
        };
        self.entry(entry, registry)
    }

    fn entry(
        &self,
        entry: &Value,
        registry: &str,
    ) -> Result<Option<Credentials>, CredentialsError> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        if !text("identitytoken").is_empty() {
            let token = text("identitytoken").to_owned();
            return Ok(Some(Credentials::IdentityToken(token)));
        }
        if text("auth").is_empty() {
            // With a helper, the entry is there and empty.
            return Ok(
                (!text("username").is_empty()).then(|| Credentials::Password {
                    user: text("username").to_owned(),
                    password: text("password").to_owned(),
                }),
            );
        }
        let malformed = || CredentialsError::Malformed {
            path: self.path.clone(),
            registry: registry.to_owned(),
        };
        let decoded = Base64::decode_vec(text("auth")).map_err(|_| malformed())?;
        let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
        let (user, password) = decoded.split_once(':').ok_or_else(malformed)?;
        Ok(Some(Credentials::Password {
            user: user.to_owned(),
            // Docker has written such ends.
            password: password.trim_end_matches('\0').to_owned(),
        }))
    }

    /// Keeps credentials for `registry`, with its helper if it has one.
    pub fn store(
        &self,
        registry: &str,
        credentials: &Credentials,
    ) -> Result<Kept, CredentialsError> {
        let mut file = self.read()?;
        if let Some(helper) = Helper::of(&file, registry)? {
            helper.store(server(registry), credentials)?;
            return Ok(Kept::WithHelper(helper.program));
        }
        let entry = match credentials {
            Credentials::Password { user, password } => {
                json!({"auth": Base64::encode_string(format!("{user}:{password}").as_bytes())})
            }
            Credentials::IdentityToken(token) => json!({"identitytoken": token}),
        };
        let auths = file
            .entry("auths")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(server(registry).to_owned(), entry);
        }
        self.write(&file)?;
        Ok(Kept::InFile(self.path.clone()))
    }

    /// Forgets what is known for `registry`, and says whether something was.
    pub fn erase(&self, registry: &str) -> Result<bool, CredentialsError> {
        let mut file = self.read()?;
        if let Some(helper) = Helper::of(&file, registry)? {
            let known = helper.get(server(registry))?.is_some();
            if known {
                helper.erase(server(registry))?;
            }
            return Ok(known);
        }
        let Some(auths) = file.get_mut("auths").and_then(Value::as_object_mut) else {
            return Ok(false);
        };
        let before = auths.len();
        for name in names(registry) {
            auths.remove(&name);
        }
        let known = auths.len() < before;
        if known {
            self.write(&file)?;
        }
        Ok(known)
    }

    fn read(&self) -> Result<Map<String, Value>, CredentialsError> {
        let mut text = Vec::new();
        match File::open(&self.path) {
            Ok(file) => file
                .take(MAX_BYTES)
                .read_to_end(&mut text)
                .map_err(CredentialsError::io("read", &self.path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
            Err(error) => return Err(CredentialsError::io("open", &self.path)(error)),
        };
        serde_json::from_slice(&text).map_err(|source| CredentialsError::Json {
            path: self.path.clone(),
            source,
        })
    }

    /// Replaces the file, which only its owner can read then.
    fn write(&self, file: &Map<String, Value>) -> Result<(), CredentialsError> {
        // A link stays one.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let failed = |action| CredentialsError::io(action, &path);
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(failed("create the folder of"))?;
        }
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".new-{}", std::process::id()));
        let new = PathBuf::from(name);
        let write = || -> io::Result<()> {
            let mut out = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)?;
            serde_json::to_writer_pretty(&mut out, file)?;
            out.write_all(b"\n")?;
            out.sync_all()?;
            fs::rename(&new, &path)
        };
        write()
            .inspect_err(|_| drop(fs::remove_file(&new)))
            .map_err(failed("write"))
    }
}

/// The name under which a registry's credentials are stored.
fn server(registry: &str) -> &str {
    if registry == DEFAULT_REGISTRY {
        HUB
    } else {
        registry
    }
}

/// All names under which they may be, the usual one first.
fn names(registry: &str) -> Vec<String> {
    let mut names = vec![server(registry).to_owned()];
    let mut hosts = vec![registry];
    if registry == DEFAULT_REGISTRY {
        hosts.extend(["index.docker.io", "registry-1.docker.io"]);
    }
    for host in hosts {
        names.push(host.to_owned());
        for suffix in ["", "/", "/v1/", "/v2/"] {
            names.push(format!("https://{host}{suffix}"));
            names.push(format!("http://{host}{suffix}"));
        }
    }
    names
}

/// A program that keeps secrets (docker-credential-helpers): the verb is its argument, the rest
/// goes through its standard streams.
struct Helper {
    program: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    username: String,
    secret: String,
}

impl Helper {
    /// The helper for `registry`, if there is one.
    fn of(file: &Map<String, Value>, registry: &str) -> Result<Option<Self>, CredentialsError> {
        let own = file
            .get("credHelpers")
            .and_then(Value::as_object)
            .and_then(|helpers| names(registry).iter().find_map(|name| helpers.get(name)));
        let Some(name) = own
            .or_else(|| file.get("credsStore"))
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
        else {
            return Ok(None);
        };
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !plain {
            return Err(CredentialsError::HelperName(
                name.chars().take(100).collect(),
            ));
        }
        Ok(Some(Self {
            program: format!("docker-credential-{name}"),
        }))
    }

    fn get(&self, server: &str) -> Result<Option<Credentials>, CredentialsError> {
        let said = match self.call("get", server.as_bytes()) {
            Ok(said) => said,
            // The words of the protocol, which has no codes.
            Err(CredentialsError::Helper { said, .. })
                if said.contains("credentials not found") =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let stored: Stored =
            serde_json::from_slice(&said).map_err(|error| self.failed("get", error.to_string()))?;
        Ok(Some(if stored.username == TOKEN_USER {
            Credentials::IdentityToken(stored.secret)
        } else {
            Credentials::Password {
                user: stored.username,
                password: stored.secret,
            }
        }))
    }

    fn store(&self, server: &str, credentials: &Credentials) -> Result<(), CredentialsError> {
        let (username, secret) = match credentials {
            Credentials::Password { user, password } => (user.as_str(), password),
            Credentials::IdentityToken(token) => (TOKEN_USER, token),
        };
        let secret = serde_json::to_vec(&Stored {
            server_url: server.to_owned(),
            username: username.to_owned(),
            secret: secret.clone(),
        })
        .map_err(|error| self.failed("store", error.to_string()))?;
        self.call("store", &secret).map(drop)
    }

    fn erase(&self, server: &str) -> Result<(), CredentialsError> {
        self.call("erase", server.as_bytes()).map(drop)
    }

    fn call(&self, verb: &'static str, input: &[u8]) -> Result<Vec<u8>, CredentialsError> {
        let failed = |error: io::Error| self.failed(verb, error.to_string());
        let mut child = Command::new(&self.program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(input) {
                // One that does not read what it does not need has its reasons.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(failed(error));
                }
                _ => {}
            }
        }
        let mut said = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout
                .take(MAX_BYTES)
                .read_to_end(&mut said)
                .map_err(failed)?;
        }
        if child.wait().map_err(failed)?.success() {
            return Ok(said);
        }
        let text = String::from_utf8_lossy(&said);
        Err(self.failed(verb, super::http::printable(text.trim())))
    }

    fn failed(&self, verb: &'static str, said: String) -> CredentialsError {
        CredentialsError::Helper {
            helper: self.program.clone(),
            verb,
            said,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn password(user: &str, password: &str) -> Credentials {
        Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    fn config(text: &str) -> (tempfile::TempDir, DockerConfig) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, text).unwrap();
        (folder, DockerConfig::new(path))
    }

    #[test]
    fn credentials_are_found_under_all_names_that_docker_has_used() {
        // "me:a:b" in base64.
        let (_folder, config) = config(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6YTpi"},"https://a.b/v2/":{"auth":"bWU6YTpi"},
            "c.d:5000":{"identitytoken":"t"},"empty.example":{}}}"#,
        );
        let known = |registry| config.credentials(registry).unwrap();
        assert_eq!(known("docker.io"), Some(password("me", "a:b")));
        assert_eq!(known("a.b"), Some(password("me", "a:b")));
        let token = Credentials::IdentityToken("t".to_owned());
        assert_eq!(known("c.d:5000"), Some(token));
        for registry in ["c.d", "a.b:443", "empty.example", "b"] {
            assert_eq!(known(registry), None, "{registry}");
        }
    }

    #[test]
    fn what_is_stored_is_found_again_and_can_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let config = DockerConfig::new(folder.path().join("new/config.json"));
        assert_eq!(config.credentials("a.b").unwrap(), None);
        let secret = password("me", "p:ä\n");
        config.store("a.b", &secret).unwrap();
        assert_eq!(config.credentials("a.b").unwrap(), Some(secret));
        assert!(config.erase("a.b").unwrap());
        assert!(!config.erase("a.b").unwrap());
        assert_eq!(config.credentials("a.b").unwrap(), None);
    }

    #[test]
    fn what_is_not_known_stays_and_only_the_owner_can_read_the_file() {
        let (_folder, config) = config(r#"{"HttpHeaders":{"X":"y"},"auths":{"c.d":{"auth":"x"}}}"#);
        config.store("a.b", &password("me", "secret")).unwrap();
        let file: Value = serde_json::from_slice(&fs::read(config.path()).unwrap()).unwrap();
        assert_eq!(file["HttpHeaders"]["X"], "y");
        assert_eq!(file["auths"]["c.d"]["auth"], "x");
        let mode = fs::metadata(config.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn damaged_files_and_entries_are_told() {
        for (text, registry) in [
            ("not json", "a.b"),
            (r#"{"auths":{"a.b":{"auth":"!"}}}"#, "a.b"),
            (r#"{"auths":{"a.b":{"auth":"bWU="}}}"#, "a.b"),
            (r#"{"credsStore":"../../bin/sh"}"#, "a.b"),
            (r#"{"credHelpers":{"a.b":"no-such-helper-here"}}"#, "a.b"),
        ] {
            let (_folder, config) = config(text);
            assert!(config.credentials(registry).is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", password("me", "secret"));
        assert_eq!(shown, "Password(me)");
    }
}
