//! Real containers, observed from outside through /proc and the file system. Needs root and a
//! static busybox (`apt-get install busybox-static`).
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says what it expected"
)]

#[path = "runtime/attacks.rs"]
mod attacks;
#[path = "runtime/cgroups.rs"]
mod cgroups;
#[path = "runtime/isolation.rs"]
mod isolation;
#[path = "runtime/joining.rs"]
mod joining;
#[path = "runtime/process.rs"]
mod process;
#[path = "runtime/scene.rs"]
mod scene;
