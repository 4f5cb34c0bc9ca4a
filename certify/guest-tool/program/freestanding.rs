//! What the standard library would do for a program: memory, and last words.

#[cfg(not(panic = "abort"))]
compile_error!("the freestanding program can't unwind: build it with `--profile guest-tool`");

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use rustix_dlmalloc::GlobalDlmalloc;

#[global_allocator]
static HEAP: GlobalDlmalloc = GlobalDlmalloc;

/// Standard error, for the last words.
struct Stderr;

impl Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        guest_tool::complain(text);
        Ok(())
    }
}

/// Says what went wrong and ends with the status that Rust's programs end with.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Stderr, "{info}");
    guest_tool::exit(101)
}
