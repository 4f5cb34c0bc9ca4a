//! `keel runtime features`.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::{Outcome, terminal};
use crate::oci::VERSION;
use crate::runtime::capabilities::CapabilitySet;
use crate::runtime::{HookPoint, MOUNT_OPTIONS, seccomp};

/// Tell, in JSON, what of the specification this runtime does
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel-runtime features")]
pub(super) struct Args {}

/// Tells it.
pub(super) fn run() -> Outcome {
    terminal::answer(&(serde_json::to_string_pretty(&features())? + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// As the specification's features.md has it: about this program, not about this system.
fn features() -> Value {
    let hooks = [
        HookPoint::Prestart,
        HookPoint::CreateRuntime,
        HookPoint::CreateContainer,
        HookPoint::StartContainer,
        HookPoint::Poststart,
        HookPoint::Poststop,
    ];
    let capabilities: Vec<String> = CapabilitySet::ALL
        .iter()
        .map(|capability| format!("CAP_{capability}"))
        .collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": hooks.map(HookPoint::name),
        "mountOptions": MOUNT_OPTIONS.as_slice(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": {
                "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true
            },
            "seccomp": {
                "enabled": true,
                "actions": seccomp::ACTIONS,
                "operators": seccomp::OPERATORS,
                "archs": seccomp::ARCHITECTURES,
                "knownFlags": seccomp::FLAGS,
                "supportedFlags": seccomp::FLAGS,
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "intelRdt": {"enabled": false},
            "mountExtensions": {"idmap": {"enabled": true}},
        },
        "annotations": {
            "dev.keel.version": env!("CARGO_PKG_VERSION"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_specifications() {
        let features: oci_spec::runtime::Features =
            serde_json::from_value(features()).expect("the specification's features");
        let linux = features.linux().as_ref().expect("about Linux");
        let actions = linux.seccomp().as_ref().expect("filters");
        assert!(!actions.actions().as_ref().expect("actions").is_empty());
    }
}
