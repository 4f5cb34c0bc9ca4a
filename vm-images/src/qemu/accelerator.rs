//! What executes a guest's instructions, and why no better.

use std::fmt;

use matrix::axis::Accelerator;

/// What executes a guest's instructions. It stands beside every verdict and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceleration {
    /// What.
    pub accelerator: Accelerator,
    /// Why it is no better; none where nothing better was wanted.
    pub reason: Option<String>,
}

impl Acceleration {
    /// No virtual machine: the processor itself.
    pub fn none() -> Self {
        Self {
            accelerator: Accelerator::None,
            reason: None,
        }
    }

    /// Hardware virtualisation, which has proved to work.
    pub fn kvm() -> Self {
        Self {
            accelerator: Accelerator::Kvm,
            reason: None,
        }
    }

    /// QEMU's translation because it was asked for.
    pub fn tcg() -> Self {
        Self {
            accelerator: Accelerator::Tcg,
            reason: None,
        }
    }

    /// QEMU's translation because KVM failed.
    pub fn tcg_because(reason: impl fmt::Display) -> Self {
        Self {
            accelerator: Accelerator::Tcg,
            reason: Some(reason.to_string()),
        }
    }
}

impl fmt::Display for Acceleration {
    /// `KVM`, `TCG (kvm failed: /dev/kvm can't be opened: …)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.accelerator {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "TCG",
            Accelerator::None => "no virtual machine",
        })?;
        match &self.reason {
            Some(reason) => write!(f, " (kvm failed: {reason})"),
            None => Ok(()),
        }
    }
}
