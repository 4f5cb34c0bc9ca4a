//! What the allocator keeps of what was freed.

/// From how many bytes on an allocation has pages of its own.
#[cfg(target_env = "gnu")]
const LARGE: nix::libc::c_int = 256 << 10;

/// Has every large allocation given back to the system when it is freed.
///
/// By itself glibc takes ever larger ones, up to 32 MiB, from its heap, which does not shrink
/// while anything small lives behind them (mallopt(3), `M_MMAP_THRESHOLD`): after unpacking a
/// kernel's modules that was 37 MiB for nothing.
pub(crate) fn give_back_large() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator under the allocator's lock, and touches no memory
    // of anybody's.
    let _is_known = unsafe { nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, LARGE) };
}
