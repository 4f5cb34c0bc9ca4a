//! Writes cpio archives of the format that kernels unpack at boot (`newc`, see
//! `Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! The bytes depend on nothing but what is added: times are 0, owners root, inode numbers count.

use std::io::{self, Read, Write};

/// `S_IFMT` values (inode(7)).
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// Writes an archive, an entry at a time.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    output: W,
    /// Bytes written.
    position: u64,
    next_inode: u32,
}

/// What stands in an entry's header besides what is always the same.
struct Header {
    inode: u32,
    mode: u32,
    links: u32,
    size: u32,
    device: (u32, u32),
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(output: W) -> Self {
        Self {
            output,
            position: 0,
            next_inode: 1,
        }
    }

    /// Adds a folder. Paths are relative; a folder comes before what is in it.
    pub(crate) fn folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.entry(path, DIRECTORY | mode, 2, &[], (0, 0))
    }

    /// Adds a symbolic link.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, SYMLINK | 0o777, 1, target.as_bytes(), (0, 0))
    }

    /// Adds a character device.
    pub(crate) fn character_device(
        &mut self,
        path: &str,
        mode: u32,
        major: u32,
        minor: u32,
    ) -> io::Result<()> {
        self.entry(path, CHARACTER | mode, 1, &[], (major, minor))
    }

    /// Adds a file from memory.
    pub(crate) fn bytes(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(path, REGULAR | mode, 1, content, (0, 0))
    }

    /// Adds a file of exactly `size` bytes.
    pub(crate) fn file(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        content: impl Read,
    ) -> io::Result<()> {
        let inode = self.next_inode();
        let size32 = u32::try_from(size)
            .map_err(|_| io::Error::other(format!("{path} is larger than 4 GiB")))?;
        self.header(
            path,
            &Header {
                inode,
                mode: REGULAR | mode,
                links: 1,
                size: size32,
                device: (0, 0),
            },
        )?;
        let written = io::copy(&mut content.take(size), &mut self.output)?;
        if written != size {
            let message = format!("{path} shrank from {size} to {written} bytes while it was read");
            return Err(io::Error::other(message));
        }
        self.position += size;
        self.pad()
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let trailer = Header {
            inode: 0,
            mode: 0,
            links: 1,
            size: 0,
            device: (0, 0),
        };
        self.header(TRAILER, &trailer)?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn next_inode(&mut self) -> u32 {
        let inode = self.next_inode;
        self.next_inode += 1;
        inode
    }

    fn entry(
        &mut self,
        path: &str,
        mode: u32,
        links: u32,
        content: &[u8],
        device: (u32, u32),
    ) -> io::Result<()> {
        let inode = self.next_inode();
        let size = u32::try_from(content.len())
            .map_err(|_| io::Error::other(format!("{path} is larger than 4 GiB")))?;
        self.header(
            path,
            &Header {
                inode,
                mode,
                links,
                size,
                device,
            },
        )?;
        self.write(content)?;
        self.pad()
    }

    fn header(&mut self, path: &str, header: &Header) -> io::Result<()> {
        let Header {
            inode,
            mode,
            links,
            size,
            device: (major, minor),
        } = header;
        let name_size = path.len() + 1;
        // Magic, inode, mode, uid, gid, links, time, size, device of the file system (two), device
        // (two), size of the name, checksum (none in this format).
        let text = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{links:08x}{0:08x}{size:08x}{0:08x}{0:08x}{major:08x}{minor:08x}{name_size:08x}{0:08x}",
            0
        );
        self.write(text.as_bytes())?;
        self.write(path.as_bytes())?;
        self.write(&[0])?;
        self.pad()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.position += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Everything begins at a multiple of 4.
    fn pad(&mut self) -> io::Result<()> {
        while self.position % 4 != 0 {
            self.write(&[0])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn archive() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.folder("dev", 0o755).unwrap();
        writer.character_device("dev/console", 0o600, 5, 1).unwrap();
        writer.file("init", 0o755, 5, b"hello".as_slice()).unwrap();
        writer.symlink("sbin", "usr/sbin").unwrap();
        writer.bytes("etc", 0o644, b"").unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn cpio_lists_what_was_added() {
        let mut cpio = Command::new("cpio")
            .args(["-it", "--verbose", "--quiet", "--numeric-uid-gid"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .spawn()
            .expect("can't run cpio: install the package `cpio`");
        cpio.stdin.take().unwrap().write_all(&archive()).unwrap();
        let output = cpio.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        insta::assert_snapshot!(text, @r"
        drwxr-xr-x   2 0        0               0 Jan  1  1970 dev
        crw-------   1 0        0          5,   1 Jan  1  1970 dev/console
        -rwxr-xr-x   1 0        0               5 Jan  1  1970 init
        lrwxrwxrwx   1 0        0               8 Jan  1  1970 sbin -> usr/sbin
        -rw-r--r--   1 0        0               0 Jan  1  1970 etc
        ");
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        assert_eq!(archive(), archive());
        assert_eq!(archive().len() % 4, 0);
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_an_error() {
        let mut writer = Writer::new(Vec::new());
        let error = writer.file("f", 0o644, 9, b"short".as_slice()).unwrap_err();
        insta::assert_snapshot!(error, @"f shrank from 9 to 5 bytes while it was read");
    }
}
