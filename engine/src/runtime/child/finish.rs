//! The last steps, the same for a container's first process and for later ones: limits,
//! privileges, descriptors, working folder, filter, program.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use nix::unistd::chdir;

use super::fault::{At, Fault, Step};
use crate::runtime::plan::{CapabilityPlan, ProcessPlan};
use crate::runtime::seccomp::Filter;
use crate::sys::open::current_folder_is_inside;
use crate::sys::{credentials, fds, program, signals};

/// Gives up everything that the program must not have. `proc` is the host's procfs.
pub(super) fn confine(process: &ProcessPlan, proc: BorrowedFd<'_>) -> Result<(), Fault> {
    if let Some(score) = &process.oom_score {
        fds::write_once(proc, c"self/oom_score_adj", score.as_bytes()).at(At::OomScore)?;
    }
    for (index, limit) in process.limits.iter().enumerate() {
        credentials::set_limit(limit.resource, limit.soft, limit.hard).at_item(At::Limit, index)?;
    }
    umask(Mode::from_bits_truncate(process.umask));
    if process.no_new_privileges {
        prctl::set_no_new_privs().at(At::NoNewPrivileges)?;
    }
    seal(proc)?;
    // With the descriptors sealed nothing can lead back out (CVE-2024-21626). As root first, since
    // the program's user may not be allowed to pass through the folders above.
    let entered = chdir(process.cwd.as_c_str());
    // Without no_new_privs a filter can only be loaded while there is CAP_SYS_ADMIN.
    if !process.no_new_privileges {
        load(process.seccomp.as_ref())?;
    }
    become_user(process)?;
    if entered.is_err() {
        chdir(process.cwd.as_c_str()).at(At::WorkingFolder)?;
    }
    match current_folder_is_inside() {
        Ok(true) => {}
        Ok(false) | Err(Errno::ENOENT) => return Err(Errno::EACCES).at(At::WorkingFolderOutside),
        Err(errno) => return Err(errno).at(At::WorkingFolderOutside),
    }
    signals::reset();
    prctl::set_pdeathsig(None).at(At::Session)?;
    if process.no_new_privileges {
        load(process.seccomp.as_ref())?;
    }
    Ok(())
}

fn load(filter: Option<&Filter>) -> Result<(), Fault> {
    match filter {
        Some(filter) => program::install_filter(&filter.program, filter.flags).at(At::Seccomp),
        None => Ok(()),
    }
}

/// Marks every descriptor but the three streams close-on-exec.
fn seal(proc: BorrowedFd<'_>) -> Result<(), Fault> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    match fds::seal_from(3, None) {
        Err(Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => {
            let list = openat(proc, c"self/fd", flags, Mode::empty()).at(At::Seal)?;
            fds::seal_from(3, Some(std::os::fd::AsFd::as_fd(&list))).at(At::Seal)
        }
        other => other.at(At::Seal),
    }
}

fn become_user(process: &ProcessPlan) -> Result<(), Fault> {
    drop_bounding(&process.capabilities)?;
    prctl::set_keepcaps(true).at(At::User)?;
    credentials::set_groups(&process.groups).at(At::Groups)?;
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
