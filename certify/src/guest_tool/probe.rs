//! Applets that try system calls for the refusal that they get.

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::applet::{Applet, AppletError};
use super::sys::{Attempt, attempt};

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
    ("mount", call(libc::SYS_mount, [0, 0, 0])),
    ("umount", call(libc::SYS_umount2, [0, 0, 0])),
    ("pivot_root", call(libc::SYS_pivot_root, [0, 0, 0])),
    ("unshare-user", call(libc::SYS_unshare, [NEWUSER, 0, 0])),
    ("unshare-mount", call(libc::SYS_unshare, [NEWNS, 0, 0])),
    ("setns", call(libc::SYS_setns, [-1, 0, 0])),
    // The flags alone are invalid together, but the filter sees them before the kernel does.
    ("clone-user", call(libc::SYS_clone, [NEWUSER | FS, 0, 0])),
    ("clone3", call(libc::SYS_clone3, [0, 0, 0])),
    ("keyctl", call(libc::SYS_keyctl, [0, 0, 0])),
    ("add_key", call(libc::SYS_add_key, [0, 0, 0])),
    ("request_key", call(libc::SYS_request_key, [0, 0, 0])),
    ("bpf", call(libc::SYS_bpf, [0, 0, 0])),
    (
        "perf_event_open",
        call(libc::SYS_perf_event_open, [0, 0, -1]),
    ),
    ("userfaultfd", call(libc::SYS_userfaultfd, [-1, 0, 0])),
    ("io_uring_setup", call(libc::SYS_io_uring_setup, [0, 0, 0])),
    (
        "open_by_handle_at",
        call(libc::SYS_open_by_handle_at, [-1, 0, 0]),
    ),
    ("init_module", call(libc::SYS_init_module, [0, 0, 0])),
    ("finit_module", call(libc::SYS_finit_module, [-1, 0, 0])),
    ("delete_module", call(libc::SYS_delete_module, [0, 0, 0])),
    ("kexec_load", call(libc::SYS_kexec_load, [0, -1, 0])),
    // Both magic numbers are wrong: EINVAL from whoever may.
    ("reboot", call(libc::SYS_reboot, [0, 0, 0])),
    ("swapon", call(libc::SYS_swapon, [0, 0, 0])),
    ("settimeofday", call(libc::SYS_settimeofday, [0, 0, 0])),
    ("acct", call(libc::SYS_acct, [-1, 0, 0])),
    ("syslog", call(libc::SYS_syslog, [10, 0, 0])),
    ("quotactl", call(libc::SYS_quotactl, [-1, 0, 0])),
    ("move_pages", call(libc::SYS_move_pages, [-1, 0, 0])),
    // ADDR_COMPAT_LAYOUT alone: one of the personalities that the default filter leaves out.
    (
        "personality",
        call(libc::SYS_personality, [0x020_0000, 0, 0]),
    ),
    ("ptrace", call(libc::SYS_ptrace, [-1, 0, 0])),
    #[cfg(target_arch = "x86_64")]
    (
        "x32-unshare-user",
        call(0x4000_0000 + libc::SYS_unshare, [NEWUSER, 0, 0]),
    ),
];

const NEWUSER: libc::c_long = 0x1000_0000;
const NEWNS: libc::c_long = 0x0002_0000;
const FS: libc::c_long = 0x0000_0200;

const fn call(number: libc::c_long, args: [libc::c_long; 3]) -> Attempt {
    Attempt { number, args }
}

/// Tries one call.
fn probe(args: &[String]) -> Result<String, AppletError> {
    let [name] = args else {
        return Err(AppletError::usage());
    };
    match name.as_str() {
        "vsock-socket" => {
            socket(
                AddressFamily::Vsock,
                SockType::Stream,
                SockFlag::SOCK_CLOEXEC,
                None,
            )
            .map(drop)
            .map_err(AppletError::refused("socket AF_VSOCK"))?;
        }
        #[cfg(target_arch = "x86_64")]
        "int80-unshare-user" => {
            super::sys::unshare_user_by_int80()
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
        ("epoll_create1", call(libc::SYS_epoll_create1, [-1, 0, 0])),
        ("inotify_init1", call(libc::SYS_inotify_init1, [-1, 0, 0])),
        ("eventfd2", call(libc::SYS_eventfd2, [0, -1, 0])),
        ("signalfd4", call(libc::SYS_signalfd4, [-1, 0, 0])),
        ("timerfd_create", call(libc::SYS_timerfd_create, [-1, 0, 0])),
        ("futex", call(libc::SYS_futex, [0, 1, 0])),
        ("getrandom", call(libc::SYS_getrandom, [0, 0, -1])),
        ("sendfile", call(libc::SYS_sendfile, [-1, -1, 0])),
        ("splice", call(libc::SYS_splice, [-1, 0, -1])),
        ("flock", call(libc::SYS_flock, [-1, 0, 0])),
        ("fallocate", call(libc::SYS_fallocate, [-1, 0, 0])),
        ("prlimit64", call(libc::SYS_prlimit64, [0, -1, 0])),
        (
            "sched_getaffinity",
            call(libc::SYS_sched_getaffinity, [0, 0, 0]),
        ),
        ("mincore", call(libc::SYS_mincore, [1, 0, 0])),
        ("getdents64", call(libc::SYS_getdents64, [-1, 0, 0])),
        ("utimensat", call(libc::SYS_utimensat, [-1, 0, 0])),
        ("accept4", call(libc::SYS_accept4, [-1, 0, 0])),
        ("recvmsg", call(libc::SYS_recvmsg, [-1, 0, 0])),
        ("waitid", call(libc::SYS_waitid, [-1, 0, 0])),
        ("fgetxattr", call(libc::SYS_fgetxattr, [-1, 0, 0])),
        ("chroot", call(libc::SYS_chroot, [0, 0, 0])),
        ("setgroups", call(libc::SYS_setgroups, [-1, 0, 0])),
    ];
    for (name, call) in EVERYDAY {
        if let Err(errno @ (nix::Error::EPERM | nix::Error::ENOSYS)) = attempt(*call) {
            return Err(AppletError::refused(*name)(errno));
        }
    }
    Ok(String::new())
}
