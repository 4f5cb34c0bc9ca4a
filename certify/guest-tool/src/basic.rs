//! Applets that say what a process finds about itself.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use rustix::fs::{Gid, Mode, OFlags, open, readlink};
use rustix::process::{getcwd, getegid, geteuid, getgid, getgroups, getuid};
use rustix::system::{sethostname, uname};
use rustix::termios::isatty;

use crate::applet::{Applet, AppletError, number};
use crate::directory;
use crate::stream::{self, ERR, IN, OUT};
use crate::sys::environment;

pub(super) const APPLETS: &[Applet] = &[
    Applet {
        name: "true",
        usage: "",
        run: |_| Ok(String::new()),
    },
    Applet {
        name: "false",
        usage: "",
        run: |_| Err(AppletError::Status(1)),
    },
    Applet {
        name: "exit",
        usage: "STATUS",
        run: exit,
    },
    Applet {
        name: "echo",
        usage: "WORD…",
        run: |args| Ok(args.join(" ") + "\n"),
    },
    Applet {
        name: "args",
        usage: "WORD…",
        run: |words| Ok(args(words)),
    },
    Applet {
        name: "copy",
        usage: "",
        run: copy,
    },
    Applet {
        name: "both",
        usage: "ROUNDS",
        run: both,
    },
    Applet {
        name: "env",
        usage: "[NAME…]",
        run: |names| Ok(env(names)),
    },
    Applet {
        name: "id",
        usage: "",
        run: id,
    },
    Applet {
        name: "pwd",
        usage: "",
        run: pwd,
    },
    Applet {
        name: "hostname",
        usage: "[NAME]",
        run: hostname,
    },
    Applet {
        name: "tty",
        usage: "",
        run: |_| Ok(tty()),
    },
    Applet {
        name: "fds",
        usage: "",
        run: fds,
    },
];

fn exit(args: &[String]) -> Result<String, AppletError> {
    Err(AppletError::Status(number(args)?))
}

/// One argument a line, in the form that shows every byte.
fn args(args: &[String]) -> String {
    args.iter().fold(String::new(), |mut text, arg| {
        let _ = writeln!(text, "{arg:?}");
        text
    })
}

/// Standard input to standard output, to the last byte.
fn copy(_: &[String]) -> Result<String, AppletError> {
    stream::copy().map_err(AppletError::refused("copy"))?;
    Ok(String::new())
}

/// Lines to both streams, by turns: `out 1`, `err 1`, `out 2`, …
fn both(args: &[String]) -> Result<String, AppletError> {
    let rounds: u32 = number(args)?;
    let mut line = String::new();
    for round in 1..=rounds {
        for (stream, name) in [(OUT, "out"), (ERR, "err")] {
            line.clear();
            let _ = writeln!(line, "{name} {round}");
            stream::say(stream, line.as_bytes()).map_err(AppletError::refused("both"))?;
        }
    }
    Ok(String::new())
}

/// The environment, sorted, or the values of some variables.
fn env(args: &[String]) -> String {
    let mut all: Vec<(String, String)> = environment()
        .filter_map(|variable| variable_of(variable.to_bytes()))
        .filter(|(name, _)| args.is_empty() || args.contains(name))
        .collect();
    all.sort_unstable();
    all.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}={value}");
        text
    })
}

/// Name and value. A name may begin with `=`; what has no name and no `=` is no variable.
fn variable_of(text: &[u8]) -> Option<(String, String)> {
    let end = text.iter().skip(1).position(|byte| *byte == b'=')? + 1;
    let (name, value) = text.split_at_checked(end)?;
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((lossy(name), lossy(value.get(1..)?)))
}

/// `uid=1000 euid=1000 gid=1000 egid=1000 groups=4,27`
fn id(_: &[String]) -> Result<String, AppletError> {
    let mut groups: Vec<u32> = getgroups()
        .map_err(AppletError::refused("getgroups"))?
        .into_iter()
        .map(Gid::as_raw)
        .collect();
    groups.sort_unstable();
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    Ok(format!(
        "uid={} euid={} gid={} egid={} groups={}\n",
        getuid().as_raw(),
        geteuid().as_raw(),
        getgid().as_raw(),
        getegid().as_raw(),
        groups.join(","),
    ))
}

/// The kernel's own idea of the working directory: `(unreachable)/…` where it is outside of
/// the root, which a C library would hide.
fn pwd(_: &[String]) -> Result<String, AppletError> {
    let link =
        readlink("/proc/self/cwd", Vec::new()).map_err(AppletError::refused("readlink cwd"))?;
    let call = getcwd(Vec::new()).map_err(AppletError::refused("getcwd"))?;
    Ok(format!(
        "{} {}\n",
        link.to_string_lossy(),
        call.to_string_lossy()
    ))
}

/// The host name, after setting it where one is given.
fn hostname(args: &[String]) -> Result<String, AppletError> {
    if let Some(name) = args.first() {
        sethostname(name.as_bytes())
            .map_err(AppletError::refused(format!("sethostname {name}")))?;
    }
    Ok(format!("{}\n", uname().nodename().to_string_lossy()))
}

/// Which of the three standard streams are terminals, and whether it is the controlling one.
fn tty() -> String {
    let controlling = open("/dev/tty", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).is_ok();
    format!(
        "stdin={} stdout={} stderr={} controlling={controlling}\n",
        isatty(IN),
        isatty(OUT),
        isatty(ERR),
    )
}

/// Every open file descriptor above the standard three, with what it is open on; the one
/// that lists them is left out.
fn fds(_: &[String]) -> Result<String, AppletError> {
    let mut text = String::new();
    // The one that listed them is closed by now, and can't be read.
    for name in directory::names("/proc/self/fd").map_err(AppletError::refused("read fd"))? {
        let number: i32 = name.parse().unwrap_or(-1);
        let Ok(open_on) = readlink(format!("/proc/self/fd/{name}"), Vec::new()) else {
            continue;
        };
        if number > 2 {
            let _ = writeln!(text, "{number} {}", open_on.to_string_lossy());
        }
    }
    Ok(text)
}
