//! One layer's way: compressed bytes → digest → decompression → diffID → files.
//!
//! Decompression, the slowest step, runs on a thread of its own and passes chunks on.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::image::decompress::decompress;
use crate::image::digest::{DiffId, Digest};
use crate::image::hashing::Hashing;
use crate::image::layer::apply::{Applied, ApplyError, Lower, apply};
use crate::image::layer::reader::TarReader;
use crate::image::layer::record::Recording;
use crate::storage::Filling;

/// Bytes of a chunk, and how many wait for the slower side: 2 MiB in all.
const CHUNK: usize = 512 << 10;
const WAITING: usize = 3;

/// What is known of a layer beforehand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// The digest and length of the bytes as they are delivered.
    pub blob: Option<(Digest, u64)>,
    /// The digest of the uncompressed tar.
    pub diff_id: Option<DiffId>,
}

/// Why a layer was refused.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// It could not be unpacked.
    #[error("the layer cannot be unpacked")]
    Apply(#[from] ApplyError),
    /// It could not be read.
    #[error("the layer cannot be read")]
    Read(#[source] io::Error),
    /// What makes it a tar again could not be written.
    #[error("the layer cannot be recorded")]
    Record(#[source] io::Error),
    /// The delivered bytes are others than the manifest promises.
    #[error(
        "the layer has digest {found} and {found_bytes} bytes, not {expected} and {expected_bytes} bytes as its manifest says: it is damaged, fetch it again"
    )]
    Blob {
        /// Of what was read.
        found: Digest,
        /// Of what was read.
        found_bytes: u64,
        /// Of the manifest.
        expected: Digest,
        /// Of the manifest.
        expected_bytes: u64,
    },
    /// The tar is another than the configuration promises.
    #[error(
        "the layer has diffID {found}, not {expected} as the image's configuration says: it is damaged, fetch it again"
    )]
    DiffId {
        /// Of what was read.
        found: DiffId,
        /// Of the configuration.
        expected: DiffId,
    },
}

/// Unpacks a layer and verifies it. Only if this succeeds may it become visible.
pub(in crate::image) fn unpack(
    source: impl Read + Send,
    layer: Filling<'_>,
    lower: Lower,
    expected: Expected,
) -> Result<(DiffId, Applied), LayerError> {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        let producer = scope.spawn(move || produce(source, &sender));
        let tar = Hashing::new(Chunks::new(receiver));
        // When unpacking failed, the rest is not read: dropping the receiver ends the producer.
        let (applied, hashing) = match apply_recorded(tar, layer, lower) {
            Ok(applied) => applied,
            Err(error) => {
                drop(producer.join());
                return Err(error);
            }
        };
        let (found, _) = hashing.finish().map_err(LayerError::Read)?;
        let (blob, bytes) = producer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .map_err(LayerError::Read)?;
        if let Some((expected, expected_bytes)) = expected.blob {
            if (blob, bytes) != (expected, expected_bytes) {
                return Err(LayerError::Blob {
                    found: blob,
                    found_bytes: bytes,
                    expected,
                    expected_bytes,
                });
            }
        }
        let found = DiffId::new(found);
        match expected.diff_id {
            Some(expected) if expected != found => Err(LayerError::DiffId { found, expected }),
            _ => Ok((found, applied)),
        }
    })
}

/// Applies a tar and records it.
fn apply_recorded<R: Read>(
    tar: R,
    layer: Filling<'_>,
    lower: Lower,
) -> Result<(Applied, R), LayerError> {
    let recording = Recording::start(tar, layer.folder).map_err(LayerError::Record)?;
    let mut tar = TarReader::new(recording);
    let applied = apply(&mut tar, layer, lower)?;
    // What comes after the last entry is part of the tar, too.
    let mut recording = tar.into_inner();
    io::copy(&mut recording, &mut io::sink()).map_err(LayerError::Read)?;
    let tar = recording.finish().map_err(LayerError::Record)?;
    Ok((applied, tar))
}

type Chunk = io::Result<Vec<u8>>;

/// Reads, hashes and decompresses `source`; returns the digest and length of what it read.
fn produce(source: impl Read + Send, sender: &SyncSender<Chunk>) -> io::Result<(Digest, u64)> {
    let mut hashing = Hashing::new(source);
    let result = decompress(&mut hashing).and_then(|mut decompressed| {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let limit = CHUNK as u64;
            let length = decompressed.by_ref().take(limit).read_to_end(&mut chunk)?;
            // An error of the other side is told by that side.
            if length == 0 || sender.send(Ok(chunk)).is_err() {
                return Ok(());
            }
        }
    });
    if let Err(error) = result {
        let copy = io::Error::new(error.kind(), error.to_string());
        drop(sender.send(Err(error)));
        return Err(copy);
    }
    hashing.finish()
}

/// The other end of the channel, as a stream.
struct Chunks {
    receiver: Receiver<Chunk>,
    chunk: io::Cursor<Vec<u8>>,
}

impl Chunks {
    fn new(receiver: Receiver<Chunk>) -> Self {
        Self {
            receiver,
            chunk: io::Cursor::new(Vec::new()),
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.chunk.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            match self.receiver.recv() {
                Ok(chunk) => self.chunk = io::Cursor::new(chunk?),
                Err(_) => return Ok(0), // The producer is done.
            }
        }
    }
}
