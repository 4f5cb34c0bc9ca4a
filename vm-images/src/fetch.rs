//! Transfers: over HTTP or from a folder, tried again when they break off, resumed where they
//! stopped, and believed only when length and digest are what the index says.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::{Response, StatusCode, header};
use ureq::unversioned::resolver::DefaultResolver;

use crate::cache::{Cache, CacheError, digest_of, hexadecimal};
use crate::index::Described;
use crate::progress::{Event, Progress};
use crate::proxy::{ForwardingConnector, Proxies};

/// How long a connection may take, and how long nothing may come over it.
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(30);
/// How often a watcher is told of a transfer, in bytes.
const STEP: u64 = 256 << 10;

/// Where OpenSSL, and what is configured for it, keep the certificates that the host trusts.
const CERTIFICATES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The mirror does not have it.
    #[error("the mirror has no {what} ({url}); use another mirror with `--mirror URL`")]
    NotFound {
        /// What was asked for, in words.
        what: String,
        /// Where.
        url: String,
    },
    /// The mirror, or a proxy, says no.
    #[error(
        "{url} is refused with HTTP status {status}; look at the proxy's settings, or use another mirror with `--mirror URL`"
    )]
    Refused {
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// It broke off too often.
    #[error(
        "can't get {url}, tried {attempts} times; what came is kept and the same command goes on from there; `--offline` uses what was fetched before"
    )]
    Transfer {
        /// Where.
        url: String,
        /// How often it was tried without any progress.
        attempts: u32,
        /// What went wrong last.
        source: io::Error,
    },
    /// The file is not the one that the index describes.
    #[error(
        "the {what} from {url} is not what the signed index describes: its SHA-256 is {actual}, it should be {expected}; it was altered or the mirror is broken, and it is not used"
    )]
    WrongDigest {
        /// What it is, in words.
        what: String,
        /// Where it came from.
        url: String,
        /// The digest that the index gives.
        expected: String,
        /// The digest of what came.
        actual: String,
    },
    /// The file is longer than the index, or reason, allows.
    #[error(
        "the {what} from {url} is longer than the {limit} bytes that it may have; it was altered or the mirror is broken, and it is not used"
    )]
    TooLong {
        /// What it is, in words.
        what: String,
        /// Where it came from.
        url: String,
        /// How long it may be.
        limit: u64,
    },
    /// It is wanted without the network, and is not in the cache.
    #[error("the {what} is not in the cache; fetch it once without `--offline`")]
    Offline {
        /// What it is, in words.
        what: String,
    },
    /// The cache can't be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// How often, and how patiently, a transfer is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// How many attempts in a row may bring nothing.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles with each, up to 16 times.
    pub first_pause: Duration,
    /// Waits.
    pub wait: fn(Duration),
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_pause: Duration::from_millis(500),
            wait: std::thread::sleep,
        }
    }
}

/// A file that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Download {
    /// What it is, in words, for messages.
    pub(crate) what: String,
    /// The name under which its progress is shown.
    pub(crate) name: String,
    /// Where it is; the next is asked when one does not have it.
    pub(crate) urls: Vec<String>,
    /// What the index says of it.
    pub(crate) file: Described,
}

/// Gets files from mirrors.
#[derive(Debug)]
pub(crate) struct Fetcher {
    /// For `http` addresses.
    plain: ureq::Agent,
    /// For `https` addresses.
    secure: ureq::Agent,
    retry: Retry,
}

/// How one attempt went wrong.
enum Fault {
    /// Another may go better.
    Passing(io::Error),
    /// It brought something before it broke off.
    Halting(io::Error),
    /// None will.
    Final(FetchError),
}

impl From<CacheError> for Fault {
    fn from(error: CacheError) -> Self {
        Self::Final(error.into())
    }
}

impl Fetcher {
    /// A fetcher that uses these proxies and the certificates that the host trusts.
    pub(crate) fn new(retry: Retry, proxies: &Proxies) -> Self {
        let roots = trusted_certificates();
        Self {
            plain: agent(proxies.http.clone(), roots.clone()),
            secure: agent(proxies.https.clone(), roots),
            retry,
        }
    }

