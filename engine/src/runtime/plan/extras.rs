//! What few processes ask for: security labels, scheduling, personality.

use std::ffi::{CStr, CString};
use std::path::Path;

use oci_spec::runtime::{
    IOPriorityClass, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process,
    Spec,
};

use super::{Error, c_string, invalid};
use crate::sys::scheduling::SchedulingAttributes;

/// Worked out, for the moment before the program.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Extras {
    /// Files of /proc/self, and what is written to them.
    pub(in crate::runtime) labels: Vec<(&'static CStr, CString)>,
    pub(in crate::runtime) scheduling: Option<SchedulingAttributes>,
    /// Class and priority, as `ioprio_set(2)` takes them.
    pub(in crate::runtime) io_priority: Option<u16>,
    /// As `personality(2)` takes it.
    pub(in crate::runtime) personality: Option<u32>,
}

impl Extras {
    pub(super) fn build(process: &Process) -> Result<Self, Error> {
        let mut labels = Vec::new();
        let profile = process.apparmor_profile().as_deref();
        if let Some(profile) = profile.filter(|name| !name.is_empty() && *name != "unconfined") {
            labels.push(apparmor(profile)?);
        }
        let label = process.selinux_label().as_deref();
        if let Some(label) = label.filter(|label| !label.is_empty()) {
            refuse_without_selinux("process.selinuxLabel")?;
            let value = c_string(label.as_bytes(), "process.selinuxLabel")?;
            labels.push((c"self/attr/exec", value));
        }
        Ok(Self {
            labels,
            scheduling: scheduling(process)?,
            io_priority: io_priority(process)?,
            personality: None,
        })
    }
}

/// Whether this kernel runs with AppArmor.
fn has_apparmor() -> bool {
    let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|text| text.first() == Some(&b'Y'))
}

fn apparmor(profile: &str) -> Result<(&'static CStr, CString), Error> {
    const FIELD: &str = "process.apparmorProfile";
    if !has_apparmor() {
        return Err(Error::Unsupported {
            what: format!("{FIELD} {profile:?} on this kernel, which runs without AppArmor,"),
            remedy: "boot with AppArmor, or leave it out of the spec",
        });
    }
    // Of its own since 5.8, as other modules may use the older one (LSM stacking).
    let file = if Path::new("/proc/self/attr/apparmor/exec").exists() {
        c"self/attr/apparmor/exec"
    } else {
        c"self/attr/exec"
    };
    Ok((file, c_string(format!("exec {profile}").as_bytes(), FIELD)?))
}

/// A label that nobody enforces would only look like one.
pub(super) fn refuse_without_selinux(field: &str) -> Result<(), Error> {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        return Ok(());
    }
    Err(Error::Unsupported {
        what: format!("{field} on this kernel, which runs without SELinux,"),
        remedy: "boot with SELinux, or leave it out of the spec",
    })
}

fn scheduling(process: &Process) -> Result<Option<SchedulingAttributes>, Error> {
    const FIELD: &str = "process.scheduler";
    let Some(scheduler) = process.scheduler() else {
        return Ok(None);
    };
    // linux/sched.h
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    let priority = scheduler.priority().unwrap_or(0);
    Ok(Some(SchedulingAttributes {
        policy,
        flags: scheduler.flags().iter().flatten().map(flag).sum(),
        nice: scheduler.nice().unwrap_or(0),
        priority: u32::try_from(priority)
            .map_err(|_| invalid(FIELD, "must have a priority of at least 0"))?,
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    }))
}

fn io_priority(process: &Process) -> Result<Option<u16>, Error> {
    let Some(asked) = process.io_priority() else {
        return Ok(None);
    };
    let class = match asked.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u16::try_from(asked.priority()) {
        Ok(priority) if priority < 8 => Ok(Some(class << 13 | priority)),
        _ => Err(invalid(
            "process.ioPriority.priority",
            "must be between 0 and 7",
        )),
    }
}

/// The kernel's `PER_LINUX` and `PER_LINUX32` (linux/personality.h).
pub(super) fn personality(spec: &Spec) -> Result<Option<u32>, Error> {
    let linux = spec.linux().as_ref();
    let Some(asked) = linux.and_then(|linux| linux.personality().as_ref()) else {
        return Ok(None);
    };
    if asked
        .flags()
        .as_ref()
        .is_some_and(|flags| !flags.is_empty())
    {
        return Err(invalid(
            "linux.personality.flags",
            "must be empty: the specification names none",
        ));
    }
    Ok(Some(match asked.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    }))
}

/// What is written to `/proc/self/timens_offsets`.
pub(super) fn time_offsets(spec: &Spec) -> Result<Option<CString>, Error> {
    const FIELD: &str = "linux.timeOffsets";
    let linux = spec.linux().as_ref();
    let offsets = linux.and_then(|linux| linux.time_offsets().as_ref());
    let mut lines = Vec::new();
    for (clock, offset) in offsets.into_iter().flatten() {
        if !["monotonic", "boottime"].contains(&clock.as_str()) {
            return Err(invalid(FIELD, "can only have monotonic and boottime"));
        }
        let nanoseconds = offset.nanosecs().unwrap_or(0);
        if nanoseconds >= 1_000_000_000 {
            return Err(invalid(FIELD, "must have less than 10^9 nanoseconds"));
        }
        let seconds = offset.secs().unwrap_or(0);
        lines.push(format!("{clock} {seconds} {nanoseconds}\n"));
    }
    if lines.is_empty() {
        return Ok(None);
    }
    c_string(lines.concat().as_bytes(), FIELD).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(members: &str) -> Result<Extras, Error> {
        let json = format!(r#"{{"user":{{"uid":0,"gid":0}},"cwd":"/","args":["sh"]{members}}}"#);
        Extras::build(&serde_json::from_str(&json).expect("a process"))
    }

    #[test]
    fn priorities_are_as_the_kernel_takes_them() {
        let extras = process(
            r#","ioPriority":{"class":"IOPRIO_CLASS_BE","priority":5},"scheduler":{"policy":"SCHED_BATCH","nice":3}"#,
        )
        .expect("valid");
        assert_eq!(extras.io_priority, Some(0x4005));
        let scheduling = extras.scheduling.expect("asked for");
        assert_eq!((scheduling.policy, scheduling.nice), (3, 3));
    }

    #[test]
    fn priorities_out_of_range_are_refused() {
        for members in [
            r#","ioPriority":{"class":"IOPRIO_CLASS_BE","priority":8}"#,
            r#","scheduler":{"policy":"SCHED_FIFO","priority":-1}"#,
        ] {
            process(members).expect_err(members);
        }
    }

    #[test]
    fn clocks_that_have_no_offset_are_refused() {
        let spec = |offsets: &str| -> Spec {
            let json = format!(r#"{{"ociVersion":"1.2.0","linux":{{"timeOffsets":{offsets}}}}}"#);
            serde_json::from_str(&json).expect("a spec")
        };
        let text = time_offsets(&spec(r#"{"boottime":{"secs":7,"nanosecs":1}}"#)).expect("valid");
        assert_eq!(text.as_deref(), Some(c"boottime 7 1\n"));
        time_offsets(&spec(r#"{"realtime":{"secs":7}}"#)).expect_err("realtime");
        assert!(time_offsets(&spec("{}")).expect("valid").is_none());
    }
}
