//! `keel runtime`, driven as an outside tool drives an OCI runtime: bundles, verbs, exit codes,
//! and what can be seen from outside. Needs root and a static busybox (`busybox-static`).
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod console;
mod crash;
mod extras;
mod hooks;
mod life;
mod making;
mod namespaces;
mod running;
mod scene;
mod seccomp;
mod users;
