//! Files put and got, on the server's side.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::channel::Item;
use super::frame::{Frame, Kind, MAX_DATA};
use super::hex;
use super::message::Reply;
use super::server::Operation;

/// Why a file was not taken.
#[derive(Debug)]
enum Fault {
    Io(io::Error),
    Digest {
        expected: String,
        found: String,
    },
    /// The client has lost interest: nobody is to be told.
    Cancelled,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Takes a file: into another name beside `path`, so that only a whole one ever bears it.
pub(super) fn put(operation: &Operation, path: &str, mode: u32) {
    let part = PathBuf::from(format!("{path}.part-{}", operation.stream));
    let outcome = receive(operation, path.as_ref(), &part, mode);
    // Takes no more, whatever the client still sends.
    operation.inbox.close();
    if outcome.is_err() {
        // It may never have been made.
        let _left = fs::remove_file(&part);
    }
    match outcome {
        Ok(()) => operation.reply(&Reply::Done),
        Err(Fault::Io(error)) => operation.fail(&format!("can't write {path}"), &error),
        Err(Fault::Digest { expected, found }) => operation.sender.refuse(
            operation.stream,
            &format!(
                "{path} was damaged on its way: its SHA-256 is {found}, the sender's {expected}"
            ),
            None,
        ),
        Err(Fault::Cancelled) => {}
    }
}

fn receive(operation: &Operation, path: &Path, part: &Path, mode: u32) -> Result<(), Fault> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)?;
    let mut digest = Sha256::new();
    loop {
        match operation.inbox.pop() {
            Some(Item::Data(bytes)) => {
                digest.update(&bytes);
                file.write_all(&bytes)?;
                let credit = Frame::credit(operation.stream, Kind::Input, bytes.len());
                operation
                    .sender
                    .send(credit.kind, credit.stream, &credit.payload);
            }
            Some(Item::End) => {}
            Some(Item::Commit(expected)) => {
                let found = hex(&digest.finalize());
                if found != expected {
                    return Err(Fault::Digest { expected, found });
                }
                file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
                // A program that is still open for writing can't be executed.
                drop(file);
                fs::rename(part, path)?;
                return Ok(());
            }
            None => return Err(Fault::Cancelled),
        }
    }
}

/// Gives a file.
pub(super) fn get(operation: &Operation, path: &str) {
    match give(operation, path.as_ref()) {
        Err(Fault::Io(error)) => operation.fail(&format!("can't read {path}"), &error),
        Ok(()) | Err(Fault::Digest { .. } | Fault::Cancelled) => {}
    }
}

fn give(operation: &Operation, path: &Path) -> Result<(), Fault> {
    // Without O_NONBLOCK, opening a fifo would wait for a writer.
    let mut file: File = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file").into());
    }
    operation.reply(&Reply::File {
        size: metadata.len(),
        mode: metadata.mode() & 0o7777,
    });
    let mut digest = Sha256::new();
    let mut buffer = vec![0; MAX_DATA];
    loop {
        let allowed = operation.output.take(MAX_DATA).ok_or(Fault::Cancelled)?;
        let count = file.read(buffer.get_mut(..allowed).unwrap_or_default())?;
        operation.output.give(allowed - count);
        let bytes = buffer.get(..count).unwrap_or_default();
        operation.sender.send(Kind::Output, operation.stream, bytes);
        if count == 0 {
            break;
        }
        digest.update(bytes);
    }
    operation.reply(&Reply::Digest {
        sha256: hex(&digest.finalize()),
    });
    Ok(())
}
