//! Kernel files of x86: what is in a bzImage, and how the ELF image comes out of it.
//!
//! QEMU starts an ELF image through its PVH entry without the kernel's own decompressor, which
//! under emulation takes longer than all the rest of the boot. The layout of a bzImage is in the
//! kernel's `Documentation/arch/x86/boot.rst`; offsets are from the start of the file.

use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use matrix::arch::Arch;

use crate::compression::Compression;

/// The longest image that is unpacked, in bytes.
const MAX_UNPACKED: u64 = 1 << 30;
/// The longest configuration, packed or not, in bytes. Real ones have 300 KB.
const MAX_CONFIG: usize = 16 << 20;
/// How much of a file's beginning holds its header: the release is at most 64 KiB behind it.
const MAX_HEADER: u64 = 128 << 10;
/// lz4's legacy frames hold blocks of at most this many bytes, unpacked.
const LZ4_BLOCK: usize = 8 << 20;

/// Why a kernel's file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelImageError {
    /// Neither an ELF image nor a bzImage.
    #[error(
        "this is neither a bzImage nor an ELF image of a Linux kernel; give the `vmlinuz` or `vmlinux` file of an x86 kernel"
    )]
    NotAKernel,
    /// The file ends before the part that its header announces.
    #[error(
        "the kernel's file is cut short: its header announces {announced} bytes of payload, {present} are there; copy the file again"
    )]
    Truncated {
        /// Bytes that should be there.
        announced: u64,
        /// Bytes that are.
        present: u64,
    },
    /// Boot protocol before 2.08 (Linux 2.6.26), whose header does not tell where the payload is.
    #[error(
        "the kernel's boot protocol is 2.{0:02}, older than 2.08 (Linux 2.6.26), so its payload can't be found; give the `vmlinux` ELF file instead"
    )]
    OldProtocol(u8),
    /// Packed in a way that no supported distribution uses.
    #[error(
        "the kernel is packed with {0}, which can't be read; give the `vmlinux` ELF file, or a kernel packed with gzip, xz, lz4 or zstd"
    )]
    UnsupportedPacking(&'static str),
    /// The file can't be read.
    #[error("can't read the kernel's file")]
    Read(#[source] io::Error),
    /// The payload does not unpack.
    #[error("the kernel's payload is damaged")]
    Damaged(#[source] io::Error),
    /// The payload unpacks to another length than it says.
    #[error(
        "the kernel's payload is damaged: it unpacks to {actual} bytes, its end announces {announced}"
    )]
    WrongLength {
        /// What the payload's last four bytes say.
        announced: u64,
        /// What came out.
        actual: u64,
    },
    /// The unpacked image could not be written.
    #[error("can't write the unpacked kernel")]
    Write(#[source] io::Error),
    /// Something was unpacked, and it is no ELF image.
    #[error("the kernel's payload is no ELF image")]
    NotElf,
}

/// What kind of file a kernel is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// An ELF image (`vmlinux`).
    Elf,
    /// A bzImage (`vmlinuz`), with the packed ELF image at this range.
    BzImage {
        /// Where the packed image is, its four length bytes included.
        payload: Range<u64>,
        /// The release that the header names.
        release: Option<String>,
    },
}

impl Form {
    /// Tells by the file's content.
    ///
    /// # Errors
    ///
    /// [`KernelImageError::NotAKernel`], [`KernelImageError::OldProtocol`],
    /// [`KernelImageError::Truncated`].
    pub fn of(image: &[u8]) -> Result<Self, KernelImageError> {
        Self::of_start(image, image.len() as u64)
    }

    /// Tells by the beginning of a file of that length.
    fn of_start(image: &[u8], file_length: u64) -> Result<Self, KernelImageError> {
        if is_elf(image) {
            return Ok(Self::Elf);
        }
        if image.get(0x202..0x206) != Some(b"HdrS") {
            return Err(KernelImageError::NotAKernel);
        }
        let not_a_kernel = || KernelImageError::NotAKernel;
        let protocol = u16_at(image, 0x206).ok_or_else(not_a_kernel)?;
        if protocol < 0x208 {
            let [minor, _] = protocol.to_le_bytes();
            return Err(KernelImageError::OldProtocol(minor));
        }
        // Zero stands for four, from the days of boot sectors.
        let sectors = match image.get(0x1f1).ok_or_else(not_a_kernel)? {
            0 => 4,
            n => u64::from(*n),
        };
        let offset = u32_at(image, 0x248).ok_or_else(not_a_kernel)?;
        let length = u32_at(image, 0x24c).ok_or_else(not_a_kernel)?;
        let start = (sectors + 1) * 512 + u64::from(offset);
        let end = start + u64::from(length);
        if length < 4 || end > file_length {
            return Err(KernelImageError::Truncated {
                announced: end,
                present: file_length,
            });
        }
        let release = u16_at(image, 0x20e)
            .filter(|pointer| *pointer != 0)
            .and_then(|pointer| image.get(0x200 + usize::from(pointer)..))
            .and_then(release_at);
        Ok(Self::BzImage {
            payload: start..end,
            release,
        })
    }
}

