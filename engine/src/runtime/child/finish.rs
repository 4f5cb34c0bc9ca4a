//! The last steps, the same for a container's first process and for later ones: limits,
//! privileges, descriptors, working folder, filter, program.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::stat::{Mode, fstat, umask};
use nix::sys::uio::pread;
use nix::unistd::chdir;

use super::fault::{At, Fault, Message, Step};
use super::setup::Channel;
use crate::runtime::plan::{CapabilityPlan, Extras, ProcessPlan};
use crate::runtime::seccomp::Filter;
use crate::sys::open::current_folder_is_inside;
use crate::sys::{credentials, fds, program, scheduling, signals};

/// Gives up everything that the program must not have: also, for good, every descriptor but the
/// streams and the channel, so that nobody may use (or drop) one of the plan's afterwards. `proc`
/// is the host's procfs.
pub(super) fn confine(
    process: &ProcessPlan,
    proc: BorrowedFd<'_>,
    channel: &Channel,
) -> Result<(), Fault> {
    if let Some(score) = &process.oom_score {
        fds::write_once(proc, c"self/oom_score_adj", score.as_bytes()).at(At::OomScore)?;
    }
    for (index, limit) in process.limits.iter().enumerate() {
        credentials::set_limit(limit.resource, limit.soft, limit.hard).at_item(At::Limit, index)?;
    }
    take_extras(&process.extras, proc)?;
    umask(Mode::from_bits_truncate(process.umask));
    if process.no_new_privileges {
        prctl::set_no_new_privs().at(At::NoNewPrivileges)?;
    }
    // With the descriptors closed, no path of the container (`/proc/self/fd/…`) leads back out: not
    // the working folder's, nor the program's (CVE-2024-21626). Close-on-exec would come too late.
    fds::close_all_but(process.preserved, channel.socket(), proc).at(At::Seal)?;
    // As root first, since the program's user may not be allowed to pass through the folders above.
    let entered = chdir(process.cwd.as_c_str());
    // As root and without a filter yet, which could keep us from looking where the kernel can.
    refuse_engine(process)?;
    // While there is no filter, which might forbid it.
    channel.tell(Message::Ready);
    // Without no_new_privs a filter can only be loaded while there is CAP_SYS_ADMIN.
    if !process.no_new_privileges {
        load(process.seccomp.as_ref(), channel)?;
    }
    become_user(process)?;
    if entered.is_err() {
        chdir(process.cwd.as_c_str()).at(At::WorkingFolder)?;
        // Relative paths lead elsewhere now.
        refuse_engine(process)?;
    }
    match current_folder_is_inside() {
        Ok(true) => {}
        Ok(false) | Err(Errno::ENOENT) => return Err(Errno::EACCES).at(At::WorkingFolderOutside),
        Err(errno) => return Err(errno).at(At::WorkingFolderOutside),
    }
    signals::reset();
    prctl::set_pdeathsig(None).at(At::Session)?;
    if process.no_new_privileges {
        load(process.seccomp.as_ref(), channel)?;
    }
    Ok(())
}

/// While there are privileges and a trusted procfs: the container's own could lead the label
/// elsewhere (CVE-2019-16884).
fn take_extras(extras: &Extras, proc: BorrowedFd<'_>) -> Result<(), Fault> {
    for (index, (file, label)) in extras.labels.iter().enumerate() {
        fds::write_once(proc, file, label.to_bytes()).at_item(At::Label, index)?;
    }
    if let Some(attributes) = &extras.scheduling {
        scheduling::set_scheduling(attributes).at(At::Scheduling)?;
    }
    if let Some(priority) = extras.io_priority {
        scheduling::set_io_priority(priority).at(At::Scheduling)?;
    }
    if let Some(personality) = extras.personality {
        scheduling::set_personality(personality).at(At::Personality)?;
    }
    Ok(())
}

fn load(filter: Option<&Filter>, channel: &Channel) -> Result<(), Fault> {
    let Some(filter) = filter else {
        return Ok(());
    };
    match program::install_filter(&filter.program, filter.flags).at(At::Seccomp)? {
        Some(listener) => channel
            .hand_over(Message::Filter, listener.as_fd())
            .at(At::Seccomp),
        None => Ok(()),
    }
}

