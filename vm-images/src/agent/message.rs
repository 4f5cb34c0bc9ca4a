//! What client and server say to each other: the JSON payloads of request and reply frames.
//!
//! An operation begins with a [`Request`] on a stream of its own and ends with one [`Reply`]
//! of an ending kind. Requests marked "goes on" are sent on the stream of an operation under
//! way. A member that a peer does not know is ignored, so that either side can be newer.

use matrix::axis::CgroupMode;
use serde::{Deserialize, Serialize};

/// The version of the protocol. A server answers `hello` to any client; a client refuses a
/// server whose version is another.
pub const PROTOCOL: u32 = 1;

/// What the client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Request {
    /// Who are you? Answered with [`Reply::Hello`].
    Hello {
        /// The client's [`PROTOCOL`].
        protocol: u32,
    },
    /// Take a file: its bytes follow as input, then [`Request::Commit`]. Only a file whose
    /// digest is right ever appears under `path`. Answered with [`Reply::Done`].
    Put {
        /// Absolute path; folders above it are made.
        path: String,
        /// Permission bits.
        mode: u32,
    },
    /// Goes on with `put`: that was all, and this is its SHA-256 in hexadecimal.
    Commit {
        /// Of the bytes sent.
        sha256: String,
    },
    /// Give a file: answered with [`Reply::File`], its bytes as output, [`Reply::Digest`].
    Get {
        /// Absolute path.
        path: String,
    },
    /// Run a program: answered with [`Reply::Started`], then [`Reply::Exited`] after all of its
    /// output.
    Exec(Exec),
    /// Goes on with `exec`: send a signal to the program's process group.
    Signal {
        /// The number.
        signal: i32,
    },
    /// Goes on with `exec`: the terminal's size has changed.
    Resize(TerminalSize),
    /// Goes on with any operation: nobody waits for it any more; a program is killed.
    Cancel,
    /// Mount a file system; the mount point is made. Answered with [`Reply::Done`].
    Mount(Mount),
    /// Load a kernel module, compressed or not; one that is loaded already is fine. Answered
    /// with [`Reply::Done`].
    LoadModule {
        /// Absolute path.
        path: String,
        /// As on modprobe's command line.
        parameters: String,
    },
    /// Go on as a machine of its own, after it was saved and restored: its clock stood still, and
    /// its random numbers would be those of its siblings. Answered with [`Reply::Done`].
    Wake(Wake),
    /// Write everything to disk. Answered with [`Reply::Done`].
    Sync,
    /// End: a guest powers off, any other agent exits. Answered with [`Reply::Done`] before.
    PowerOff,
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// Ends `hello`.
    Hello(Facts),
    /// Ends an operation that gives nothing back.
    Done,
    /// The file that follows as output.
    File {
        /// Bytes, when the file was opened.
        size: u64,
        /// Permission bits.
        mode: u32,
    },
    /// Ends `get`: SHA-256, in hexadecimal, of the bytes sent.
    Digest {
        /// Of the bytes sent.
        sha256: String,
    },
    /// The program runs.
    Started {
        /// Its process id, on the server's machine.
        pid: i32,
    },
    /// Ends `exec`.
    Exited(Exit),
    /// Ends any operation: it could not be done.
    Failed(Refusal),
}

/// A program to run. Nothing is passed through a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The program (searched in the `PATH` of `env` unless it has a slash) and its arguments.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The working directory; `/` unless given.
    pub cwd: Option<String>,
    /// Whether input follows; the program reads from `/dev/null` otherwise.
    pub input: bool,
    /// Run it on a terminal of this size; error output then is part of its output.
    pub terminal: Option<TerminalSize>,
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// A file system to mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// A device, or any word for file systems without one.
    pub source: String,
    /// The mount point.
    pub target: String,
    /// The file system's name, as in `/proc/filesystems`.
    pub filesystem: String,
    /// The file system's own options, comma-separated; not the generic ones (`ro`, `nosuid`).
    #[serde(default)]
    pub options: String,
}

/// What tells a restored machine from others of the same snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wake {
    /// The time, in nanoseconds since 1970 (UTC).
    pub unix_ns: u64,
    /// Random bytes that no other machine is given.
    pub seed: [u8; 32],
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status or signal.
    pub status: ExitStatus,
    /// What it used, with all of its descendants that were waited for.
    pub usage: Usage,
}

/// Exit status or signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitStatus {
    /// It exited with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl ExitStatus {
    /// Whether the program exited with status 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What a program used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From start to end, in microseconds.
    pub wall_us: u64,
    /// Processor time in user mode, in microseconds.
    pub user_us: u64,
    /// Processor time in the kernel, in microseconds.
    pub system_us: u64,
    /// The largest resident set of one process, in KiB.
    pub max_rss_kib: u64,
}

/// What a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The server's [`PROTOCOL`].
    pub protocol: u32,
    /// The server program's version.
    pub version: String,
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub machine: String,
    /// Its host name.
    pub hostname: String,
    /// Online processors.
    pub cpus: u32,
    /// Usable memory, in KiB.
    pub memory_kib: u64,
    /// Since the kernel started, in milliseconds.
    pub uptime_ms: u64,
    /// How control groups are mounted, if they are.
    pub cgroup: Option<CgroupMode>,
    /// File systems that the kernel knows now, as in `/proc/filesystems`.
    pub filesystems: Vec<String>,
    /// What went wrong while the machine was set up without making it unusable.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Why an operation could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What, on what, and why.
    pub message: String,
    /// The system's error number, where there is one.
    pub errno: Option<i32>,
}
