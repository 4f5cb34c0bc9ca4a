//! Compressed streams, recognised by their first bytes and decompressed in this process.
//!
//! Never by an external program: that was run as root on foreign bytes once (CVE-2014-9357).

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use crate::image::limits::{MAX_LAYER_BYTES, MAX_RATIO, RATIO_FREE_BYTES};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// Not at all.
    None,
    /// RFC 1952; several members in a row are one stream.
    Gzip,
    /// RFC 8878; several frames in a row are one stream.
    Zstd,
}

/// The bytes that are looked at.
const MAGIC_BYTES: u64 = 6;

impl Compression {
    /// # Errors
    /// Formats that are known and not supported.
    fn of(magic: &[u8]) -> io::Result<Self> {
        match magic {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A frame, or a skippable frame as zstd:chunked and pzstd write.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(unsupported("xz", "xz -dc")),
            [b'B', b'Z', b'h', ..] => Err(unsupported("bzip2", "bzip2 -dc")),
            _ => Ok(Self::None),
        }
    }
}

fn unsupported(format: &str, command: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!(
            "it is compressed by {format}, which keel does not read: decompress it first, as in `{command} FILE | keel import -`"
        ),
    )
}

/// A stream from its beginning, of which the first bytes have been looked at.
pub(super) type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// Looks at the first bytes of `input` and gives them back with the rest.
pub(super) fn recognise<R: Read>(mut input: R) -> io::Result<(Compression, Whole<R>)> {
    let mut magic = Vec::new();
    input.by_ref().take(MAGIC_BYTES).read_to_end(&mut magic)?;
    let compression = Compression::of(&magic)?;
    Ok((compression, Cursor::new(magic).chain(input)))
}

/// The decompressed bytes of `input`, which ends with an error at the first limit that it crosses.
pub(crate) fn decompress<'a, R: Read + Send + 'a>(
    input: R,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let (compression, input) = recognise(input)?;
    let limits = Limits {
        bytes: MAX_LAYER_BYTES,
        ratio: MAX_RATIO,
        free: RATIO_FREE_BYTES,
    };
    Ok(decompress_with(compression, input, limits))
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    bytes: u64,
    ratio: u64,
    free: u64,
}

fn decompress_with<'a, R: Read + Send + 'a>(
    compression: Compression,
    input: R,
    limits: Limits,
) -> Box<dyn Read + Send + 'a> {
    let counted = Counted::new(input);
    let read = counted.count();
    let buffered = BufReader::with_capacity(64 << 10, counted);
    let guard = |inner| Guard {
        inner,
        read,
        written: 0,
        limits,
    };
    match compression {
        Compression::None => Box::new(guard(Decoder::None(buffered))),
        Compression::Gzip => Box::new(guard(Decoder::Gzip(MultiGzDecoder::new(buffered)))),
        Compression::Zstd => Box::new(guard(Decoder::Zstd(Frames::Between(buffered)))),
    }
}

enum Decoder<R: BufRead> {
    None(R),
    Gzip(MultiGzDecoder<R>),
    Zstd(Frames<R>),
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(inner) => inner.read(buffer),
            Self::Gzip(inner) => inner.read(buffer),
            Self::Zstd(inner) => inner.read(buffer),
        }
    }
}

/// Zstandard frames one after the other, of which the decoder knows only one.
enum Frames<R: BufRead> {
    Between(R),
    In(Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
    Over,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(self, Self::Over) {
                Self::Over => return Ok(0),
                Self::In(mut frame) => {
                    let length = frame.read(buffer)?;
                    if length > 0 || buffer.is_empty() {
                        *self = Self::In(frame);
                        return Ok(length);
                    }
                    *self = Self::Between(frame.into_inner());
                }
                Self::Between(mut input) => {
                    if input.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    // A skippable frame is told by an error, and the decoder keeps what it was
                    // given; so such a frame's eight bytes are looked at before.
                    if let Some(length) = skippable(&mut input)? {
                        let skipped = io::copy(&mut input.by_ref().take(length), &mut io::sink())?;
                        if skipped < length {
                            return Err(io::ErrorKind::UnexpectedEof.into());
                        }
                        *self = Self::Between(input);
                        continue;
                    }
                    let frame = StreamingDecoder::new(input).map_err(zstd_error)?;
                    *self = Self::In(Box::new(frame));
                }
            }
        }
    }
}

