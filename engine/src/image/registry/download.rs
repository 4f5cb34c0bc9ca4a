//! Blobs into files, resumed where a transfer broke off.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest as _, Sha256};
use ureq::http::{StatusCode, header};

use crate::image::digest::Digest;
use crate::image::manifest::Descriptor;
use crate::image::registry::client::Client;
use crate::image::registry::http::{Answer, failure};
use crate::image::registry::{Progress, RegistryError, Step};

/// Bytes that a transfer must bring to count as having moved.
const MOVED: u64 = 4096;

/// A blob on its way.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client,
    pub(super) repository: &'a str,
    pub(super) blob: &'a Descriptor,
    /// Set when it is not wanted any more.
    pub(super) stop: &'a AtomicBool,
    pub(super) progress: &'a dyn Progress,
}

/// What came so far.
struct Partial<'a> {
    file: File,
    path: &'a Path,
    bytes: u64,
    hasher: Sha256,
}

/// Why a transfer ended before the blob was whole.
enum Break {
    Passing(io::Error),
    Final(RegistryError),
}

impl Download<'_> {
    /// Brings the blob to the new file `path`. On success the file is whole and right.
    pub(super) fn to(&self, path: &Path) -> Result<(), RegistryError> {
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(RegistryError::file("create", path))?;
        let mut partial = Partial {
            file,
            path,
            bytes: 0,
            hasher: Sha256::new(),
        };
        let retry = self.client.http().retry();
        let mut failures = 0;
        loop {
            let before = partial.bytes;
            let answer = self
                .client
                .blob(self.repository, &self.blob.digest, before)?;
            let uri = answer.uri.clone();
            let source = match self.receive(answer, &mut partial) {
                // The end of what was promised, or of what there is.
                Ok(()) if partial.bytes == self.blob.size || partial.bytes == before => break,
                Ok(()) => io::ErrorKind::UnexpectedEof.into(),
                Err(Break::Passing(source)) => source,
                Err(Break::Final(error)) => return Err(error),
            };
            // A transfer that moves, however haltingly, is not given up.
            failures = if partial.bytes >= before + MOVED {
                1
            } else {
                failures + 1
            };
            if failures >= retry.attempts {
                return Err(failure(&uri, failures, source));
            }
            (retry.wait)(retry.first_pause * (1 << (failures - 1).min(5)));
        }
        let found = Digest::from_hasher(partial.hasher);
        if (found, partial.bytes) == (self.blob.digest, self.blob.size) {
            Ok(())
        } else {
            Err(self.client.wrong_blob(self.blob, found, partial.bytes))
        }
    }

    /// Takes what an answer brings.
    fn receive(&self, mut answer: Answer, partial: &mut Partial<'_>) -> Result<(), Break> {
        match answer.status {
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(()),
            StatusCode::PARTIAL_CONTENT if start(&answer) == Some(partial.bytes) => {}
            StatusCode::PARTIAL_CONTENT => {
                let other = "another part came than was asked for";
                return Err(Break::Passing(io::Error::other(other)));
            }
            // Everything, from the start.
            _ => partial.restart()?,
        }
        let mut buffer = vec![0; 128 << 10];
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Break::Final(RegistryError::Stopped));
            }
            let length = answer.body.read(&mut buffer).map_err(Break::Passing)?;
            let data = buffer.get(..length).unwrap_or_default();
            if data.is_empty() {
                return Ok(());
            }
            partial.bytes += length as u64;
            if partial.bytes > self.blob.size {
                return Err(Break::Final(RegistryError::TooLarge {
                    registry: self.client.registry().to_owned(),
                    what: format!("blob {}", self.blob.digest),
                    limit: self.blob.size,
                }));
            }
            partial.hasher.update(data);
            let written = partial.file.write_all(data);
            written.map_err(|source| {
                Break::Final(RegistryError::file("write", partial.path)(source))
            })?;
            self.progress
                .step(&self.blob.digest, Step::Moved(length as u64));
        }
    }
}

impl Partial<'_> {
    fn restart(&mut self) -> Result<(), Break> {
        let restart = self.file.set_len(0).and_then(|()| self.file.rewind());
        restart
            .map_err(|source| Break::Final(RegistryError::file("truncate", self.path)(source)))?;
        self.bytes = 0;
        self.hasher = Sha256::new();
        Ok(())
    }
}

/// Where the part that an answer brings starts: `Content-Range: bytes START-END/ALL`.
fn start(answer: &Answer) -> Option<u64> {
    let range = answer.header(&header::CONTENT_RANGE)?;
    let range = range.trim().strip_prefix("bytes")?.trim_start();
    range.split('-').next()?.trim().parse().ok()
}