    /// A small file whose digest is not known beforehand: a signed index.
    pub(crate) fn small(
        &self,
        what: &str,
        url: &str,
        limit: u64,
        progress: &dyn Progress,
    ) -> Result<Vec<u8>, FetchError> {
        self.persist(url, url, progress, &mut || {
            let mut bytes = Vec::new();
            let mut body = self.open(what, url, None)?.body;
            body.by_ref()
                .take(limit + 1)
                .read_to_end(&mut bytes)
                .map_err(Fault::Passing)?;
            if bytes.len() as u64 > limit {
                return Err(Fault::Final(FetchError::TooLong {
                    what: what.to_owned(),
                    url: url.to_owned(),
                    limit,
                }));
            }
            Ok(std::mem::take(&mut bytes))
        })
    }

    /// A file of the archive, put into the cache under its digest; its path there.
    pub(crate) fn file(
        &self,
        wanted: &Download,
        cache: &Cache,
        progress: &dyn Progress,
    ) -> Result<PathBuf, FetchError> {
        if let Some(blob) = cached(wanted, cache)? {
            return Ok(blob);
        }
        let mut missing = None;
        for url in &wanted.urls {
            let attempt = &mut || self.resume(wanted, url, cache, progress);
            match self.persist(url, &wanted.name, progress, attempt) {
                Ok(path) => {
                    progress.event(&Event::Finished { file: &wanted.name });
                    return Ok(path);
                }
                Err(error @ FetchError::NotFound { .. }) => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(missing.unwrap_or_else(|| FetchError::Offline {
            what: wanted.what.clone(),
        }))
    }

    /// Tries until it succeeds, fails for good, or brings nothing several times in a row.
    fn persist<T>(
        &self,
        url: &str,
        name: &str,
        progress: &dyn Progress,
        attempt: &mut dyn FnMut() -> Result<T, Fault>,
    ) -> Result<T, FetchError> {
        let mut failures = 0;
        loop {
            let error = match attempt() {
                Ok(result) => return Ok(result),
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Passing(error)) => {
                    failures += 1;
                    error
                }
                // A transfer that moves, however haltingly, is not given up.
                Err(Fault::Halting(error)) => {
                    failures = 1;
                    error
                }
            };
            if failures >= self.retry.attempts {
                return Err(FetchError::Transfer {
                    url: url.to_owned(),
                    attempts: failures,
                    source: error,
                });
            }
            let pause = self.retry.first_pause * (1 << (failures - 1).min(4));
            progress.event(&Event::Retrying {
                file: name,
                why: &error.to_string(),
                pause,
            });
            (self.retry.wait)(pause);
        }
    }

    /// One attempt: goes on with what is there, and checks the whole at its end.
    fn resume(
        &self,
        wanted: &Download,
        url: &str,
        cache: &Cache,
        progress: &dyn Progress,
    ) -> Result<PathBuf, Fault> {
        let path = cache.partial(&wanted.file.sha256);
        let disk = |action, source| Fault::from(CacheError::new(action, &path, source));
        cache.make_parent(&path)?;
        let kept = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        // More than the file may have is another file's.
        let kept = if kept > wanted.file.size { 0 } else { kept };
        let partial = if kept == wanted.file.size {
            // Whole, but for its check: the process ended right before it.
            let mut file = File::open(&path).map_err(|e| disk("open", e))?;
            Partial::read(&mut file).map_err(|e| disk("read", e))?
        } else {
            let tag = path.with_extension("etag");
            let etag = fs::read_to_string(&tag).ok();
            let range = (kept > 0).then_some((kept, etag.as_deref()));
            let answer = self.open(&wanted.what, url, range)?;
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(!answer.continues)
                .open(&path)
                .map_err(|e| disk("open", e))?;
            let mut partial = Partial::read(&mut file).map_err(|e| disk("read", e))?;
            match &answer.etag {
                Some(etag) => cache.write(&tag, etag.as_bytes())?,
                None => drop(fs::remove_file(&tag)),
            }
            let result = partial.fill(answer.body, &mut file, wanted, progress);
            file.sync_data().map_err(|e| disk("write", e))?;
            match result {
                Ok(()) => {}
                Err(Stop::Disk(error)) => return Err(disk("write", error)),
                Err(Stop::TooLong) => {
                    drop(fs::remove_file(&path));
                    return Err(Fault::Final(FetchError::TooLong {
                        what: wanted.what.clone(),
                        url: url.to_owned(),
                        limit: wanted.file.size,
                    }));
                }
                Err(Stop::Broken(error)) if partial.length > kept => {
                    return Err(Fault::Halting(error));
                }
                Err(Stop::Broken(error)) => return Err(Fault::Passing(error)),
            }
            partial
        };
        let actual = hexadecimal(partial.hash);
        drop(fs::remove_file(path.with_extension("etag")));
        if actual != wanted.file.sha256 {
            fs::remove_file(&path).map_err(|e| disk("remove", e))?;
            if kept > 0 {
                // The first part may be left of another file; once from the start decides.
                return Err(Fault::Passing(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "what was kept of an earlier attempt does not fit",
                )));
            }
            return Err(Fault::Final(FetchError::WrongDigest {
                what: wanted.what.clone(),
                url: url.to_owned(),
                expected: wanted.file.sha256.clone(),
                actual,
            }));
        }
        let blob = cache.blob(&wanted.file.sha256);
        cache.make_parent(&blob)?;
        fs::rename(&path, &blob).map_err(|e| disk("keep", e))?;
        Ok(blob)
    }

