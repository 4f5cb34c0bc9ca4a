//! What a spec may ask for and Keel does not do. Refused, never ignored: a container that runs
//! without what it asked for is worse than one that does not run.

use oci_spec::runtime::{Process, Spec};

use crate::runtime::Error;

#[expect(
    clippy::fn_params_excessive_bools,
    reason = "the condition itself, not a mode"
)]
fn refuse(asked: bool, what: &str, remedy: &'static str) -> Result<(), Error> {
    if asked {
        return Err(Error::Unsupported {
            what: what.to_owned(),
            remedy,
        });
    }
    Ok(())
}

const LEAVE_OUT: &str = "leave it out of the spec";

pub(super) fn refuse_spec(spec: &Spec) -> Result<(), Error> {
    refuse(spec.windows().is_some(), "the member `windows`", LEAVE_OUT)?;
    refuse(spec.solaris().is_some(), "the member `solaris`", LEAVE_OUT)?;
    refuse(spec.zos().is_some(), "the member `zos`", LEAVE_OUT)?;
    refuse(spec.vm().is_some(), "the member `vm`", LEAVE_OUT)?;
    refuse(
        has(spec.uid_mappings().as_ref()),
        "the member `uidMappings`",
        LEAVE_OUT,
    )?;
    refuse(
        has(spec.gid_mappings().as_ref()),
        "the member `gidMappings`",
        LEAVE_OUT,
    )?;
    let Some(linux) = spec.linux() else {
        return Ok(());
    };
    refuse(linux.intel_rdt().is_some(), "linux.intelRdt", LEAVE_OUT)?;
    refuse(
        linux.memory_policy().is_some(),
        "linux.memoryPolicy",
        LEAVE_OUT,
    )?;
    refuse(
        linux
            .net_devices()
            .as_ref()
            .is_some_and(|devices| !devices.is_empty()),
        "linux.netDevices",
        LEAVE_OUT,
    )
}

/// Hooks read the state of a container that only the caller can tell.
pub(super) fn refuse_hooks(spec: &Spec) -> Result<(), Error> {
    refuse(
        has_hooks(spec),
        "a hook here",
        "use `keel runtime`, or run it before or after the container is started",
    )
}

/// As [`refuse_spec`], for what a process asks for.
pub(in crate::runtime) fn refuse_process(process: &Process) -> Result<(), Error> {
    refuse(
        process.command_line().is_some(),
        "process.commandLine",
        "use process.args",
    )?;
    refuse(
        process.exec_cpu_affinity().is_some(),
        "process.execCPUAffinity",
        "use linux.resources.cpu.cpus",
    )
}

fn has<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

fn has_hooks(spec: &Spec) -> bool {
    spec.hooks().as_ref().is_some_and(|hooks| {
        [
            hooks.prestart(),
            hooks.create_runtime(),
            hooks.create_container(),
            hooks.start_container(),
            hooks.poststart(),
            hooks.poststop(),
        ]
        .into_iter()
        .any(|list| has(list.as_ref()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(member: &str) -> String {
        let spec: Spec = serde_json::from_str(&format!("{{\"ociVersion\":\"1.0.2\",{member}}}"))
            .expect("a spec");
        refuse_spec(&spec)
            .and_then(|()| refuse_hooks(&spec))
            .and_then(|()| spec.process().as_ref().map_or(Ok(()), refuse_process))
            .expect_err("refused")
            .to_string()
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for (member, name) in [
            (r#""hooks":{"poststop":[{"path":"/bin/true"}]}"#, "a hook"),
            (
                r#""process":{"cwd":"/","user":{"uid":0,"gid":0},"commandLine":"x"}"#,
                "process.commandLine",
            ),
            (r#""linux":{"intelRdt":{}}"#, "linux.intelRdt"),
        ] {
            assert!(
                refused(member).starts_with(name),
                "{member}: {}",
                refused(member)
            );
        }
    }

    #[test]
    fn an_empty_list_asks_for_nothing() {
        let spec: Spec = serde_json::from_str(r#"{"ociVersion":"1.0.2","hooks":{"poststop":[]}}"#)
            .expect("a spec");
        assert!(refuse_hooks(&spec).is_ok());
    }
}
