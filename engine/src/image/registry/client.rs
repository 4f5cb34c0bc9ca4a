//! The calls of the protocol (distribution-spec, "Endpoints").

use std::fs::File;
use std::io::Read as _;
use std::sync::OnceLock;

use ureq::http::header::{self, HeaderName, HeaderValue};
use ureq::http::{Method, StatusCode, Uri};

use crate::image::digest::Digest;
use crate::image::limits::MAX_METADATA_BYTES;
use crate::image::manifest::{Descriptor, INDEXES, MANIFESTS};
use crate::image::registry::auth::{Auth, Scope, with_query};
use crate::image::registry::endpoint::{Plain, resolve};
use crate::image::registry::error::Mismatch;
use crate::image::registry::http::{Answer, Ask, Body, Http, failure, printable};
use crate::image::registry::{Credentials, Endpoint, RegistryError, Settings};

/// Speaks to one registry, from several threads if need be.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    http: Http,
    auth: Auth,
    /// `https://host` or `http://host`, once that is known.
    base: OnceLock<String>,
    part_bytes: u64,
}

/// A manifest or index, as it is at the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

/// What came of asking for a blob to be mounted from another repository.
pub(super) enum Mount {
    /// It is there.
    Done,
    /// It has to be uploaded.
    Refused,
}

/// Tags that are asked for at once, and how often more are asked for.
const PAGE: u64 = 1000;
const MAX_PAGES: u64 = 100;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

impl Client {
    /// A client for `registry`, as references name it, with the credentials that are known for it.
    pub fn new(registry: &str, settings: &Settings) -> Result<Self, RegistryError> {
        let known = settings.config.credentials(registry)?;
        Self::with_credentials(registry, settings, known)
    }

    /// A client with these credentials, or without any.
    pub fn with_credentials(
        registry: &str,
        settings: &Settings,
        credentials: Option<Credentials>,
    ) -> Result<Self, RegistryError> {
        let endpoint = Endpoint::new(registry, settings);
        Ok(Self {
            http: Http::new(endpoint.clone(), settings)?,
            auth: Auth::new(credentials),
            base: OnceLock::new(),
            part_bytes: settings.part_bytes.max(1),
            endpoint,
        })
    }

    /// The registry, as references name it.
    pub fn registry(&self) -> &str {
        &self.endpoint.registry
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Whether there is a registry that takes the credentials.
    pub fn check(&self) -> Result<(), RegistryError> {
        let ask = Ask::new(Method::GET, self.uri("/v2/")?);
        let answer = self.send(&Scope::none(), &ask)?;
        match answer.status {
            StatusCode::OK if !is_html(&answer) => Ok(()),
            StatusCode::OK => Err(no_registry(&answer, "a web page".to_owned())),
            StatusCode::NOT_FOUND => Err(no_registry(&answer, "HTTP status 404".to_owned())),
            _ => Err(self.refusal(answer, "API of version 2")),
        }
    }

    /// The manifest or index that a tag or digest stands for, in the original bytes.
    pub(super) fn manifest(
        &self,
        repository: &str,
        reference: &ManifestName<'_>,
    ) -> Result<Fetched, RegistryError> {
        let name = reference.to_string();
        let uri = self.uri(&format!("/v2/{repository}/manifests/{name}"))?;
        let mut ask = Ask::new(Method::GET, uri);
        for kind in MANIFESTS.iter().chain(&INDEXES) {
            ask = ask.header(header::ACCEPT, HeaderValue::from_static(kind));
        }
        let what = format!("manifest `{repository}:{name}`");
        let (answer, bytes) = self.small(&Scope::pull(repository), &ask, &what)?;
        let digest = Digest::of(&bytes);
        let told = answer
            .header(&CONTENT_DIGEST)
            .and_then(|digest| digest.parse().ok());
        let expected = match reference {
            ManifestName::Digest(expected) => Some(**expected),
            ManifestName::Tag(_) => told,
        };
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(RegistryError::Digest {
                registry: self.endpoint.registry.clone(),
                what,
                mismatch: Box::new(Mismatch {
                    found: digest,
                    found_bytes: bytes.len() as u64,
                    expected,
                    expected_bytes: None,
                }),
            });
        }
        Ok(Fetched { digest, bytes })
    }

