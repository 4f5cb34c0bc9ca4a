//! What reads foreign bytes, each reader as a function of bytes alone.
//!
//! Such a function returns if the reader kept its promises, whatever the bytes say, and panics if
//! not. libFuzzer calls them (`engine/fuzz/`), and stable Rust replays the inputs that were kept
//! (`engine/tests/corpus.rs`). No code of the engine calls them, so its program has none of them.

pub use crate::cli::fuzz::template;
pub use crate::container::fuzz::{options, user};
pub use crate::dockerfile::fuzz::{dockerfile, dockerignore, expansion};
pub use crate::image::fuzz::{archive, config, decompression, layer, manifest, reference};
pub use crate::oci::fuzz::{bundle, process};
pub use crate::runtime::fuzz::{cgroup_files, mountinfo};

/// A reader, by the name of its target and of its folder of kept inputs.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 16] = [
    ("archive", archive),
    ("bundle", bundle),
    ("cgroup_files", cgroup_files),
    ("config", config),
    ("decompression", decompression),
    ("dockerfile", dockerfile),
    ("dockerignore", dockerignore),
    ("expansion", expansion),
    ("layer", layer),
    ("manifest", manifest),
    ("mountinfo", mountinfo),
    ("options", options),
    ("process", process),
    ("reference", reference),
    ("template", template),
    ("user", user),
];

/// Foreign bytes as text, as those who call the reader make it.
pub(crate) fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
