//! What a packer writes, as a stream for somebody else to read.

use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, channel};
use std::thread::Scope;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::pack::{PackError, Packed};

/// Starts `pack` on a thread of its own, writing to the stream that is returned.
///
/// # Errors
/// No pipe could be made.
pub fn stream<'scope>(
    scope: &'scope Scope<'scope, '_>,
    pack: impl FnOnce(File) -> Result<Packed, PackError> + Send + 'scope,
) -> io::Result<PackedStream> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let (sender, result) = channel();
    scope.spawn(move || {
        // Nobody is left to be told when the reader has gone.
        drop(sender.send(pack(File::from(writer))));
    });
    Ok(PackedStream {
        pipe: File::from(reader),
        result,
    })
}

/// See [`stream`]. A tar that is cut off between two entries looks whole to its reader; so where
/// packing failed, the end of the stream is an error.
#[derive(Debug)]
pub struct PackedStream {
    pipe: File,
    result: Receiver<Result<Packed, PackError>>,
}

impl Read for PackedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.pipe.read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            if let Ok(Err(error)) = self.result.recv() {
                return Err(io::Error::other(error));
            }
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::thread;

    use super::*;

    #[test]
    fn a_failure_of_the_packer_is_one_of_reading() {
        thread::scope(|scope| {
            let mut stream = stream(scope, |mut to| {
                to.write_all(b"half").unwrap();
                Err(PackError::TooDeep("a/b".to_owned()))
            })
            .unwrap();
            let mut read = Vec::new();
            let error = stream.read_to_end(&mut read).unwrap_err();
            assert_eq!(read, b"half");
            assert!(error.to_string().contains("a/b"), "{error}");
        });
    }

    #[test]
    fn what_is_packed_is_read() {
        thread::scope(|scope| {
            let mut stream = stream(scope, |mut to| {
                to.write_all(&vec![7; 200_000]).unwrap();
                Ok(Packed::default())
            })
            .unwrap();
            let mut read = Vec::new();
            stream.read_to_end(&mut read).unwrap();
            assert_eq!(read.len(), 200_000);
        });
    }
}
