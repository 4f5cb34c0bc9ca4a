//! What can befall a machine: always the machine's fault, never the engine's under test.

use std::fmt;
use std::time::Duration;

/// What befell a machine, with what it showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it was.
    pub kind: TroubleKind,
    /// The lines of console (or QEMU's stderr) that show it; empty when there were none.
    pub excerpt: String,
}

/// What it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TroubleKind {
    /// The guest's kernel panicked.
    KernelPanic,
    /// The guest's kernel found a bug in itself and went on.
    KernelOops,
    /// The guest as a whole ran out of memory and killed a process. (That a control group ran
    /// into its own limit is no trouble.)
    OutOfMemory,
    /// A task or a processor of the guest hung.
    Hang,
    /// The init process could not set the guest up.
    InitFailed,
    /// The init process ended, so the kernel gave up.
    InitExited,
    /// The guest had no agent when its boot deadline passed.
    BootDeadline {
        /// The deadline.
        after: Duration,
    },
    /// The booting guest's console said nothing for too long.
    Silent {
        /// How long.
        after: Duration,
    },
    /// The agent stopped answering.
    AgentLost {
        /// How it was noticed.
        why: String,
    },
    /// The processor could not be virtualised.
    KvmInternalError,
    /// QEMU ended without having been asked to.
    QemuEnded {
        /// Its exit status or signal.
        status: String,
    },
    /// The guest shut itself down without having been asked to.
    PoweredOff,
}

impl TroubleKind {
    /// A short name that stays the same between releases: for journals and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::KernelPanic => "kernel-panic",
            Self::KernelOops => "kernel-oops",
            Self::OutOfMemory => "out-of-memory",
            Self::Hang => "hang",
            Self::InitFailed => "init-failed",
            Self::InitExited => "init-exited",
            Self::BootDeadline { .. } => "boot-deadline",
            Self::Silent { .. } => "silent",
            Self::AgentLost { .. } => "agent-lost",
            Self::KvmInternalError => "kvm-internal-error",
            Self::QemuEnded { .. } => "qemu-ended",
            Self::PoweredOff => "powered-off",
        }
    }
}

impl fmt::Display for TroubleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KernelPanic => f.write_str("the guest's kernel panicked"),
            Self::KernelOops => f.write_str("the guest's kernel reported a bug in itself"),
            Self::OutOfMemory => {
                f.write_str("the guest ran out of memory: give the machine more of it")
            }
            Self::Hang => f.write_str("a task or processor of the guest hung"),
            Self::InitFailed => f.write_str("the guest could not be set up"),
            Self::InitExited => f.write_str("the guest's init process ended"),
            Self::BootDeadline { after } => write!(
                f,
                "the guest had no agent {} s after its start: see its console, or raise the boot deadline",
                after.as_secs()
            ),
            Self::Silent { after } => write!(
                f,
                "the booting guest's console was silent for {} s",
                after.as_secs()
            ),
            Self::AgentLost { why } => write!(f, "the guest's agent was lost: {why}"),
            Self::KvmInternalError => f.write_str(
                "KVM can't run this guest: use `--accelerator tcg`, or a host with working (nested) virtualisation",
            ),
            Self::QemuEnded { status } => write!(f, "QEMU ended unasked ({status})"),
            Self::PoweredOff => f.write_str("the guest shut itself down unasked"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        for line in self.excerpt.lines() {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Trouble {}