/// How many `#!` the kernel follows, and the program itself (`exec_binprm`).
const INTERPRETERS: usize = 6;
/// How much of a file the kernel looks at for `#!` (`BINPRM_BUF_SIZE`).
const HEAD: usize = 256;

/// Refuses a program that is the engine itself, by a link or as the interpreter of a script: once
/// executed, the container could write to the host's binary through `/proc/self/exe`
/// (CVE-2019-5736). Every candidate is looked at, though one before may be what is executed: no
/// honest image has such a file in its `PATH`.
fn refuse_engine(process: &ProcessPlan) -> Result<(), Fault> {
    for candidate in &process.candidates {
        refuse_program(candidate, process.engine)?;
    }
    Ok(())
}

/// The same for one program.
pub(super) fn refuse_program(program: &CStr, engine: (u64, u64)) -> Result<(), Fault> {
    if leads_to(program, engine) {
        return Err(Errno::EACCES).at(At::Execute);
    }
    Ok(())
}

/// What cannot be opened or read the execve will refuse itself.
fn leads_to(program: &CStr, engine: (u64, u64)) -> bool {
    let mut head: [u8; HEAD + 1];
    let mut next = Some(program);
    for _ in 0..INTERPRETERS {
        let Some(path) = next else { return false };
        // A program may be a FIFO or a terminal of the image: neither wait for nor acquire it.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let Ok(file) = open(path, flags, Mode::empty()) else {
            return false;
        };
        match fstat(&file) {
            Ok(stat) if (stat.st_dev, stat.st_ino) == engine => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
        head = [0; HEAD + 1];
        // The last byte stays zero.
        let Some(Ok(_)) = head.get_mut(..HEAD).map(|part| pread(&file, part, 0)) else {
            return false;
        };
        next = interpreter(&mut head);
    }
    false
}

/// The first word behind `#!`, terminated in place.
fn interpreter(head: &mut [u8]) -> Option<&CStr> {
    let line = head.strip_prefix(b"#!")?;
    let start = 2 + line.iter().position(|byte| !b" \t".contains(byte))?;
    let word = head.get(start..)?;
    let end = start + word.iter().position(|byte| b" \t\n\0".contains(byte))?;
    *head.get_mut(end)? = 0;
    CStr::from_bytes_until_nul(head.get(start..)?).ok()
}

fn become_user(process: &ProcessPlan) -> Result<(), Fault> {
    drop_bounding(&process.capabilities)?;
    prctl::set_keepcaps(true).at(At::User)?;
    if let Some(groups) = &process.groups {
        credentials::set_groups(groups).at(At::Groups)?;
    }
    credentials::set_group(process.gid).at(At::Group)?;
    credentials::set_user(process.uid).at(At::User)?;
    credentials::set_capabilities(process.capabilities.sets).at(At::Capabilities)?;
    prctl::set_keepcaps(false).at(At::User)?;
    match credentials::clear_ambient() {
        // Before 4.3 there is no ambient set to clear.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(errno) => return Err(errno).at(At::Ambient),
    }
    for capability in &process.capabilities.ambient {
        credentials::raise_ambient(*capability).at(At::Ambient)?;
    }
    Ok(())
}

fn drop_bounding(capabilities: &CapabilityPlan) -> Result<(), Fault> {
    for capability in &capabilities.drop {
        match credentials::drop_bounding(*capability) {
            Ok(()) => {}
            // The list goes to 63; the kernel's ends earlier.
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(errno).at(At::Bounding),
        }
    }
    Ok(())
}

/// Executes the program: returns only when no candidate could be.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "error numbers: only some have a meaning here"
)]
pub(super) fn become_program(process: &ProcessPlan) -> Fault {
    let mut reason = Errno::ENOENT;
    for candidate in &process.candidates {
        match program::execute(candidate, &process.args, &process.env) {
            Errno::ENOENT | Errno::ENOTDIR => {}
            // Another folder of PATH may have one that can be run, but then this is why not.
            Errno::EACCES => reason = Errno::EACCES,
            other => {
                reason = other;
                break;
            }
        }
    }
    Fault {
        at: At::Execute,
        index: 0,
        errno: reason,
    }
}
