//! Applets that try system calls for the refusal that they get.

use alloc::string::String;

use linux_raw_sys::general as linux;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::applet::{Applet, AppletError};
use crate::sys::{Attempt, attempt};

pub(super) const APPLETS: &[Applet] = &[
    Applet {
        name: "probe",
        usage: "CALL",
        run: probe,
    },
    Applet {
        name: "ordinary",
        usage: "",
        run: ordinary,
    },
];

/// The calls that can be tried, by the name that `probe` takes.
///
/// Arguments are integers and null pointers only (see [`Attempt`]): where the call is not
/// refused it fails for these arguments, mostly by `EFAULT` or `EINVAL`.
const CALLS: &[(&str, Attempt)] = &[
    ("mount", call(linux::__NR_mount, [0, 0, 0])),
    ("umount", call(linux::__NR_umount2, [0, 0, 0])),
    ("pivot_root", call(linux::__NR_pivot_root, [0, 0, 0])),
    ("unshare-user", call(linux::__NR_unshare, [NEWUSER, 0, 0])),
    ("unshare-mount", call(linux::__NR_unshare, [NEWNS, 0, 0])),
    ("setns", call(linux::__NR_setns, [-1, 0, 0])),
    // The flags alone are invalid together, but the filter sees them before the kernel does.
    ("clone-user", call(linux::__NR_clone, [NEWUSER | FS, 0, 0])),
    ("clone3", call(linux::__NR_clone3, [0, 0, 0])),
    ("keyctl", call(linux::__NR_keyctl, [0, 0, 0])),
    ("add_key", call(linux::__NR_add_key, [0, 0, 0])),
    ("request_key", call(linux::__NR_request_key, [0, 0, 0])),
    ("bpf", call(linux::__NR_bpf, [0, 0, 0])),
    (
        "perf_event_open",
        call(linux::__NR_perf_event_open, [0, 0, -1]),
    ),
    ("userfaultfd", call(linux::__NR_userfaultfd, [-1, 0, 0])),
    (
        "io_uring_setup",
        call(linux::__NR_io_uring_setup, [0, 0, 0]),
    ),
    (
        "open_by_handle_at",
        call(linux::__NR_open_by_handle_at, [-1, 0, 0]),
    ),
    ("init_module", call(linux::__NR_init_module, [0, 0, 0])),
    ("finit_module", call(linux::__NR_finit_module, [-1, 0, 0])),
    ("delete_module", call(linux::__NR_delete_module, [0, 0, 0])),
    ("kexec_load", call(linux::__NR_kexec_load, [0, -1, 0])),
    // Both magic numbers are wrong: EINVAL from whoever may.
    ("reboot", call(linux::__NR_reboot, [0, 0, 0])),
    ("swapon", call(linux::__NR_swapon, [0, 0, 0])),
    ("settimeofday", call(linux::__NR_settimeofday, [0, 0, 0])),
    ("acct", call(linux::__NR_acct, [-1, 0, 0])),
    ("syslog", call(linux::__NR_syslog, [10, 0, 0])),
    ("quotactl", call(linux::__NR_quotactl, [-1, 0, 0])),
    ("move_pages", call(linux::__NR_move_pages, [-1, 0, 0])),
    // ADDR_COMPAT_LAYOUT alone: one of the personalities that the default filter leaves out.
    (
        "personality",
        call(linux::__NR_personality, [0x020_0000, 0, 0]),
    ),
    ("ptrace", call(linux::__NR_ptrace, [-1, 0, 0])),
    #[cfg(target_arch = "x86_64")]
    (
        "x32-unshare-user",
        call(0x4000_0000 + linux::__NR_unshare, [NEWUSER, 0, 0]),
    ),
];

const NEWUSER: isize = 0x1000_0000;
const NEWNS: isize = 0x0002_0000;
const FS: isize = 0x0000_0200;

const fn call(number: u32, args: [isize; 3]) -> Attempt {
    Attempt { number, args }
}

/// Tries one call.
fn probe(args: &[String]) -> Result<String, AppletError> {
    let [name] = args else {
        return Err(AppletError::usage());
    };
    match name.as_str() {
        "vsock-socket" => {
            socket_with(
                AddressFamily::VSOCK,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                None,
            )
            .map(drop)
            .map_err(AppletError::refused("socket AF_VSOCK"))?;
        }
        #[cfg(target_arch = "x86_64")]
        "int80-unshare-user" => {
            crate::sys::unshare_user_by_int80()
                .map_err(AppletError::refused("unshare by int 0x80"))?;
        }
        _ => {
            let (_, call) = CALLS
                .iter()
                .find(|(known, _)| known == name)
                .ok_or_else(AppletError::usage)?;
            attempt(*call).map_err(AppletError::refused(name.as_str()))?;
        }
    }
    Ok(String::new())
}

/// What ordinary programs do on an ordinary day: a filter that is too strict is as broken as
/// one that is too lax.
fn ordinary(_: &[String]) -> Result<String, AppletError> {
    /// Calls with arguments for which only a filter, or a kernel without the call, answers
    /// `EPERM` or `ENOSYS`.
    const EVERYDAY: &[(&str, Attempt)] = &[
        ("epoll_create1", call(linux::__NR_epoll_create1, [-1, 0, 0])),
        ("inotify_init1", call(linux::__NR_inotify_init1, [-1, 0, 0])),
        ("eventfd2", call(linux::__NR_eventfd2, [0, -1, 0])),
        ("signalfd4", call(linux::__NR_signalfd4, [-1, 0, 0])),
        (
            "timerfd_create",
            call(linux::__NR_timerfd_create, [-1, 0, 0]),
        ),
        ("futex", call(linux::__NR_futex, [0, 1, 0])),
        ("getrandom", call(linux::__NR_getrandom, [0, 0, -1])),
        ("sendfile", call(linux::__NR_sendfile, [-1, -1, 0])),
        ("splice", call(linux::__NR_splice, [-1, 0, -1])),
        ("flock", call(linux::__NR_flock, [-1, 0, 0])),
        ("fallocate", call(linux::__NR_fallocate, [-1, 0, 0])),
        ("prlimit64", call(linux::__NR_prlimit64, [0, -1, 0])),
        (
            "sched_getaffinity",
            call(linux::__NR_sched_getaffinity, [0, 0, 0]),
        ),
        ("mincore", call(linux::__NR_mincore, [1, 0, 0])),
        ("getdents64", call(linux::__NR_getdents64, [-1, 0, 0])),
        ("utimensat", call(linux::__NR_utimensat, [-1, 0, 0])),
        ("accept4", call(linux::__NR_accept4, [-1, 0, 0])),
        ("recvmsg", call(linux::__NR_recvmsg, [-1, 0, 0])),
        ("waitid", call(linux::__NR_waitid, [-1, 0, 0])),
        ("fgetxattr", call(linux::__NR_fgetxattr, [-1, 0, 0])),
        ("chroot", call(linux::__NR_chroot, [0, 0, 0])),
        ("setgroups", call(linux::__NR_setgroups, [-1, 0, 0])),
    ];
    for (name, call) in EVERYDAY {
        if let Err(errno @ (Errno::PERM | Errno::NOSYS)) = attempt(*call) {
            return Err(AppletError::refused(*name)(errno));
        }
    }
    Ok(String::new())
}
