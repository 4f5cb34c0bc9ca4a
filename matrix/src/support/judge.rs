//! From evidence to a verdict.

use crate::axis::StorageDriver;
use crate::requirement::{Catalogue, Level, Requirement};

use super::remedy::remedy;
use super::ruling::rule;
use super::{
    CHECK_SCHEMA, Driver, Evidence, Finding, KernelIdentity, State, Support, SupportVerdict,
};

/// Judges a system by the requirements of `lowest` level and above.
///
/// A pure function: the same evidence and catalogue give the same document.
pub fn judge(evidence: &Evidence, catalogue: &Catalogue, lowest: Level) -> Support {
    let evidence = &complete(evidence);
    let every: Vec<Finding> = catalogue
        .iter()
        .map(|requirement| find(requirement, evidence, catalogue))
        .collect();
    let drivers = StorageDriver::ALL
        .iter()
        .map(|driver| find_driver(*driver, &every))
        .collect();
    let requirements: Vec<Finding> = every.into_iter().filter(|f| f.level <= lowest).collect();
    Support {
        schema: CHECK_SCHEMA.to_owned(),
        kernel: evidence.kernel.clone(),
        verdict: verdict(&requirements),
        drivers,
        missing: requirements
            .iter()
            .filter(|f| f.level == Level::Must && f.state == State::Absent)
            .map(|f| f.id.clone())
            .collect(),
        notes: notes(&evidence.kernel, &requirements),
        requirements,
    }
}

/// Fills what nobody said of the kernel from the configuration's header.
fn complete(evidence: &Evidence) -> Evidence {
    let mut evidence = evidence.clone();
    if let Some(config) = &evidence.config {
        let kernel = &mut evidence.kernel;
        if kernel.version.is_none() {
            kernel.version = config.version();
            kernel.release = kernel
                .release
                .take()
                .or(config.release().map(str::to_owned));
        }
        if kernel.arch.is_none() {
            kernel.arch = config.arch();
        }
    }
    evidence
}

fn find(requirement: &Requirement, evidence: &Evidence, catalogue: &Catalogue) -> Finding {
    let ruling = rule(requirement, evidence, catalogue);
    let change = remedy(requirement, &ruling, evidence.config.as_ref(), catalogue)
        .filter(|change| !change.is_empty());
    let own = |options: &[String]| options.iter().map(|o| format!("CONFIG_{o}")).collect();
    let (options, since, until) = match ruling.way {
        Some(way) => (own(&way.options), way.since, way.until),
        None => (
            requirement
                .options()
                .iter()
                .map(|o| format!("CONFIG_{o}"))
                .collect(),
            requirement.since().or(requirement.minimum),
            requirement.until(),
        ),
    };
    let by_hand = (ruling.state == State::Absent)
        .then(|| requirement.note.clone())
        .flatten();
    Finding {
        id: requirement.id.clone(),
        level: requirement.level,
        state: ruling.state,
        available: ruling.available,
        title: requirement.title.clone(),
        why: ruling.why,
        options,
        since: since.map(|version| version.to_string()),
        until: until.map(|version| version.to_string()),
        remedy: change
            .as_ref()
            .and_then(super::Remedy::sentence)
            .or(by_hand),
        change,
    }
}

fn verdict(findings: &[Finding]) -> SupportVerdict {
    let any = |level, state| {
        findings
            .iter()
            .any(|f| f.level == level && f.state == state)
    };
    if any(Level::Must, State::Absent) {
        SupportVerdict::Unsupported
    } else if any(Level::Must, State::Unknown) || any(Level::Should, State::Absent) {
        SupportVerdict::SupportedWithGaps
    } else {
        SupportVerdict::Supported
    }
}

/// A driver is available when its kernel part is; `vfs` needs none.
fn find_driver(driver: StorageDriver, findings: &[Finding]) -> Driver {
    let id = match driver {
        StorageDriver::Overlay => "kernel.storage.overlay",
        StorageDriver::Aufs => "kernel.storage.aufs",
        StorageDriver::Btrfs => "kernel.storage.btrfs",
        StorageDriver::Vfs => {
            return Driver {
                name: driver.name().to_owned(),
                available: true,
                why: "plain copies work on any file system, at the cost of space and time".into(),
            };
        }
    };
    let finding = findings.iter().find(|f| f.id.as_str() == id);
    Driver {
        name: driver.name().to_owned(),
        available: finding.is_some_and(|f| f.available == Some(true)),
        why: finding.map_or_else(|| format!("the catalogue has no `{id}`"), |f| f.why.clone()),
    }
}

fn notes(kernel: &KernelIdentity, findings: &[Finding]) -> Vec<String> {
    let mut notes = Vec::new();
    if kernel.version.is_none() {
        notes.push(
            "the kernel's version is unknown: what depends on it is left open; give it with \
             `--kernel-version`"
                .to_owned(),
        );
    }
    let open = findings
        .iter()
        .filter(|f| f.level == Level::Must && f.state == State::Unknown)
        .count();
    if open > 0 {
        notes.push(format!(
            "{open} of the requirements that a system must meet could not be decided"
        ));
    }
    notes
}
