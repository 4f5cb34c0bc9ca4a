//! Targets of fuzzing: bundles.

use std::path::Path;

use oci_spec::runtime::{LinuxNamespace, Process, Spec};

use super::bundle;
use crate::runtime::fuzz;

/// A `config.json` is worked out as far as before the first system call that makes something, or
/// refused.
pub fn bundle(data: &[u8]) {
    let path = Path::new("config.json");
    let Ok(spec) = bundle::parse::<Spec>(data, path) else {
        return;
    };
    let Ok(maps) = bundle::mount_maps(data, path) else {
        return;
    };
    // Namespaces to join are opened, so the fuzzer may only name its own.
    let namespaces = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.namespaces().as_ref());
    let is_own = |namespace: &LinuxNamespace| {
        namespace
            .path()
            .as_ref()
            .is_none_or(|path| path.starts_with("/proc/self/ns") && path.components().count() == 5)
    };
    if namespaces.is_none_or(|list| list.iter().all(is_own)) {
        fuzz::spec(&spec, &maps);
    }
}

/// A `process.json` of `exec` is worked out, or refused.
pub fn process(data: &[u8]) {
    if let Ok(process) = bundle::parse::<Process>(data, Path::new("process.json")) {
        fuzz::process(&process);
    }
}
