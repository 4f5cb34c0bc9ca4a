//! One request and its answer: redirects are followed by rule, passing failures tried again.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::{Method, Request, StatusCode, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, SendBody};

use crate::image::registry::endpoint::{Endpoint, is_local_address, resolve};
use crate::image::registry::paced::{Crawls, Paced};
use crate::image::registry::{Patience, RegistryError, Retry, Settings, trust};

/// Redirects that are followed, as Go's HTTP client does.
const MAX_REDIRECTS: usize = 10;

/// Bytes of an error's text that are read.
const MAX_DETAIL: u64 = 64 << 10;

/// Sends requests to a registry, and to where it points.
#[derive(Debug)]
pub(super) struct Http {
    endpoint: Endpoint,
    /// For the registry itself.
    home: Agent,
    /// For all others: if the registry is not on this machine, neither is what it points to.
    away: Agent,
    patience: Patience,
    retry: Retry,
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Body<'a>,
}

/// What a request carries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    /// A stretch of a file.
    Part {
        file: &'a File,
        offset: u64,
        length: u64,
    },
}

/// An answer, of which the body is still to come.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Box<dyn Read + Send>,
    /// Where it came from.
    pub(super) uri: Uri,
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            headers: HeaderMap::new(),
            body: Body::None,
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    pub(super) fn body(mut self, body: Body<'a>) -> Self {
        self.body = body;
        self
    }
}

impl Answer {
    /// A header's text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the registry says about a failure, in a form that can be printed: the messages of its
    /// errors (distribution-spec, "Error Codes"), or nothing.
    pub(super) fn detail(self) -> String {
        #[derive(serde::Deserialize)]
        struct Errors {
            errors: Vec<Entry>,
        }
        #[derive(serde::Deserialize)]
        struct Entry {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let mut text = Vec::new();
        // A detail that cannot be read is not what went wrong.
        drop(self.body.take(MAX_DETAIL).read_to_end(&mut text));
        let Ok(Errors { errors }) = serde_json::from_slice(&text) else {
            return String::new();
        };
        let told = errors.into_iter().take(3).map(|entry| {
            if entry.message.is_empty() {
                entry.code
            } else {
                entry.message
            }
        });
        printable(&told.collect::<Vec<_>>().join("; "))
    }
}

/// A foreign text on one line of a terminal: at most 300 characters, controls escaped.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .take(300)
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// What became of one attempt.
enum Attempt {
    Answered(Answer),
    /// Another attempt may go better.
    Passing {
        source: io::Error,
        pause: Option<Duration>,
    },
}

impl Http {
    pub(super) fn new(endpoint: Endpoint, settings: &Settings) -> Result<Self, RegistryError> {
        let patience = settings.patience;
        let config = |tls| {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .timeout_resolve(Some(patience.connect))
                .timeout_connect(Some(patience.connect))
                .timeout_recv_response(Some(patience.silence))
                .timeout_per_read(Some(patience.silence))
                .timeout_per_write(Some(patience.silence))
                .user_agent(concat!("keel/", env!("CARGO_PKG_VERSION")))
                .accept_encoding("identity")
                .tls_config(tls)
                .build()
        };
        // Certificates of the registry are for the registry alone.
        let home = config(trust::tls(&endpoint.host, settings)?);
        let away = config(trust::tls("", settings)?);
        let away = if endpoint.is_here() {
            Agent::new_with_config(away)
        } else {
            Agent::with_parts(away, DefaultConnector::default(), Elsewhere::default())
        };
        Ok(Self {
            home: Agent::new_with_config(home),
            away,
            endpoint,
            patience,
            retry: settings.retry,
        })
    }

    pub(super) fn retry(&self) -> Retry {
        self.retry
    }