    /// All tags of a repository, page by page.
    pub fn tags(&self, repository: &str) -> Result<Vec<String>, RegistryError> {
        #[derive(serde::Deserialize)]
        struct Page {
            // `null` for none.
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let mut next = self.uri(&format!("/v2/{repository}/tags/list?n={PAGE}"))?;
        for _ in 0..MAX_PAGES {
            let ask = Ask::new(Method::GET, next);
            let what = format!("repository `{repository}`");
            let (answer, bytes) = self.small(&Scope::pull(repository), &ask, &what)?;
            let page: Page = serde_json::from_slice(&bytes).map_err(|_| {
                no_registry(&answer, "something else than a list of tags".to_owned())
            })?;
            tags.extend(page.tags.unwrap_or_default());
            match answer.header(&header::LINK).and_then(next_page) {
                None => return Ok(tags),
                Some(link) => {
                    next = resolve(&answer.uri, link)
                        .ok_or_else(|| no_registry(&answer, "a broken link".to_owned()))?;
                    self.endpoint.allow(&answer.uri, &next)?;
                }
            }
        }
        Err(self.too_large(
            format!("the list of tags of `{repository}`"),
            PAGE * MAX_PAGES,
        ))
    }

    /// The blob of a configuration, or of other metadata: whole, and the one that was asked for.
    pub(super) fn metadata(
        &self,
        repository: &str,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        let what = format!("blob {}", descriptor.digest);
        if descriptor.size > MAX_METADATA_BYTES as u64 {
            return Err(self.too_large(what, MAX_METADATA_BYTES as u64));
        }
        let uri = self.blob_uri(repository, &descriptor.digest)?;
        let ask = Ask::new(Method::GET, uri);
        let (_, bytes) = self.small(&Scope::pull(repository), &ask, &what)?;
        let found = Digest::of(&bytes);
        if (found, bytes.len() as u64) != (descriptor.digest, descriptor.size) {
            return Err(self.wrong_blob(descriptor, found, bytes.len() as u64));
        }
        Ok(bytes)
    }

    /// A blob's bytes from `from` on: status 200 brings all of them, 206 those, and 416 means that
    /// there are none.
    pub(super) fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        from: u64,
    ) -> Result<Answer, RegistryError> {
        let mut ask = Ask::new(Method::GET, self.blob_uri(repository, digest)?);
        if from > 0 {
            let range = HeaderValue::try_from(format!("bytes={from}-"));
            let range = range.unwrap_or_else(|_| HeaderValue::from_static("bytes=0-"));
            ask = ask.header(header::RANGE, range);
        }
        let answer = self.send(&Scope::pull(repository), &ask)?;
        match answer.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                Ok(answer)
            }
            _ => Err(self.refusal(answer, &format!("blob {digest} in `{repository}`"))),
        }
    }

    /// Whether the repository has the blob.
    pub(super) fn has_blob(
        &self,
        repository: &str,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let ask = Ask::new(Method::HEAD, self.blob_uri(repository, digest)?);
        let answer = self.send(&Scope::push(repository), &ask)?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refusal(answer, &format!("repository `{repository}`"))),
        }
    }

    /// Has a blob of another repository here, without moving it.
    pub(super) fn mount(
        &self,
        repository: &str,
        digest: &Digest,
        from: &str,
    ) -> Result<Mount, RegistryError> {
        let digest = digest.to_string();
        let uri = self.uri(&format!("/v2/{repository}/blobs/uploads/"))?;
        let uri = with_query(&uri, &[("mount", &digest), ("from", from)])?;
        let ask = Ask::new(Method::POST, uri).body(Body::Bytes(b""));
        let scope = Scope::push(repository).and_pull(from);
        let answer = self.send(&scope, &ask)?;
        match answer.status {
            StatusCode::CREATED => Ok(Mount::Done),
            StatusCode::ACCEPTED => {
                self.give_up(repository, &answer);
                Ok(Mount::Refused)
            }
            // No right to read there, or a registry that does not know mounts.
            _ => Ok(Mount::Refused),
        }
    }

    /// Ends an upload that was begun and is not wanted; one that stays is the registry's to remove.
    fn give_up(&self, repository: &str, begun: &Answer) {
        if let Ok(uri) = self.location(begun) {
            let ask = Ask::new(Method::DELETE, uri);
            drop(self.send(&Scope::push(repository), &ask));
        }
    }

    /// Uploads a blob of `length` bytes, from the start again if the registry loses it midway.
    pub(super) fn upload(
        &self,
        repository: &str,
        file: &File,
        digest: &Digest,
        length: u64,
        sent: &dyn Fn(u64),
    ) -> Result<(), RegistryError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.upload_once(repository, file, digest, length, sent) {
                Err(
                    RegistryError::NotFound { .. }
                    | RegistryError::Unreachable { .. }
                    | RegistryError::Status { status: 416, .. },
                ) if attempts < self.http.retry().attempts => {
                    // The answer may be what was lost.
                    if self.has_blob(repository, digest)? {
                        return Ok(());
                    }
                }
                result => return result,
            }
        }
    }

    fn upload_once(
        &self,
        repository: &str,
        file: &File,
        digest: &Digest,
        length: u64,
        sent: &dyn Fn(u64),
    ) -> Result<(), RegistryError> {
        let scope = Scope::push(repository);
        let what = format!("upload of a blob to `{repository}`");
        let uri = self.uri(&format!("/v2/{repository}/blobs/uploads/"))?;
        let ask = Ask::new(Method::POST, uri).body(Body::Bytes(b""));
        let answer = self.send(&scope, &ask)?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(self.refusal(answer, &what));
        }
        let mut location = self.location(&answer)?;
        let mut offset = 0;
        while length > self.part_bytes && offset < length {
            let part = self.part_bytes.min(length - offset);
            let range = format!("{offset}-{}", offset + part - 1);
            let ask = Ask::new(Method::PATCH, location)
                .header(header::CONTENT_TYPE, OCTETS)
                .header(
                    header::CONTENT_RANGE,
                    HeaderValue::try_from(range).unwrap_or(OCTETS),
                )
                .body(Body::Part {
                    file,
                    offset,
                    length: part,
                });
            let answer = self.send(&scope, &ask)?;
            if answer.status != StatusCode::ACCEPTED {
                return Err(self.refusal(answer, &what));
            }
            location = self.location(&answer)?;
            offset += part;
            sent(part);
        }
        let whole = with_query(&location, &[("digest", &digest.to_string())])?;
        let ask = Ask::new(Method::PUT, whole)
            .header(header::CONTENT_TYPE, OCTETS)
            .body(Body::Part {
                file,
                offset,
                length: length - offset,
            });
        let answer = self.send(&scope, &ask)?;
        if answer.status != StatusCode::CREATED {
            return Err(self.refusal(answer, &what));
        }
        sent(length - offset);
        Ok(())
    }

    /// Makes a tag stand for a manifest, all of whose blobs are there.
    pub(super) fn put_manifest(
        &self,
        repository: &str,
        tag: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let uri = self.uri(&format!("/v2/{repository}/manifests/{tag}"))?;
        let kind = HeaderValue::try_from(media_type).unwrap_or(OCTETS);
        let ask = Ask::new(Method::PUT, uri)
            .header(header::CONTENT_TYPE, kind)
            .body(Body::Bytes(bytes));
        let answer = self.send(&Scope::push(repository), &ask)?;
        let found: Option<Digest> = answer
            .header(&CONTENT_DIGEST)
            .and_then(|digest| digest.parse().ok());
        let expected = Digest::of(bytes);
        match (answer.status, found) {
            (StatusCode::CREATED, Some(found)) if found != expected => Err(RegistryError::Digest {
                registry: self.endpoint.registry.clone(),
                what: format!("manifest `{repository}:{tag}`"),
                mismatch: Box::new(Mismatch {
                    found,
                    found_bytes: bytes.len() as u64,
                    expected,
                    expected_bytes: None,
                }),
            }),
            (StatusCode::CREATED, _) => Ok(()),
            _ => Err(self.refusal(answer, &format!("repository `{repository}`"))),
        }
    }

    /// Something small, whole; a transfer that breaks off is tried again.
    pub(super) fn small(
        &self,
        scope: &Scope,
        ask: &Ask<'_>,
        what: &str,
    ) -> Result<(Answer, Vec<u8>), RegistryError> {
        let limit = MAX_METADATA_BYTES as u64;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut answer = self.send(scope, ask)?;
            if answer.status != StatusCode::OK {
                return Err(self.refusal(answer, what));
            }
            if is_html(&answer) {
                return Err(no_registry(
                    &answer,
                    format!("a web page instead of {what}"),
                ));
            }
            let length = answer.header(&header::CONTENT_LENGTH);
            let length: u64 = length.and_then(|text| text.parse().ok()).unwrap_or(0);
            let mut bytes = Vec::new();
            let read = answer.body.by_ref().take(limit + 1).read_to_end(&mut bytes);
            if length > limit || bytes.len() as u64 > limit {
                return Err(self.too_large(what.to_owned(), limit));
            }
            match read {
                Ok(_) => return Ok((answer, bytes)),
                Err(source) if attempts >= self.http.retry().attempts => {
                    return Err(failure(&answer.uri, attempts, source));
                }
                Err(_) => {}
            }
        }
    }

    /// Sends a request with what the registry wants to see; only to the registry itself.
    fn send(&self, scope: &Scope, ask: &Ask<'_>) -> Result<Answer, RegistryError> {
        if !self.endpoint.has(&ask.uri) {
            return self.http.send(ask);
        }
        let with = |header: Option<&HeaderValue>| {
            let mut ask = ask.clone();
            if let Some(header) = header {
                ask.headers.insert(header::AUTHORIZATION, header.clone());
            }
            ask
        };
        let used = self.auth.header(scope);
        let answer = self.http.send(&with(used.as_ref()))?;
        // A 401 from where the registry points is not the registry's.
        if answer.status != StatusCode::UNAUTHORIZED || !self.endpoint.has(&answer.uri) {
            return Ok(answer);
        }
        let header = self
            .auth
            .renew(&self.http, &self.endpoint, scope, used.as_ref(), &answer)?;
        self.http.send(&with(Some(&header)))
    }

    /// The address of a path at the registry.
    pub(super) fn uri(&self, path: &str) -> Result<Uri, RegistryError> {
        let base = self.base.get_or_init(|| self.find_base());
        format!("{base}{path}")
            .parse()
            .map_err(|_| RegistryError::Answer {
                url: printable(base),
                what: "nothing, as that is no address".to_owned(),
            })
    }

    /// How the registry is spoken to: with TLS, unless it may be spoken to without and answers so
    /// like a registry. Nothing secret is sent to find that out.
    fn find_base(&self) -> String {
        let host = &self.endpoint.host;
        let plain = format!("http://{host}");
        if self.endpoint.plain == Plain::Allowed && self.answers_plainly(&plain) {
            plain
        } else {
            format!("https://{host}")
        }
    }

    fn answers_plainly(&self, base: &str) -> bool {
        let Ok(uri) = format!("{base}/v2/").parse() else {
            return false;
        };
        let ask = Ask::new(Method::GET, uri);
        self.http
            .once(&ask)
            .is_ok_and(|answer| matches!(answer.status, StatusCode::OK | StatusCode::UNAUTHORIZED))
    }

    fn blob_uri(&self, repository: &str, digest: &Digest) -> Result<Uri, RegistryError> {
        self.uri(&format!("/v2/{repository}/blobs/{digest}"))
    }

    /// Where an answer says that an upload goes on.
    fn location(&self, answer: &Answer) -> Result<Uri, RegistryError> {
        let location = answer.header(&header::LOCATION).unwrap_or_default();
        let to = resolve(&answer.uri, location)
            .filter(|_| !location.is_empty())
            .ok_or_else(|| RegistryError::Answer {
                url: answer.uri.to_string(),
                what: "no place to upload to".to_owned(),
            })?;
        self.endpoint.allow(&answer.uri, &to)?;
        Ok(to)
    }

    fn refusal(&self, answer: Answer, what: &str) -> RegistryError {
        let registry = self.endpoint.registry.clone();
        let status = answer.status;
        let url = answer.uri.to_string();
        let detail = answer.detail();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                RegistryError::Denied { registry, detail }
            }
            StatusCode::NOT_FOUND => RegistryError::NotFound {
                registry,
                what: what.to_owned(),
                detail,
            },
            _ => RegistryError::Status {
                url,
                status: status.as_u16(),
                detail,
            },
        }
    }

    fn too_large(&self, what: String, limit: u64) -> RegistryError {
        RegistryError::TooLarge {
            registry: self.endpoint.registry.clone(),
            what,
            limit,
        }
    }

    pub(super) fn wrong_blob(
        &self,
        expected: &Descriptor,
        found: Digest,
        found_bytes: u64,
    ) -> RegistryError {
        RegistryError::Digest {
            registry: self.endpoint.registry.clone(),
            what: "a blob".to_owned(),
            mismatch: Box::new(Mismatch {
                found,
                found_bytes,
                expected: expected.digest,
                expected_bytes: Some(expected.size),
            }),
        }
    }
}

/// What a manifest is asked for by.
#[derive(Debug, Clone, Copy)]
pub(super) enum ManifestName<'a> {
    Tag(&'a str),
    Digest(&'a Digest),
}

impl std::fmt::Display for ManifestName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

/// The address in `<address>; rel="next"` (RFC 8288).
fn next_page(link: &str) -> Option<&str> {
    let (address, rest) = link.trim_start().strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then_some(address)
}

fn no_registry(answer: &Answer, what: String) -> RegistryError {
    RegistryError::Answer {
        url: answer.uri.to_string(),
        what,
    }
}

fn is_html(answer: &Answer) -> bool {
    answer.header(&header::CONTENT_TYPE).is_some_and(|kind| {
        kind.trim_start()
            .to_ascii_lowercase()
            .starts_with("text/html")
    })
}
