//! What is fixed when a run begins: `run.json`.

use jiff::civil::Date;
use matrix::plan::Plan;
use matrix::policy::Policy;
use matrix::results::{EngineIdentity, Selftest};
use matrix::sabotage::Sabotage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of `schema` in `run.json`.
pub const RUN_SCHEMA: &str = "seaworthy.run/1";

/// All that a run's journal is judged by, and where it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunFacts {
    /// [`RUN_SCHEMA`].
    pub schema: String,
    /// The version of Seaworthy.
    pub harness: String,
    /// When the run began, as RFC 3339 in UTC. A resumed run keeps it.
    pub started: String,
    /// The day that waivers are held against.
    #[schemars(with = "String")]
    pub judged_on: Date,
    /// The cells.
    pub plan: Plan,
    /// What is demanded of them, whole.
    pub policy: Policy,
    /// What is tested, to the byte.
    pub engine: EngineIdentity,
    /// The known fault that is built into it in every cell; absent for an honest engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
    /// The ids of all cases that the harness had.
    pub cases: Vec<String>,
    /// Where the run was made.
    pub host: HostFacts,
    /// What executed the guests and why no better (`tcg (kvm failed: …)`).
    pub accelerator: String,
    /// What QEMU says of its version; absent where no machine is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qemu: Option<String>,
    /// The size of each machine; absent where no machine is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineSize>,
    /// The harness's own programs, to the byte.
    #[serde(default)]
    pub programs: Vec<ProgramFacts>,
    /// How these programs' suites did against known-bad engines; absent where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selftest: Option<Selftest>,
    /// The kernels, to the byte.
    #[serde(default)]
    pub kernels: Vec<KernelFacts>,
}

/// The machine that a run was made on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// The distribution, as `PRETTY_NAME` in `/etc/os-release` has it.
    pub system: String,
    /// The kernel's release.
    pub kernel_release: String,
    /// The architecture, by Debian's name.
    pub arch: String,
    /// Processors that the run could use.
    pub cpus: usize,
    /// Memory, in MiB.
    pub memory_mib: u64,
}

/// The size of each machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineSize {
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: u32,
}

/// A program that runs on the machines, the engine aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramFacts {
    /// Its name (`seaworthy`).
    pub name: String,
    /// SHA-256 of its file, 64 hexadecimal digits.
    pub sha256: String,
}

/// A kernel that cells run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelFacts {
    /// The first three parts of its cells' ids (`debian-12/6.1/amd64`).
    pub name: String,
    /// Its release.
    pub release: String,
    /// The packages or files that it came from, each as `NAME VERSION sha256:DIGEST`.
    pub origin: Vec<String>,
}
