//! Applets that start processes and use memory and processor.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use rustix::fs::{Mode, OFlags, open, stat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, kill_process};
use rustix::thread::{Timespec, nanosleep};

use crate::applet::{Applet, AppletError, number};
use crate::child::{self, Output, myself};
use crate::signals::{forever, ready};
use crate::stream::{OUT, read_to_end, say, text_of};
use crate::{directory, errno};

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

/// Prints the words, says that it is ready, and stays.
fn pause(args: &[String]) -> Result<String, AppletError> {
    if !args.is_empty() {
        // Who reads it is not what a process that stays is about.
        let _ = say(OUT, (args.join(" ") + "\n").as_bytes());
    }
    ready()?;
    forever()
}

/// Starts processes that stay, until MOST of them run or the kernel refuses one; then says
/// how many there were and why it ended, and ends them.
fn forks(args: &[String]) -> Result<String, AppletError> {
    let most: usize = number(args)?;
    let mut children = Vec::new();
    let mut why = "all were started";
    while children.len() < most {
        match myself("pause", Output::Inherited) {
            Ok(child) => children.push(child),
            Err(error) => {
                why = errno::name(error);
                break;
            }
        }
    }
    let started = children.len();
    for child in &children {
        // Refused only if it has ended by itself.
        let _ = kill_process(*child, Signal::KILL);
    }
    for child in children {
        child::wait(child);
    }
    Ok(format!("{started} {why}\n"))
}

/// Takes memory and writes to every page of it.
fn alloc(args: &[String]) -> Result<String, AppletError> {
    let mib: usize = number(args)?;
    let mut memory = vec![0_u8; mib << 20];
    // One call takes it all. A loop out here could go on for minutes at its limit: the kernel
    // reclaims the very page that the loop runs in, reads it again with all that lies around it,
    // and takes that for progress. Before 4.19 such a call is refused where the loop is killed.
    let _ = read_file_into("/dev/zero", &mut memory);
    memory.fill(0xa5);
    Ok(format!(
        "{} MiB\n",
        core::hint::black_box(memory).len() >> 20
    ))
}

/// Fills `room` from a file, in one call if the kernel does it in one.
fn read_file_into(path: &str, mut room: &mut [u8]) -> Result<(), Errno> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    while !room.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *room))? {
            0 => break,
            got => room = room.get_mut(got..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Computes until it is ended.
fn burn(_: &[String]) -> Result<String, AppletError> {
    ready()?;
    let mut number = 1_u64;
    loop {
        number = core::hint::black_box(
            number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        );
    }
}

/// Leaves a grandchild to process 1, lets it end, and says whether it was `reaped` or stays a
/// `zombie`.
fn orphan(_: &[String]) -> Result<String, AppletError> {
    let (answer, into) =
        pipe_with(PipeFlags::CLOEXEC).map_err(AppletError::refused("start leave-child"))?;
    let child = myself("leave-child", Output::Pipe(&into))
        .map_err(AppletError::refused("start leave-child"))?;
    drop(into);
    let mut pid = Vec::new();
    read_to_end(&answer, &mut pid, 64).map_err(AppletError::refused("start leave-child"))?;
    child::wait(child);
    let proc = format!("/proc/{}", String::from_utf8_lossy(&pid).trim());
    let mut rounds = 0;
    while stat(proc.as_str()).is_ok() {
        if rounds == ROUNDS {
            let status = text_of(&format!("{proc}/status")).unwrap_or_default();
            let zombie = status.lines().any(|line| line.starts_with("State:\tZ"));
            return Ok(if zombie { "zombie\n" } else { "running\n" }.to_owned());
        }
        rounds += 1;
        // Woken early, it looks early.
        let _ = nanosleep(&ROUND);
    }
    Ok("reaped\n".to_owned())
}

/// How long `orphan` waits before it looks again.
const ROUND: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};
/// Thirty seconds of it, for a machine without hardware virtualisation; a reaper takes
/// microseconds.
const ROUNDS: u32 = 6000;

/// Starts a child that ends soon, prints its process id, and ends first.
fn leave_child(_: &[String]) -> Result<String, AppletError> {
    let child = myself("true", Output::Nowhere).map_err(AppletError::refused("start true"))?;
    Ok(format!("{}\n", child.as_raw_pid()))
}

/// `PID PPID NAME`, one visible process a line, in order.
fn processes(_: &[String]) -> Result<String, AppletError> {
    let mut lines: Vec<(u32, String)> = Vec::new();
    for name in directory::names("/proc").map_err(AppletError::refused("ls /proc"))? {
        let Ok(pid) = name.parse::<u32>() else {
            continue;
        };
        // One that ended meanwhile is left out.
        let Ok(status) = text_of(&format!("/proc/{pid}/status")) else {
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
    lines.sort_unstable();
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// Becomes PROGRAM.
fn replace(args: &[String]) -> Result<String, AppletError> {
    let (program, rest) = args.split_first().ok_or_else(AppletError::usage)?;
    let refusal = child::replace(program, rest);
    Err(AppletError::refused(format!("exec {program}"))(refusal))
}