/// Unpacks the ELF image of a kernel's file, or copies it where the file is the image, and gives
/// its length in bytes.
///
/// Memory: a window of the packing, which is 8 MiB for lz4, 32 KiB for gzip, up to the whole
/// image for xz and zstd. The file is read as a stream.
pub fn unpack(mut image: impl Read + Seek, out: &mut dyn Write) -> Result<u64, KernelImageError> {
    let read = KernelImageError::Read;
    let length = image.seek(SeekFrom::End(0)).map_err(read)?;
    image.rewind().map_err(read)?;
    let mut start = Vec::new();
    let mut header = image.by_ref().take(MAX_HEADER);
    header.read_to_end(&mut start).map_err(read)?;
    let range = match Form::of_start(&start, length)? {
        Form::Elf => {
            out.write_all(&start).map_err(KernelImageError::Write)?;
            return copy(&mut image, out).map(|rest| rest + start.len() as u64);
        }
        Form::BzImage { payload, .. } => payload,
    };
    // The kernel's build appends the unpacked length to every payload; gzip has it there anyway.
    image.seek(SeekFrom::Start(range.end - 4)).map_err(read)?;
    let mut announced = [0; 4];
    image.read_exact(&mut announced).map_err(read)?;
    image.seek(SeekFrom::Start(range.start)).map_err(read)?;
    let payload = image.take(range.end - range.start - 4);
    let mut out = Counted {
        out,
        first: Vec::new(),
        written: 0,
        failure: None,
    };
    let result = unpack_payload(
        BufReader::with_capacity(1 << 16, payload),
        announced,
        &mut out,
    );
    if let Some(failure) = out.failure.take() {
        return Err(KernelImageError::Write(failure));
    }
    result?;
    if !is_elf(&out.first) {
        return Err(KernelImageError::NotElf);
    }
    let announced = u64::from(u32::from_le_bytes(announced));
    if announced != out.written {
        return Err(KernelImageError::WrongLength {
            announced,
            actual: out.written,
        });
    }
    Ok(out.written)
}

/// Copies what is left; how much it was.
fn copy(from: &mut dyn Read, out: &mut dyn Write) -> Result<u64, KernelImageError> {
    let mut piece = Vec::new();
    let mut copied = 0;
    loop {
        piece.clear();
        let mut next = from.take(1 << 20);
        match next
            .read_to_end(&mut piece)
            .map_err(KernelImageError::Read)?
        {
            0 => return Ok(copied),
            count => copied += count as u64,
        }
        out.write_all(&piece).map_err(KernelImageError::Write)?;
    }
}

/// The ELF image of a bzImage, in memory.
pub fn unpack_bzimage(image: &[u8]) -> Result<Vec<u8>, KernelImageError> {
    let mut elf = Vec::new();
    unpack(Cursor::new(image), &mut elf)?;
    Ok(elf)
}

