//! What can go wrong between here and a registry.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::image::digest::Digest;
use crate::image::registry::CredentialsError;

/// Why a registry did not give, or take, what was wanted.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No connection, or it broke off, also when tried again.
    #[error("cannot reach `{url}`{}", tries(*attempts))]
    Unreachable {
        /// What was asked.
        url: String,
        /// How often.
        attempts: u32,
        /// What went wrong last.
        #[source]
        source: io::Error,
    },
    /// TLS failed.
    #[error(
        "no secure connection to `{host}`; if its certificate is of an authority of your own, put that into `/etc/docker/certs.d/{host}/ca.crt`"
    )]
    Tls {
        /// The registry.
        host: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// What comes, comes too slowly.
    #[error("`{0}` sends next to nothing: given up")]
    Slow(String),
    /// Wrong or no credentials, or nothing of that name; registries do not tell which.
    #[error(
        "registry `{registry}` denies access{}: log in with `keel login {registry}`, or see whether the name is right",
        said(detail)
    )]
    Denied {
        /// The registry.
        registry: String,
        /// What it says.
        detail: String,
    },
    /// Not there.
    #[error("registry `{registry}` has no {what}{}", said(detail))]
    NotFound {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// What it says.
        detail: String,
    },
    /// Another status than the protocol has there.
    #[error("`{url}` answers with HTTP status {status}{}", said(detail))]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// What it says.
        detail: String,
    },
    /// Something else than the protocol has there.
    #[error("`{url}` answers with {what}: is it a registry?")]
    Answer {
        /// What was asked.
        url: String,
        /// What came.
        what: String,
    },
    /// More than there may be.
    #[error("{what} from `{registry}` is larger than the {limit} bytes that it may have")]
    TooLarge {
        /// The registry.
        registry: String,
        /// What.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// Other bytes than were asked for.
    #[error("{what} from `{registry}` has {mismatch}: it is not used")]
    Digest {
        /// The registry.
        registry: String,
        /// What.
        what: String,
        /// What came, and what was asked for.
        mismatch: Box<Mismatch>,
    },
    /// A pointer to where nothing is asked.
    #[error("`{from}` points to `{to}`, where nothing is asked: {why}")]
    Away {
        /// Who points.
        from: String,
        /// Where to.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// A 401 without a challenge that we can answer.
    #[error(
        "registry `{0}` wants a kind of authentication that keel does not know; it knows Basic and Bearer"
    )]
    Challenge(String),
    /// Stored credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Certificates and keys of the user.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Another part of the same work failed.
    #[error("stopped, as another part failed")]
    Stopped,
}

/// Bytes that are others than they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// Of what came.
    pub found: Digest,
    /// Of what came.
    pub found_bytes: u64,
    /// Of what was asked for.
    pub expected: Digest,
    /// Of what was asked for, if that is known.
    pub expected_bytes: Option<u64>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            found,
            found_bytes,
            expected,
            ..
        } = self;
        write!(
            f,
            "digest {found} and {found_bytes} bytes instead of {expected}"
        )?;
        match self.expected_bytes {
            Some(bytes) => write!(f, " and {bytes} bytes"),
            None => Ok(()),
        }
    }
}

impl RegistryError {
    pub(super) fn file<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source: source.into(),
        }
    }
}

fn tries(attempts: u32) -> String {
    if attempts > 1 {
        format!(", tried {attempts} times")
    } else {
        String::new()
    }
}

fn said(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(" (it says: {detail})")
    }
}