    /// Asks for a file, or for the rest of it from a byte on.
    fn open(
        &self,
        what: &str,
        url: &str,
        range: Option<(u64, Option<&str>)>,
    ) -> Result<Answer, Fault> {
        let not_found = || {
            Fault::Final(FetchError::NotFound {
                what: what.to_owned(),
                url: url.to_owned(),
            })
        };
        if let Some(path) = local(url) {
            return match File::open(path) {
                Ok(file) => Ok(Answer {
                    continues: false,
                    etag: None,
                    body: Box::new(file),
                }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_found()),
                Err(error) => Err(Fault::Passing(error)),
            };
        }
        let agent = if url.starts_with("https:") {
            &self.secure
        } else {
            &self.plain
        };
        let mut request = agent.get(url);
        if let Some((from, etag)) = range {
            request = request.header(header::RANGE, format!("bytes={from}-"));
            if let Some(etag) = etag {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        let response = request
            .call()
            .map_err(|error| Fault::Passing(error.into_io()))?;
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::PARTIAL_CONTENT => {
                let from = range.map(|(from, _)| from);
                if from.is_none() || content_start(&response) != from {
                    return Err(Fault::Passing(io::Error::other(
                        "the server sent another part than was asked for",
                    )));
                }
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(not_found()),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                return Err(Fault::Passing(io::Error::other(format!(
                    "HTTP status {status}"
                ))));
            }
            _ if status.is_server_error() => {
                return Err(Fault::Passing(io::Error::other(format!(
                    "HTTP status {status}"
                ))));
            }
            _ => {
                return Err(Fault::Final(FetchError::Refused {
                    url: url.to_owned(),
                    status: status.as_u16(),
                }));
            }
        }
        let etag = response
            .headers()
            .get(header::ETAG)
            .and_then(|tag| tag.to_str().ok())
            // Weak ones say nothing about bytes (RFC 9110, 13.1.5).
            .filter(|tag| tag.starts_with('"'))
            .map(str::to_owned);
        Ok(Answer {
            continues: status == StatusCode::PARTIAL_CONTENT,
            etag,
            body: Box::new(response.into_body().into_reader()),
        })
    }
}

/// The file in the cache, if it is there and whole.
pub(crate) fn cached(wanted: &Download, cache: &Cache) -> Result<Option<PathBuf>, CacheError> {
    let blob = cache.blob(&wanted.file.sha256);
    let file = match File::open(&blob) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CacheError::new("open", &blob, error)),
    };
    let (sha256, _) = digest_of(file).map_err(|e| CacheError::new("read", &blob, e))?;
    if sha256 == wanted.file.sha256 {
        return Ok(Some(blob));
    }
    tracing::warn!(path = %blob.display(), "damaged in the cache, removed");
    fs::remove_file(&blob).map_err(|e| CacheError::new("remove", &blob, e))?;
    Ok(None)
}