/// Unpacks the payload but for its last four bytes, which are `end`.
fn unpack_payload(
    mut payload: impl Read,
    end: [u8; 4],
    out: &mut Counted<'_>,
) -> Result<(), KernelImageError> {
    let unsupported = |name| Err(KernelImageError::UnsupportedPacking(name));
    let mut magic = Vec::new();
    let mut first = payload.by_ref().take(6);
    first
        .read_to_end(&mut magic)
        .map_err(KernelImageError::Read)?;
    let whole = Cursor::new(magic.clone()).chain(payload);
    let reader: Box<dyn Read + '_> = match magic.as_slice() {
        [0x02, 0x21, 0x4c, 0x18, ..] => return unpack_lz4(whole, out),
        [b'B', b'Z', b'h', ..] => return unsupported("bzip2"),
        [0x5d, 0, 0, ..] => return unsupported("lzma"),
        [0x89, b'L', b'Z', b'O', ..] => return unsupported("lzo"),
        [0x7f, b'E', b'L', b'F', ..] => Box::new(whole),
        _ => match Compression::of_magic(&magic) {
            Compression::None => return unsupported("an unknown method"),
            Compression::Xz => Box::new(lzma_rust2::XzReader::new(whole, false)),
            // For gzip they are its own.
            Compression::Gzip => Box::new(flate2::read::GzDecoder::new(whole.chain(&end[..]))),
            Compression::Zstd => Compression::Zstd
                .reader(whole)
                .map_err(KernelImageError::Damaged)?,
        },
    };
    io::copy(&mut reader.take(MAX_UNPACKED + 1), out).map_err(KernelImageError::Damaged)?;
    Ok(())
}

/// Unpacks lz4's legacy frame: after its magic blocks, each with its packed length in four bytes
/// before it.
fn unpack_lz4(mut frame: impl Read, out: &mut Counted<'_>) -> Result<(), KernelImageError> {
    let damaged =
        |what: &str| KernelImageError::Damaged(io::Error::new(io::ErrorKind::InvalidData, what));
    let read = KernelImageError::Read;
    frame.read_exact(&mut [0; 4]).map_err(read)?;
    let mut unpacked = vec![0; LZ4_BLOCK];
    let mut block = Vec::new();
    loop {
        block.clear();
        let mut length = frame.by_ref().take(4);
        length.read_to_end(&mut block).map_err(read)?;
        if block.is_empty() {
            return Ok(());
        }
        let length = u32_at(&block, 0).map_or(0, u64::from);
        block.clear();
        let mut packed = frame.by_ref().take(length);
        packed.read_to_end(&mut block).map_err(read)?;
        if block.len() as u64 != length || block.is_empty() {
            return Err(damaged("an lz4 block is cut short"));
        }
        let written = lz4_flex::block::decompress_into(&block, &mut unpacked)
            .map_err(|e| damaged(&e.to_string()))?;
        out.write_all(unpacked.get(..written).unwrap_or_default())
            .map_err(KernelImageError::Damaged)?;
    }
}

/// Counts what passes through, keeps the first bytes, and tells its own faults from the reader's.
struct Counted<'a> {
    out: &'a mut dyn Write,
    first: Vec<u8>,
    written: u64,
    failure: Option<io::Error>,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written + bytes.len() as u64 > MAX_UNPACKED {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it unpacks to more than 1 GiB",
            ));
        }
        if let Err(error) = self.out.write_all(bytes) {
            self.failure = Some(error);
            return Err(io::Error::other("stopped"));
        }
        let missing = 4usize.saturating_sub(self.first.len());
        self.first.extend(bytes.iter().take(missing));
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The configuration that a kernel carries when it was built with `CONFIG_IKCONFIG`, as text;
/// none if it carries none. Takes a bzImage or an ELF image.
///
/// The kernel puts it gzipped between `IKCFG_ST` and `IKCFG_ED` (`kernel/configs.c`).
pub fn embedded_config(image: &[u8]) -> Result<Option<Vec<u8>>, KernelImageError> {
    let mut finder = ConfigFinder::default();
    unpack(Cursor::new(image), &mut finder)?;
    let Some(packed) = finder.found else {
        return Ok(None);
    };
    let mut config = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .take(MAX_CONFIG as u64)
        .read_to_end(&mut config)
        .map_err(KernelImageError::Damaged)?;
    Ok(Some(config))
}

const CONFIG_START: &[u8] = b"IKCFG_ST";
const CONFIG_END: &[u8] = b"IKCFG_ED";

/// Finds the configuration in an image that flows by in pieces.
#[derive(Default)]
struct ConfigFinder {
    found: Option<Vec<u8>>,
    state: Search,
}

#[derive(Default)]
enum Search {
    /// Before the marker; the last bytes that were seen, which may be its beginning.
    Before(Vec<u8>),
    /// After the marker: all that came since.
    Inside(Vec<u8>),
    #[default]
    Idle,
    Done,
}

