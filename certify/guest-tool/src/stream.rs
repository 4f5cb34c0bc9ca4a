//! Bytes to and from descriptors.

use alloc::string::String;
use alloc::vec::Vec;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read, retry_on_intr, write};

use crate::sys;

/// Standard input.
pub(crate) const IN: BorrowedFd<'static> = sys::standard::<0>();
/// Standard output.
pub(crate) const OUT: BorrowedFd<'static> = sys::standard::<1>();
/// Standard error.
pub(crate) const ERR: BorrowedFd<'static> = sys::standard::<2>();

/// How much is read at a time.
const CHUNK: usize = 8 << 10;

/// Writes all of `bytes`.
pub(crate) fn write_all(to: impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = retry_on_intr(|| write(&to, bytes))?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Writes to a standard stream. Without one there is nobody to read it, which is no error.
pub(crate) fn say(stream: BorrowedFd<'static>, text: &[u8]) -> Result<(), Errno> {
    match write_all(stream, text) {
        Err(Errno::BADF) => Ok(()),
        result => result,
    }
}

/// Says something on standard error. Where nobody listens, there is nothing else to say.
pub fn complain(text: &str) {
    let _ = say(ERR, text.as_bytes());
}

/// Everything up to the end, but at most `most` bytes, behind what `bytes` holds.
pub(crate) fn read_to_end(
    from: impl AsFd,
    bytes: &mut Vec<u8>,
    mut most: usize,
) -> Result<(), Errno> {
    let mut chunk = [0; CHUNK];
    while most > 0 {
        let (room, _) = chunk.split_at_mut(most.min(CHUNK));
        let got = chunk_of(&from, room)?;
        if got.is_empty() {
            break;
        }
        bytes.extend_from_slice(got);
        most -= got.len();
    }
    Ok(())
}

/// A file behind what `bytes` holds, at most 1 MiB: `/proc/kcore` must not be read to its end.
pub(crate) fn read_file(path: &str, bytes: &mut Vec<u8>) -> Result<(), Errno> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    read_to_end(file, bytes, 1 << 20)
}

/// A file as text.
pub(crate) fn text_of(path: &str) -> Result<String, Errno> {
    let mut bytes = Vec::new();
    read_file(path, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Standard input to standard output, to the last byte.
pub(crate) fn copy() -> Result<(), Errno> {
    let mut chunk = [0; CHUNK];
    loop {
        let got = match chunk_of(IN, &mut chunk) {
            // Without an input there is nothing to copy.
            Err(Errno::BADF) => return Ok(()),
            other => other?,
        };
        if got.is_empty() {
            return Ok(());
        }
        say(OUT, got)?;
    }
}

/// What one call reads; nothing at the end.
fn chunk_of(from: impl AsFd, room: &mut [u8]) -> Result<&[u8], Errno> {
    let length = retry_on_intr(|| read(&from, &mut *room))?;
    Ok(room.get(..length).unwrap_or_default())
}