/// What a server answers with.
struct Answer {
    /// Whether the body goes on where the request said.
    continues: bool,
    etag: Option<String>,
    body: Box<dyn Read>,
}

/// What is there of a file.
struct Partial {
    length: u64,
    hash: Sha256,
}

enum Stop {
    Broken(io::Error),
    Disk(io::Error),
    TooLong,
}

impl Partial {
    /// Reads what an earlier attempt left, to the file's end.
    fn read(file: &mut File) -> io::Result<Self> {
        let mut hash = Sha256::new();
        let length = io::copy(file, &mut hash)?;
        Ok(Self { length, hash })
    }

    /// Appends the body until the file is whole.
    fn fill(
        &mut self,
        mut body: Box<dyn Read>,
        file: &mut File,
        wanted: &Download,
        progress: &dyn Progress,
    ) -> Result<(), Stop> {
        let name = &wanted.name;
        progress.event(&Event::Started {
            file: name,
            done: self.length,
            total: wanted.file.size,
        });
        let mut told = self.length;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Stop::Broken(error)),
            };
            if count == 0 {
                break;
            }
            let bytes = buffer.get(..count).unwrap_or_default();
            if self.length + count as u64 > wanted.file.size {
                return Err(Stop::TooLong);
            }
            file.write_all(bytes).map_err(Stop::Disk)?;
            self.hash.update(bytes);
            self.length += count as u64;
            if self.length - told >= STEP {
                told = self.length;
                progress.event(&Event::Advanced {
                    file: name,
                    done: told,
                });
            }
        }
        if self.length < wanted.file.size {
            return Err(Stop::Broken(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "it broke off after {} of {} bytes",
                    self.length, wanted.file.size
                ),
            )));
        }
        Ok(())
    }
}

/// The first byte of a partial answer: `bytes 100-199/200`.
fn content_start<B>(response: &Response<B>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?;
    let range = range.to_str().ok()?.strip_prefix("bytes ")?;
    range.split('-').next()?.parse().ok()
}

/// An HTTP client that goes through this proxy.
fn agent(proxy: Option<ureq::Proxy>, roots: Option<ureq::tls::RootCerts>) -> ureq::Agent {
    let mut config = ureq::Agent::config_builder()
        .proxy(proxy)
        .http_status_as_error(false)
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .user_agent(concat!("seaworthy/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity");
    if let Some(roots) = roots {
        config = config.tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build());
    }
    ureq::Agent::with_parts(
        config.build(),
        ForwardingConnector::default(),
        DefaultResolver::default(),
    )
}

/// The path of a `file:` address.
fn local(url: &str) -> Option<&Path> {
    let path = url.strip_prefix("file:")?;
    Some(Path::new(path.strip_prefix("//").unwrap_or(path)))
}

/// The certificates that the host trusts, which may include an organisation's own; none where it
/// has no bundle, and Mozilla's that are compiled in serve.
fn trusted_certificates() -> Option<ureq::tls::RootCerts> {
    let configured = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let bundles = CERTIFICATES.iter().map(PathBuf::from);
    let bundle = configured
        .into_iter()
        .chain(bundles)
        .find_map(|path| fs::read(path).ok())?;
    let certificates: Vec<_> = ureq::tls::parse_pem(&bundle)
        .filter_map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    (!certificates.is_empty()).then(|| ureq::tls::RootCerts::new_with_certs(&certificates))
}

#[cfg(test)]
mod tests;