    /// Sends a request, follows where it leads, and tries again what may go better.
    pub(super) fn send(&self, ask: &Ask<'_>) -> Result<Answer, RegistryError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (source, pause) = match self.follow(ask)? {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Passing { source, pause } => (source, pause),
            };
            if attempts >= self.retry.attempts {
                return Err(failure(&ask.uri, attempts, source));
            }
            let doubled = self.retry.first_pause * (1 << (attempts - 1).min(5));
            (self.retry.wait)(pause.unwrap_or(doubled).min(self.retry.longest_pause));
        }
    }

    /// Sends a request once, and follows nothing.
    pub(super) fn once(&self, ask: &Ask<'_>) -> io::Result<Answer> {
        self.attempt(ask)
    }

    fn follow(&self, ask: &Ask<'_>) -> Result<Attempt, RegistryError> {
        let mut ask = ask.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = match self.attempt(&ask) {
                Ok(answer) => answer,
                Err(source) if breaks_off(&source) => {
                    let pause = None;
                    return Ok(Attempt::Passing { source, pause });
                }
                Err(source) => return Err(failure(&ask.uri, 1, source)),
            };
            if let Some(why) = passing(answer.status) {
                let pause = pause(&answer.headers);
                let source = io::Error::other(why);
                return Ok(Attempt::Passing { source, pause });
            }
            let reading = matches!(ask.method, Method::GET | Method::HEAD);
            if !answer.status.is_redirection() || !reading {
                return Ok(Attempt::Answered(answer));
            }
            let Some(location) = answer.header(&header::LOCATION) else {
                return Ok(Attempt::Answered(answer));
            };
            let to = resolve(&ask.uri, location).ok_or_else(|| RegistryError::Away {
                from: ask.uri.to_string(),
                to: printable(location),
                why: "it is no address",
            })?;
            self.endpoint.allow(&ask.uri, &to)?;
            // Credentials are for whom they were made (CVE-2020-15157, CVE-2018-18074).
            if to.authority() != ask.uri.authority() {
                ask.headers.remove(header::AUTHORIZATION);
            }
            ask.uri = to;
        }
        Err(RegistryError::Answer {
            url: ask.uri.to_string(),
            what: format!("more than {MAX_REDIRECTS} redirects in a row"),
        })
    }

    fn attempt(&self, ask: &Ask<'_>) -> io::Result<Answer> {
        let agent = if self.endpoint.has(&ask.uri) {
            &self.home
        } else {
            &self.away
        };
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(ask.uri.clone());
        if let Some(headers) = request.headers_mut() {
            headers.extend(ask.headers.clone());
        }
        let failed = ureq::Error::into_io;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let response = match ask.body {
            Body::None => agent.run(request.body(()).map_err(invalid)?),
            Body::Bytes(bytes) => agent.run(request.body(bytes).map_err(invalid)?),
            Body::Part {
                file,
                offset,
                length,
            } => {
                let mut part = Part {
                    file,
                    offset,
                    left: length,
                };
                let request = request.header(header::CONTENT_LENGTH, length);
                agent.run(
                    request
                        .body(SendBody::from_reader(&mut part))
                        .map_err(invalid)?,
                )
            }
        }
        .map_err(failed)?;
        let (parts, body) = response.into_parts();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: Box::new(Paced::new(body.into_reader(), self.patience)),
            uri: ask.uri.clone(),
        })
    }
}

/// What is told of a transfer that failed for good.
pub(super) fn failure(uri: &Uri, attempts: u32, source: io::Error) -> RegistryError {
    let crawls = |source: &io::Error| {
        source
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Crawls>)
    };
    if crawls(&source) {
        return RegistryError::Slow(uri.to_string());
    }
    // The only data that a connection itself has to make sense of is TLS's.
    if source.kind() == io::ErrorKind::InvalidData && uri.scheme_str() == Some("https") {
        return RegistryError::Tls {
            host: uri.authority().map(ToString::to_string).unwrap_or_default(),
            source,
        };
    }
    RegistryError::Unreachable {
        url: uri.to_string(),
        attempts,
        source,
    }
}

/// Whether a connection was there and broke off. One that cannot be made at all, be it for lack of
/// a network, of such a name, or of trust, is not tried again: somebody waits for the answer.
fn breaks_off(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::Interrupted
    )
}

/// Why another attempt may go better, if it may.
fn passing(status: StatusCode) -> Option<String> {
    match status {
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::INTERNAL_SERVER_ERROR
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Some(format!("it answers with HTTP status {status}")),
        _ => None,
    }
}

/// The pause that the other side asks for: seconds or a date (RFC 9110, 10.2.3).
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = date.duration_since(jiff::Timestamp::now());
    Some(wait.try_into().unwrap_or_default())
}

struct Part<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        let length = self.file.read_at(buffer, self.offset)?;
        self.offset += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

/// Looks names up, but for those that mean this machine or its link: what a registry points to is
/// not here, whatever the name's owner says.
#[derive(Debug, Default)]
struct Elsewhere(DefaultResolver);

impl Resolver for Elsewhere {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        // An address that is written out was looked at already.
        let literal = uri.host().is_some_and(|host| {
            host.trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok()
        });
        for address in &found {
            if literal || !is_local_address(address.ip()) {
                kept.push(*address);
            }
        }
        if kept.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(retry_after: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, retry_after.parse().unwrap());
        pause(&headers)
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_by_date() {
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
        let later = jiff::Timestamp::now() + Duration::from_secs(3600);
        let later = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&later)
            .unwrap();
        assert!(asked(&later).unwrap() > Duration::from_secs(3000));
    }

    #[test]
    fn a_name_that_means_this_machine_is_not_taken_for_another() {
        let settings = Settings::from_environment(|_| None);
        let reached = |registry: &str, port: u16| {
            let http = Http::new(Endpoint::new(registry, &settings), &settings).unwrap();
            let uri = format!("http://localhost:{port}/").parse().unwrap();
            http.once(&Ask::new(Method::GET, uri))
                .map(|answer| answer.status)
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        });
        assert!(reached("registry.example.org", port).is_err());
        // From a registry on this machine it is what is meant.
        assert_eq!(reached("127.0.0.1:5000", port).unwrap(), StatusCode::OK);
        server.join().unwrap().unwrap();
    }

    #[test]
    fn what_a_registry_says_cannot_steer_a_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(printable(&"x".repeat(1000)).len(), 300);
    }
}
