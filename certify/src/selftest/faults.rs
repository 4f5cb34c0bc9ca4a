//! The known faults, and the case that must catch each.

use super::fault::{Bend, Fault, Value};

const fn drop_value(option: &'static [&'static str]) -> Bend {
    Bend::Drop {
        option,
        value: Value::Follows,
    }
}

const fn drop_flag(option: &'static [&'static str]) -> Bend {
    Bend::Drop {
        option,
        value: Value::None,
    }
}

const fn fault(name: &'static str, caught_by: &'static str, bend: Bend) -> Fault {
    Fault {
        name,
        caught_by,
        bend,
    }
}

/// Every known fault.
pub const FAULTS: &[Fault] = &[
    fault(
        "drop-pids-limit",
        "limits.pids-stop-a-fork-bomb",
        drop_value(&["--pids-limit"]),
    ),
    fault(
        "drop-memory",
        "limits.memory-overrun-is-137",
        drop_value(&["--memory", "-m"]),
    ),
    fault("drop-cpus", "limits.cpus-are-set", drop_value(&["--cpus"])),
    fault(
        "drop-cpu-shares",
        "limits.cpu-shares-are-set",
        drop_value(&["--cpu-shares", "-c"]),
    ),
    fault(
        "drop-ulimit",
        "limits.ulimits-are-set",
        drop_value(&["--ulimit"]),
    ),
    fault(
        "drop-read-only",
        "filesystem.read-only-root-is-read-only",
        drop_flag(&["--read-only"]),
    ),
    fault(
        "drop-tmpfs",
        "filesystem.tmpfs-has-its-options",
        drop_value(&["--tmpfs"]),
    ),
    fault(
        "drop-volume",
        "filesystem.volume-is-seen-on-both-sides",
        drop_value(&["--volume", "-v"]),
    ),
    fault(
        "drop-cap-drop",
        "security.cap-drop-all-leaves-none",
        drop_value(&["--cap-drop"]),
    ),
    fault(
        "drop-cap-add",
        "security.cap-add-gives-one",
        drop_value(&["--cap-add"]),
    ),
    fault(
        "drop-user",
        "security.users-have-no-capabilities",
        drop_value(&["--user", "-u"]),
    ),
    fault(
        "drop-workdir",
        "filesystem.working-directory-is-made",
        drop_value(&["--workdir", "-w"]),
    ),
    fault(
        "drop-env",
        "isolation.environment-is-the-images",
        drop_value(&["--env", "-e"]),
    ),
    fault(
        "drop-hostname",
        "isolation.hostname-is-set",
        drop_value(&["--hostname", "-h"]),
    ),
    fault(
        "drop-entrypoint",
        "images.entrypoint-can-be-overridden",
        drop_value(&["--entrypoint"]),
    ),
    fault(
        "drop-init",
        "lifecycle.init-is-process-one",
        drop_flag(&["--init"]),
    ),
    fault(
        "drop-stdin",
        "lifecycle.stdin-passes-every-byte",
        drop_flag(&["-i"]),
    ),
    fault(
        "drop-tty",
        "lifecycle.tty-is-a-terminal",
        drop_flag(&["-t"]),
    ),
    fault(
        "drop-rm",
        "lifecycle.run-rm-leaves-nothing",
        drop_flag(&["--rm"]),
    ),
    fault(
        "always-privileged",
        "security.capabilities-are-the-default-set",
        Bend::Add(&["--privileged"]),
    ),
    fault(
        "no-seccomp",
        "security.seccomp-filters",
        Bend::Add(&["--security-opt", "seccomp=unconfined"]),
    ),
    fault(
        "extra-capability",
        "security.capabilities-are-the-default-set",
        Bend::Add(&["--cap-add", "SYS_TIME"]),
    ),
    fault(
        "swallow-run-status",
        "lifecycle.exit-status-is-the-commands",
        Bend::Status {
            verb: "run",
            becomes: 0,
        },
    ),
    fault(
        "flatten-run-status",
        "lifecycle.what-is-not-there-is-127",
        Bend::Status {
            verb: "run",
            becomes: 1,
        },
    ),
    fault(
        "swallow-exec-status",
        "lifecycle.exec-gives-the-status",
        Bend::Status {
            verb: "exec",
            becomes: 0,
        },
    ),
    fault(
        "accept-broken-images",
        "images.wrong-diff-id-is-refused",
        Bend::Status {
            verb: "load",
            becomes: 0,
        },
    ),
    fault("ignore-kill", "lifecycle.kill-is-137", Bend::Ignore("kill")),
    fault(
        "ignore-rm",
        "lifecycle.rm-force-ends-it",
        Bend::Ignore("rm"),
    ),
    fault("ignore-rmi", "images.removed-are-gone", Bend::Ignore("rmi")),
    fault(
        "stop-without-asking",
        "lifecycle.stop-asks-first",
        Bend::Rename {
            verb: "stop",
            to: &["kill"],
        },
    ),
    fault(
        "kill-with-another-signal",
        "lifecycle.kill-sends-the-named-signal",
        Bend::Swap {
            verb: "kill",
            from: "USR1",
            to: "USR2",
        },
    ),
    fault(
        "lose-logs",
        "lifecycle.logs-keep-both-streams-in-order",
        Bend::Mute("logs"),
    ),
    fault(
        "lose-diff",
        "filesystem.diff-tells-what-changed",
        Bend::Mute("diff"),
    ),
];
