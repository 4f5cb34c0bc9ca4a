//! The process: program, identity, limits, filter.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::libc;
use oci_spec::runtime::{Capabilities, LinuxCapabilities, PosixRlimitType, Process, User};

use super::extras::Extras;
use super::{c_string, inner_path, invalid, refuse_process};
use crate::runtime::capabilities::CapabilitySet;
use crate::runtime::seccomp::Filter;
use crate::runtime::{Console, Error, requirement};
use crate::sys::credentials::CapabilitySets;
use crate::sys::program::StringArray;
use crate::sys::user_namespace::may_set_groups;

/// A process, worked out.
#[derive(Debug)]
pub(in crate::runtime) struct ProcessPlan {
    /// `process.args[0]`, for messages.
    pub(in crate::runtime) program: String,
    /// What to try to execute, in order.
    pub(in crate::runtime) candidates: Vec<CString>,
    /// Device and inode of the engine's own binary, which must never be executed inside.
    pub(in crate::runtime) engine: (u64, u64),
    pub(in crate::runtime) args: StringArray,
    pub(in crate::runtime) env: StringArray,
    pub(in crate::runtime) cwd: CString,
    /// The same, relative to the root.
    pub(in crate::runtime) cwd_inside: CString,
    pub(in crate::runtime) uid: u32,
    pub(in crate::runtime) gid: u32,
    /// Further groups; `None`: none can be set in this user namespace.
    pub(in crate::runtime) groups: Option<Vec<u32>>,
    pub(in crate::runtime) umask: u32,
    pub(in crate::runtime) capabilities: CapabilityPlan,
    pub(in crate::runtime) limits: Vec<Limit>,
    pub(in crate::runtime) no_new_privileges: bool,
    pub(in crate::runtime) oom_score: Option<String>,
    pub(in crate::runtime) seccomp: Option<Filter>,
    /// How many descriptors behind the streams stay open.
    pub(in crate::runtime) preserved: u16,
    pub(in crate::runtime) extras: Extras,
}

/// Capability changes.
#[derive(Debug, Default)]
pub(in crate::runtime) struct CapabilityPlan {
    /// The bounding set's complement.
    pub(in crate::runtime) drop: Vec<u8>,
    pub(in crate::runtime) sets: CapabilitySets,
    pub(in crate::runtime) ambient: Vec<u8>,
}

/// A resource limit.
#[derive(Debug)]
pub(in crate::runtime) struct Limit {
    pub(in crate::runtime) name: String,
    pub(in crate::runtime) resource: u32,
    pub(in crate::runtime) soft: u64,
    pub(in crate::runtime) hard: u64,
}

impl ProcessPlan {
    pub(in crate::runtime) fn build(
        process: &Process,
        filter: Option<Filter>,
        console: Console,
    ) -> Result<Self, Error> {
        if filter.is_some() {
            requirement::seccomp()?;
        }
        refuse_process(process)?;
        if process.terminal() == Some(true) && console == Console::None {
            return Err(invalid(
                "process.terminal",
                "is true, but nobody is there to take the terminal",
            ));
        }
        let args = process.args().as_deref().unwrap_or_default();
        let program = args.first().filter(|program| !program.is_empty());
        let program = program.ok_or_else(|| invalid("process.args", "must name a program"))?;
        let env = process.env().as_deref().unwrap_or_default();
        let cwd = process.cwd();
        if !cwd.is_absolute() {
            return Err(invalid("process.cwd", "must be an absolute path"));
        }
        let user = process.user();
        refuse_unchanged(user)?;
        Ok(Self {
            candidates: candidates(program, env)?,
            engine: engine()?,
            args: strings(args, "process.args")?,
            env: strings(env, "process.env")?,
            cwd: c_string(cwd.as_os_str().as_bytes(), "process.cwd")?,
            cwd_inside: inner_path(cwd)?,
            uid: user.uid(),
            gid: user.gid(),
            groups: groups(user.additional_gids().as_deref().unwrap_or_default())?,
            umask: user.umask().unwrap_or(0o022),
            capabilities: capabilities(process.capabilities().as_ref())?,
            limits: limits(process)?,
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            oom_score: oom_score(process)?,
            seccomp: filter,
            preserved: 0,
            extras: Extras::build(process)?,
            program: program.clone(),
        })
    }
}

