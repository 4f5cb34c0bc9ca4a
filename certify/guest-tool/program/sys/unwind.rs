//! What the tables of the precompiled `alloc`, which could unwind, name. A panic ends this
//! program in its handler, so none of it is ever called.

/// The personality routine of the exception handling ABI.
// SAFETY: there is no standard library in this program that could have the name too.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// The end of a landing pad.
// SAFETY: there is no unwinder in this program that could have the name too.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    guest_tool::exit(101)
}
