//! A user's seccomp profile: Docker's format, or the OCI's `linux.seccomp`.

use std::fs;
use std::path::Path;

use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompBuilder, LinuxSyscall, LinuxSyscallBuilder,
};
use serde::Deserialize;

use super::Error;

/// More than this is no profile: Docker's own has 12 KiB.
const MAX_BYTES: u64 = 1 << 20;

/// Docker's format: the OCI's, with rules that depend on capabilities and architectures.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<Arch>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchFamily>>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchFamily {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    names: Option<Vec<String>>,
    /// The form before 2016.
    #[serde(default)]
    name: Option<String>,
    action: LinuxSeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

/// When a rule is there: all of these hold.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    /// `4.8`: at least that kernel.
    #[serde(default)]
    min_kernel: Option<String>,
}

/// Where a profile is used.
struct Place<'a> {
    capabilities: &'a Capabilities,
    /// Go's name of the architecture.
    arch: &'a str,
    kernel: (u32, u32),
}

/// Reads a profile for a process with these capabilities.
pub(super) fn read(path: &Path, capabilities: &Capabilities) -> Result<LinuxSeccomp, Error> {
    let size = fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > MAX_BYTES {
        let too_large = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
        return Err(Error::io("read", path)(too_large));
    }
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let place = Place {
        capabilities,
        arch: go_arch(std::env::consts::ARCH),
        kernel: kernel(),
    };
    let profile = serde_json::from_slice(&bytes).map_err(|source| Error::Profile {
        path: path.to_owned(),
        source,
    })?;
    resolve(profile, &place)
}

fn resolve(profile: Profile, place: &Place<'_>) -> Result<LinuxSeccomp, Error> {
    let mut builder = LinuxSeccompBuilder::default().default_action(profile.default_action);
    if let Some(errno) = profile.default_errno_ret {
        builder = builder.default_errno_ret(errno);
    }
    let own = |family: &ArchFamily| scmp_arch(place.arch) == Some(family.architecture);
    let family = profile.arch_map.unwrap_or_default().into_iter().find(own);
    let architectures = family.map(|family| {
        let mut all = vec![family.architecture];
        all.extend(family.sub_architectures.unwrap_or_default());
        all
    });
    if let Some(architectures) = architectures.or(profile.architectures) {
        builder = builder.architectures(architectures);
    }
    let rules = profile.syscalls.unwrap_or_default().into_iter();
    let rules: Result<Vec<_>, _> = rules
        .filter(|rule| rule.applies(place))
        .map(Rule::syscall)
        .collect();
    builder.syscalls(rules?).build().map_err(Error::Spec)
}

impl Rule {
    fn applies(&self, place: &Place<'_>) -> bool {
        let included = self
            .includes
            .as_ref()
            .is_none_or(|filter| filter.all_hold(place));
        let excluded = self
            .excludes
            .as_ref()
            .is_some_and(|filter| filter.any_holds(place));
        included && !excluded
    }

    fn syscall(self) -> Result<LinuxSyscall, Error> {
        let mut names = self.names.unwrap_or_default();
        names.extend(self.name);
        let mut builder = LinuxSyscallBuilder::default()
            .names(names)
            .action(self.action);
        if let Some(errno) = self.errno_ret {
            builder = builder.errno_ret(errno);
        }
        if let Some(args) = self.args {
            builder = builder.args(args);
        }
        builder.build().map_err(Error::Spec)
    }
}

impl Filter {
    /// As `includes`: every capability, one of the architectures, and the kernel.
    fn all_hold(&self, place: &Place<'_>) -> bool {
        self.caps.iter().flatten().all(|name| place.has(name))
            && self
                .arches
                .as_ref()
                .is_none_or(|arches| arches.is_empty() || place.is_one_of(arches))
            && self
                .min_kernel
                .as_ref()
                .is_none_or(|least| place.is_at_least(least))
    }

    /// As `excludes`: one of the capabilities, or one of the architectures, or the kernel.
    fn any_holds(&self, place: &Place<'_>) -> bool {
        self.caps.iter().flatten().any(|name| place.has(name))
            || self
                .arches
                .as_ref()
                .is_some_and(|arches| place.is_one_of(arches))
            || self
                .min_kernel
                .as_ref()
                .is_some_and(|least| place.is_at_least(least))
    }
}

impl Place<'_> {
    fn has(&self, capability: &str) -> bool {
        let name = capability.strip_prefix("CAP_").unwrap_or(capability);
        name.parse::<Capability>()
            .is_ok_and(|one| self.capabilities.contains(&one))
    }

    fn is_one_of(&self, arches: &[String]) -> bool {
        arches.iter().any(|arch| arch == self.arch)
    }

    fn is_at_least(&self, version: &str) -> bool {
        parse_version(version).is_some_and(|least| self.kernel >= least)
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The running kernel; (0, 0), older than all, when it does not say.
fn kernel() -> (u32, u32) {
    let name = nix::sys::utsname::uname().ok();
    name.and_then(|name| parse_version(name.release().to_str()?))
        .unwrap_or_default()
}

/// Go's name of an architecture, which Docker's profiles use.
fn go_arch(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

fn scmp_arch(go: &str) -> Option<Arch> {
    match go {
        "amd64" => Some(Arch::ScmpArchX86_64),
        "arm64" => Some(Arch::ScmpArchAarch64),
        "386" => Some(Arch::ScmpArchX86),
        "arm" => Some(Arch::ScmpArchArm),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390"]},
             "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}}
        ]}"#;

    fn allowed(capabilities: &[Capability], arch: &str, kernel: (u32, u32)) -> Vec<String> {
        let capabilities = capabilities.iter().copied().collect();
        let place = Place {
            capabilities: &capabilities,
            arch,
            kernel,
        };
        let seccomp = resolve(serde_json::from_str(PROFILE).unwrap(), &place).unwrap();
        let calls = seccomp.syscalls().clone().unwrap_or_default();
        calls.iter().flat_map(|call| call.names().clone()).collect()
    }

    #[test]
    fn rules_depend_on_capabilities_architecture_and_kernel() {
        assert_eq!(
            allowed(&[], "amd64", (5, 10)),
            ["read", "write", "ptrace", "clone", "arch_prctl"]
        );
        assert_eq!(
            allowed(&[Capability::SysAdmin], "arm64", (4, 7)),
            ["read", "write", "bpf"]
        );
    }

    #[test]
    fn what_is_no_profile_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        fs::write(&path, "[]").unwrap();
        let refusal = read(&path, &Capabilities::new()).unwrap_err().to_string();
        assert!(
            refusal.contains("p.json") && refusal.contains("not a seccomp profile"),
            "{refusal}"
        );
    }
}