fn groups(asked: &[u32]) -> Result<Option<Vec<u32>>, Error> {
    match (may_set_groups(), asked) {
        (true, _) => Ok(Some(asked.to_vec())),
        (false, []) => Ok(None),
        (false, _) => Err(invalid(
            "process.user.additionalGids",
            "must be empty: a user namespace without ranges of groups (/etc/subgid) has no further groups",
        )),
    }
}

/// `-1` is no id: setresuid(2) and setresgid(2) leave it at what it was, which is root.
fn refuse_unchanged(user: &User) -> Result<(), Error> {
    let others = user.additional_gids().iter().flatten().copied();
    if [user.uid(), user.gid()]
        .into_iter()
        .chain(others)
        .any(|id| id == u32::MAX)
    {
        return Err(invalid(
            "process.user",
            "has the id 4294967295, which stands for no user and no group",
        ));
    }
    Ok(())
}

fn engine() -> Result<(u64, u64), Error> {
    match nix::sys::stat::stat("/proc/self/exe") {
        Ok(stat) => Ok((stat.st_dev, stat.st_ino)),
        Err(errno) => Err(super::setup(
            "look at Keel's own binary".to_owned(),
            "see that /proc is mounted",
            errno,
        )),
    }
}

fn strings(list: &[String], field: &str) -> Result<StringArray, Error> {
    let list = list.iter().map(|text| c_string(text.as_bytes(), field));
    Ok(StringArray::new(list.collect::<Result<_, _>>()?))
}

/// As execvp(3): a name without a slash is looked for along the container's own `PATH`.
fn candidates(program: &str, env: &[String]) -> Result<Vec<CString>, Error> {
    let text = |path: &Path| c_string(path.as_os_str().as_bytes(), "process.args");
    if program.contains('/') {
        return Ok(vec![text(Path::new(program))?]);
    }
    let path = env
        .iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="));
    let path = path.unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path.split(':')
        // An empty entry means the working folder.
        .map(|folder| PathBuf::from(if folder.is_empty() { "." } else { folder }).join(program))
        .map(|candidate| text(&candidate))
        .collect()
}

fn oom_score(process: &Process) -> Result<Option<String>, Error> {
    match process.oom_score_adj() {
        Some(score) if !(-1000..=1000).contains(&score) => Err(invalid(
            "process.oomScoreAdj",
            "must be between -1000 and 1000",
        )),
        score => Ok(score.map(|score| score.to_string())),
    }
}

fn capabilities(asked: Option<&LinuxCapabilities>) -> Result<CapabilityPlan, Error> {
    let set = |set: Option<&Option<Capabilities>>| {
        set.and_then(Option::as_ref)
            .map(CapabilitySet::from)
            .unwrap_or_default()
    };
    let bounding = set(asked.map(LinuxCapabilities::bounding));
    let permitted = set(asked.map(LinuxCapabilities::permitted));
    let effective = set(asked.map(LinuxCapabilities::effective));
    let inheritable = set(asked.map(LinuxCapabilities::inheritable));
    let available = CapabilitySet::available().map_err(|error| {
        super::setup(
            "read this process's capabilities".to_owned(),
            "run Keel as root",
            error,
        )
    })?;
    let wanted = CapabilitySet(bounding.0 | permitted.0 | effective.0 | inheritable.0);
    if let Some(capability) = wanted.without(available).iter().next() {
        return Err(Error::Unsupported {
            what: format!("the capability CAP_{capability}, which Keel itself does not have,"),
            remedy: "start Keel with it, or take it out of process.capabilities",
        });
    }
    if effective.without(permitted) != CapabilitySet::default() {
        return Err(invalid(
            "process.capabilities.effective",
            "must not hold more than `permitted`",
        ));
    }
    // An ambient capability must be permitted and inheritable (capabilities(7)); what is not
    // permitted cannot become ambient, which other runtimes take for granted too.
    let ambient = set(asked.map(LinuxCapabilities::ambient)).intersection(permitted);
    Ok(CapabilityPlan {
        drop: CapabilitySet(u64::MAX)
            .without(bounding)
            .numbers()
            .collect(),
        sets: CapabilitySets {
            effective: effective.0,
            permitted: permitted.0,
            // CVE-2022-24769: never more than asked for.
            inheritable: inheritable.0 | ambient.0,
        },
        ambient: ambient.numbers().collect(),
    })
}