impl Write for ConfigFinder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.state = match std::mem::take(&mut self.state) {
            Search::Idle => self.before(bytes),
            Search::Before(mut seen) => {
                seen.extend_from_slice(bytes);
                self.before(&seen)
            }
            Search::Inside(mut packed) => {
                // The end's marker may have begun in what is there.
                let searched = packed.len().saturating_sub(CONFIG_END.len() - 1);
                packed.extend_from_slice(bytes);
                self.inside(packed, searched)
            }
            Search::Done => Search::Done,
        };
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ConfigFinder {
    fn before(&mut self, seen: &[u8]) -> Search {
        let mut rest = seen;
        while let Some(at) = find(rest, CONFIG_START) {
            let after = rest.get(at + CONFIG_START.len()..).unwrap_or_default();
            // `IKCFG_ST` also stands in the code that looks for it; gzip's magic tells them apart.
            if after.starts_with(&[0x1f, 0x8b]) {
                return self.inside(after.to_vec(), 0);
            }
            if after.len() < 2 {
                return Search::Before(rest.get(at..).unwrap_or_default().to_vec());
            }
            rest = after;
        }
        let keep = rest.len().saturating_sub(CONFIG_START.len() - 1);
        Search::Before(rest.get(keep..).unwrap_or_default().to_vec())
    }

    /// The end is not in the first `searched` bytes.
    fn inside(&mut self, packed: Vec<u8>, searched: usize) -> Search {
        let new = packed.get(searched..).unwrap_or_default();
        if let Some(end) = find(new, CONFIG_END) {
            self.found = packed.get(..searched + end).map(<[u8]>::to_vec);
            return Search::Done;
        }
        if packed.len() > MAX_CONFIG {
            return Search::Done;
        }
        Search::Inside(packed)
    }
}

/// The release that a kernel's file names: a bzImage in its header, an ELF image in its banner
/// (`Linux version 6.1.0-50-cloud-amd64 (…`).
pub fn release(image: &[u8]) -> Result<Option<String>, KernelImageError> {
    match Form::of(image)? {
        Form::BzImage { release, .. } => Ok(release),
        Form::Elf => {
            let banner = b"Linux version ";
            let mut rest = image;
            while let Some(at) = find(rest, banner) {
                rest = rest.get(at + banner.len()..).unwrap_or_default();
                if rest.first().is_some_and(u8::is_ascii_digit) {
                    return Ok(release_at(rest));
                }
            }
            Ok(None)
        }
    }
}

/// Finds out whether an ELF image has the PVH entry through which QEMU starts it: a note of the
/// owner `Xen` and type 18, `XEN_ELFNOTE_PHYS32_ENTRY` (`CONFIG_PVH`, Linux 4.21 and later).
/// Without it, QEMU needs the bzImage.
pub(crate) fn has_pvh_entry(mut image: impl Read) -> io::Result<bool> {
    const NOTE: &[u8] = b"\x12\0\0\0Xen\0";
    let mut window = Vec::new();
    loop {
        // The note may lie across two pieces.
        let keep = window.len().saturating_sub(NOTE.len() - 1);
        window.drain(..keep);
        if image.by_ref().take(1 << 20).read_to_end(&mut window)? == 0 {
            return Ok(false);
        }
        if find(&window, NOTE).is_some() {
            return Ok(true);
        }
    }
}

/// What an ELF image is built for, by its header's `e_machine`.
pub fn elf_arch(image: &[u8]) -> Option<Arch> {
    if !is_elf(image) {
        return None;
    }
    Some(match u16_at(image, 18)? {
        3 => Arch::I386,
        62 => Arch::Amd64,
        183 => Arch::Arm64,
        40 => Arch::Armhf,
        // s390x is big-endian: its 22 reads as 0x1600.
        0x1600 => Arch::S390x,
        _ => return None,
    })
}

/// The word at the start of `text`: a release ends at a space.
fn release_at(text: &[u8]) -> Option<String> {
    let word = text
        .iter()
        .take(128)
        .take_while(|b| b.is_ascii_graphic())
        .map(|b| char::from(*b))
        .collect::<String>();
    word.starts_with(|c: char| c.is_ascii_digit())
        .then_some(word)
}

fn is_elf(image: &[u8]) -> bool {
    image.starts_with(b"\x7fELF")
}

/// Where `needle` first stands in `haystack`.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    loop {
        let rest = haystack.get(from..)?;
        let at = from + rest.iter().position(|b| *b == first)?;
        if haystack.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    bytes.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests;