/// If a skippable frame comes next, takes its header and says how long the rest is.
fn skippable(input: &mut impl BufRead) -> io::Result<Option<u64>> {
    let next = input.fill_buf()?;
    if !matches!(next, [0x50..=0x5f, ..]) {
        return Ok(None);
    }
    let mut header = [0; 8];
    input.read_exact(&mut header)?;
    let [_, 0x2a, 0x4d, 0x18, a, b, c, d] = header else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "there is something else than zstd frames in the stream",
        ));
    };
    Ok(Some(u32::from_le_bytes([a, b, c, d]).into()))
}

fn zstd_error(error: FrameDecoderError) -> io::Error {
    if let FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::MagicNumberReadError(
        source,
    )) = error
    {
        return source;
    }
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Counts what is read, where somebody else can see it.
pub(super) struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            count: Arc::default(),
        }
    }

    /// The bytes that have been read, from now on too.
    pub(super) fn count(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.count)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.count.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Ends a stream that grows beyond the limits.
struct Guard<D> {
    inner: D,
    read: Arc<AtomicU64>,
    written: u64,
    limits: Limits,
}

impl<D: Read> Read for Guard<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.written += length as u64;
        let bomb = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        if self.written > self.limits.bytes {
            return bomb(format!(
                "it has more than {} bytes when decompressed",
                self.limits.bytes
            ));
        }
        let read = self.read.load(Ordering::Relaxed);
        if self.written > self.limits.free && self.written / self.limits.ratio > read {
            return bomb(format!(
                "it grows more than {} times when decompressed",
                self.limits.ratio
            ));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn all(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompress(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn each_format_is_recognised_and_read() {
        assert_eq!(all(b"plain").unwrap(), b"plain");
        assert_eq!(all(b"").unwrap(), b"");
        assert_eq!(all(&gzip(b"text")).unwrap(), b"text");
        assert_eq!(all(&zstd(b"text")).unwrap(), b"text");
    }

    #[test]
    fn several_members_or_frames_are_one_stream() {
        let members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(all(&members).unwrap(), b"one two");
        let skippable = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let frames = [&skippable[..], &zstd(b"one "), &skippable, &zstd(b"two")].concat();
        assert_eq!(all(&frames).unwrap(), b"one two");
    }

    #[test]
    fn cut_off_streams_are_errors() {
        let data: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        for whole in [gzip(&data), zstd(&data)] {
            assert!(all(&whole[..whole.len() - 9]).is_err());
        }
    }

    #[test]
    fn formats_that_are_not_read_are_named() {
        let error = all(b"\xfd7zXZ\0rest").unwrap_err();
        assert!(error.to_string().contains("xz"), "{error}");
    }

    #[test]
    fn a_bomb_ends_at_the_ratio_and_at_the_size() {
        let zeros = gzip(&vec![0; 1 << 20]);
        let read = |limits| {
            let mut reader = decompress_with(Compression::Gzip, &zeros[..], limits);
            io::copy(&mut reader, &mut io::sink()).map_err(|error| error.to_string())
        };
        let wide = Limits {
            bytes: 1 << 30,
            ratio: 2000,
            free: 0,
        };
        assert_eq!(read(wide), Ok(1 << 20));
        assert!(
            read(Limits {
                ratio: 100,
                free: 1000,
                ..wide
            })
            .unwrap_err()
            .contains("100 times")
        );
        assert!(
            read(Limits {
                bytes: 1000,
                ..wide
            })
            .unwrap_err()
            .contains("1000 bytes")
        );
        // Small files may shrink as they like.
        assert_eq!(
            read(Limits {
                ratio: 100,
                free: 2 << 20,
                ..wide
            }),
            Ok(1 << 20)
        );
    }
}
