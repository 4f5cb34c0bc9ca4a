//! Applets that say what a process finds about itself.

use std::fmt::Write as _;
use std::io::{IsTerminal, Read, Write};

use nix::unistd;

use super::applet::{Applet, AppletError};

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
    let status = args.first().and_then(|arg| arg.parse().ok());
    Err(status.map_or_else(AppletError::usage, AppletError::Status))
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
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .and_then(|_| std::io::stdout().lock().write_all(&bytes))
        .map_err(AppletError::failed("copy"))?;
    Ok(String::new())
}

/// Lines to both streams, by turns: `out 1`, `err 1`, `out 2`, …
fn both(args: &[String]) -> Result<String, AppletError> {
    let rounds: u32 = args
        .first()
        .and_then(|arg| arg.parse().ok())
        .ok_or_else(AppletError::usage)?;
    for round in 1..=rounds {
        writeln!(std::io::stdout().lock(), "out {round}")
            .and_then(|()| writeln!(std::io::stderr().lock(), "err {round}"))
            .map_err(AppletError::failed("both"))?;
    }
    Ok(String::new())
}

/// The environment, sorted, or the values of some variables.
fn env(args: &[String]) -> String {
    let mut all: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .filter(|(name, _)| args.is_empty() || args.contains(name))
        .collect();
    all.sort();
    all.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}={value}");
        text
    })
}

/// `uid=1000 euid=1000 gid=1000 egid=1000 groups=4,27`
fn id(_: &[String]) -> Result<String, AppletError> {
    let mut groups: Vec<u32> = unistd::getgroups()
        .map_err(AppletError::refused("getgroups"))?
        .into_iter()
        .map(unistd::Gid::as_raw)
        .collect();
    groups.sort_unstable();
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    Ok(format!(
        "uid={} euid={} gid={} egid={} groups={}\n",
        unistd::getuid(),
        unistd::geteuid(),
        unistd::getgid(),
        unistd::getegid(),
        groups.join(","),
    ))
}

/// The kernel's own idea of the working directory: `(unreachable)/…` where it is outside of
/// the root, which the standard library would hide.
fn pwd(_: &[String]) -> Result<String, AppletError> {
    let link = std::fs::read_link("/proc/self/cwd").map_err(AppletError::failed("readlink cwd"))?;
    let call = unistd::getcwd().map_err(AppletError::refused("getcwd"))?;
    Ok(format!("{} {}\n", link.display(), call.display()))
}

/// The host name, after setting it where one is given.
fn hostname(args: &[String]) -> Result<String, AppletError> {
    if let Some(name) = args.first() {
        unistd::sethostname(name).map_err(AppletError::refused(format!("sethostname {name}")))?;
    }
    let name = nix::sys::utsname::uname().map_err(AppletError::refused("uname"))?;
    Ok(format!("{}\n", name.nodename().to_string_lossy()))
}

/// Which of the three standard streams are terminals, and whether it is the controlling one.
fn tty() -> String {
    let controlling = std::fs::File::open("/dev/tty").is_ok();
    format!(
        "stdin={} stdout={} stderr={} controlling={controlling}\n",
        std::io::stdin().is_terminal(),
        std::io::stdout().is_terminal(),
        std::io::stderr().is_terminal(),
    )
}

/// Every open file descriptor above the standard three, with what it is open on; the one
/// that lists them is left out.
fn fds(_: &[String]) -> Result<String, AppletError> {
    let mut text = String::new();
    let entries = std::fs::read_dir("/proc/self/fd").map_err(AppletError::failed("read fd"))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number: i32 = name.parse().unwrap_or(-1);
        let Ok(open_on) = std::fs::read_link(entry.path()) else {
            continue;
        };
        let own = open_on.to_string_lossy().ends_with("/fd") && open_on.starts_with("/proc");
        if number > 2 && !own {
            let _ = writeln!(text, "{number} {}", open_on.display());
        }
    }
    Ok(text)
}
