//! A container's life: what was asked, what it came to be, what became of it.
