//! Applets that start processes and use memory and processor.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::applet::{Applet, AppletError};
use super::signals::{forever, ready};

pub(super) const APPLETS: &[Applet] = &[
    Applet {
        name: "pause",
        usage: "[WORD…]",
        run: pause,
    },
    Applet {
        name: "forks",
        usage: "MOST",
        run: forks,
    },
    Applet {
        name: "alloc",
        usage: "MIB",
        run: alloc,
    },
    Applet {
        name: "burn",
        usage: "",
        run: burn,
    },
    Applet {
        name: "orphan",
        usage: "",
        run: orphan,
    },
    Applet {
        name: "leave-child",
        usage: "",
        run: leave_child,
    },
    Applet {
        name: "processes",
        usage: "",
        run: processes,
    },
    Applet {
        name: "replace",
        usage: "PROGRAM ARG…",
        run: replace,
    },
];

/// This program under another applet's name.
fn myself(applet: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(applet);
    command.stdin(Stdio::null());
    command
}

/// Prints the words, says that it is ready, and stays.
fn pause(args: &[String]) -> Result<String, AppletError> {
    use std::io::Write;
    if !args.is_empty() {
        drop(writeln!(std::io::stdout().lock(), "{}", args.join(" ")));
    }
    ready()?;
    forever()
}

/// Starts processes that stay, until MOST of them run or the kernel refuses one; then says
/// how many there were and why it ended, and ends them.
fn forks(args: &[String]) -> Result<String, AppletError> {
    let most: usize = args
        .first()
        .and_then(|arg| arg.parse().ok())
        .ok_or_else(AppletError::usage)?;
    let mut children = Vec::new();
    let mut why = "all were started".to_owned();
    while children.len() < most {
        match myself("pause").spawn() {
            Ok(child) => children.push(child),
            Err(error) => {
                why = format!("{:?}", Errno::from_raw(error.raw_os_error().unwrap_or(0)));
                break;
            }
        }
    }
    let started = children.len();
    for child in &mut children {
        drop(child.kill());
    }
    for mut child in children {
        drop(child.wait());
    }
    Ok(format!("{started} {why}\n"))
}

/// Takes memory and writes to every page of it.
fn alloc(args: &[String]) -> Result<String, AppletError> {
    let mib: usize = args
        .first()
        .and_then(|arg| arg.parse().ok())
        .ok_or_else(AppletError::usage)?;
    let mut memory = vec![0_u8; mib << 20];
    // One call takes it all. A loop out here could go on for minutes at its limit: the kernel
    // reclaims the very page that the loop runs in, reads it again with all that lies around it,
    // and takes that for progress. Before 4.19 such a call is refused where the loop is killed.
    drop(File::open("/dev/zero").and_then(|mut zero| zero.read_exact(&mut memory)));
    memory.fill(0xa5);
    Ok(format!(
        "{} MiB\n",
        std::hint::black_box(memory).len() >> 20
    ))
}

/// Computes until it is ended.
fn burn(_: &[String]) -> Result<String, AppletError> {
    ready()?;
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(
            number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        );
    }
}

/// Leaves a grandchild to process 1, lets it end, and says whether it was `reaped` or stays a
/// `zombie`.
fn orphan(_: &[String]) -> Result<String, AppletError> {
    let child = myself("leave-child")
        .stdout(Stdio::piped())
        .output()
        .map_err(AppletError::failed("start leave-child"))?;
    let pid = String::from_utf8_lossy(&child.stdout).trim().to_owned();
    let proc = format!("/proc/{pid}");
    // Thirty seconds for a machine without hardware virtualisation; a reaper takes microseconds.
    let end = Instant::now() + Duration::from_secs(30);
    while fs::exists(&proc).unwrap_or(false) {
        if Instant::now() > end {
            let status = fs::read_to_string(format!("{proc}/status")).unwrap_or_default();
            let zombie = status.lines().any(|line| line.starts_with("State:\tZ"));
            return Ok(if zombie { "zombie\n" } else { "running\n" }.to_owned());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok("reaped\n".to_owned())
}

/// Starts a child that ends soon, prints its process id, and ends first.
fn leave_child(_: &[String]) -> Result<String, AppletError> {
    let child = myself("true")
        .stdout(Stdio::null())
        .spawn()
        .map_err(AppletError::failed("start true"))?;
    Ok(format!("{}\n", child.id()))
}

/// `PID PPID NAME`, one visible process a line, in order.
fn processes(_: &[String]) -> Result<String, AppletError> {
    let mut lines: Vec<(u32, String)> = Vec::new();
    for entry in fs::read_dir("/proc")
        .map_err(AppletError::failed("ls /proc"))?
        .flatten()
    {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // One that ended meanwhile is left out.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map_or("", str::trim)
        };
        lines.push((
            pid,
            format!("{pid} {} {}\n", field("PPid:"), field("Name:")),
        ));
    }
    lines.sort();
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// Becomes PROGRAM.
fn replace(args: &[String]) -> Result<String, AppletError> {
    let (program, rest) = args.split_first().ok_or_else(AppletError::usage)?;
    let error = Command::new(program).args(rest).exec();
    Err(AppletError::failed(format!("exec {program}"))(error))
}