fn limits(process: &Process) -> Result<Vec<Limit>, Error> {
    let mut limits: Vec<Limit> = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        let (name, resource) = resource(limit.typ());
        if limits.iter().any(|other| other.resource == resource) {
            return Err(invalid("process.rlimits", &format!("names {name} twice")));
        }
        if limit.soft() > limit.hard() {
            return Err(invalid(
                "process.rlimits",
                &format!("has a soft {name} above the hard one"),
            ));
        }
        limits.push(Limit {
            name: name.to_owned(),
            resource,
            soft: limit.soft(),
            hard: limit.hard(),
        });
    }
    Ok(limits)
}

fn resource(kind: PosixRlimitType) -> (&'static str, u32) {
    match kind {
        PosixRlimitType::RlimitCpu => ("RLIMIT_CPU", libc::RLIMIT_CPU),
        PosixRlimitType::RlimitFsize => ("RLIMIT_FSIZE", libc::RLIMIT_FSIZE),
        PosixRlimitType::RlimitData => ("RLIMIT_DATA", libc::RLIMIT_DATA),
        PosixRlimitType::RlimitStack => ("RLIMIT_STACK", libc::RLIMIT_STACK),
        PosixRlimitType::RlimitCore => ("RLIMIT_CORE", libc::RLIMIT_CORE),
        PosixRlimitType::RlimitRss => ("RLIMIT_RSS", libc::RLIMIT_RSS),
        PosixRlimitType::RlimitNproc => ("RLIMIT_NPROC", libc::RLIMIT_NPROC),
        PosixRlimitType::RlimitNofile => ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE),
        PosixRlimitType::RlimitMemlock => ("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK),
        PosixRlimitType::RlimitAs => ("RLIMIT_AS", libc::RLIMIT_AS),
        PosixRlimitType::RlimitLocks => ("RLIMIT_LOCKS", libc::RLIMIT_LOCKS),
        PosixRlimitType::RlimitSigpending => ("RLIMIT_SIGPENDING", libc::RLIMIT_SIGPENDING),
        PosixRlimitType::RlimitMsgqueue => ("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE),
        PosixRlimitType::RlimitNice => ("RLIMIT_NICE", libc::RLIMIT_NICE),
        PosixRlimitType::RlimitRtprio => ("RLIMIT_RTPRIO", libc::RLIMIT_RTPRIO),
        PosixRlimitType::RlimitRttime => ("RLIMIT_RTTIME", libc::RLIMIT_RTTIME),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(members: &str) -> Result<ProcessPlan, Error> {
        let json = format!(r#"{{"user":{{"uid":0,"gid":0}},"cwd":"/","args":["sh"]{members}}}"#);
        let process: Process = serde_json::from_str(&json).expect("a process");
        ProcessPlan::build(&process, None, Console::None)
    }

    #[test]
    fn a_bare_name_is_looked_for_along_the_containers_path() {
        let plan = process(r#","env":["PATH=/a","PATH=/b::/c"]"#).expect("a plan");
        assert_eq!(
            plan.candidates,
            [c"/b/sh".into(), c"./sh".into(), CString::from(c"/c/sh")]
        );
    }

    #[test]
    fn without_capabilities_in_the_spec_all_are_dropped() {
        let plan = process("").expect("a plan");
        assert_eq!(plan.capabilities.sets, CapabilitySets::default());
        assert_eq!(plan.capabilities.drop.len(), 64);
    }

    #[test]
    fn nothing_is_inheritable_beyond_the_ambient_set() {
        let plan = process(r#","capabilities":{"bounding":["CAP_CHOWN","CAP_KILL"],"permitted":["CAP_CHOWN","CAP_KILL"],"effective":["CAP_CHOWN"],"ambient":["CAP_KILL"]}"#)
            .expect("a plan");
        assert_eq!(plan.capabilities.sets.inheritable, 1 << 5);
        assert_eq!(plan.capabilities.ambient, [5]);
        assert_eq!(plan.capabilities.drop.len(), 62);
    }

    #[test]
    fn contradictions_are_refused() {
        for members in [
            r#","rlimits":[{"type":"RLIMIT_CPU","soft":2,"hard":1}]"#,
            r#","rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":1},{"type":"RLIMIT_CPU","soft":1,"hard":1}]"#,
            r#","oomScoreAdj":1001"#,
            r#","terminal":true"#,
            r#","env":["A=\u0000"]"#,
        ] {
            process(members).expect_err(members);
        }
    }
}
