//! Memory, for a program that lives for milliseconds: what is given back is not used again,
//! except for what is large, which is the kernel's, and what was taken last.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::ptr::null_mut;

/// Enough for most applets, and no system call; a page that nobody writes to costs nothing.
const SMALL: usize = 64 << 10;

/// From this size on the kernel is asked.
const LARGE: usize = 16 << 10;

#[global_allocator]
static HEAP: Heap = Heap {
    arena: UnsafeCell::new([0; SMALL]),
    used: Cell::new(0),
};

#[repr(C, align(16))]
struct Heap {
    arena: UnsafeCell<[u8; SMALL]>,
    /// How many bytes of it are taken.
    used: Cell<usize>,
}

// SAFETY: the program has one thread and no handlers of signals.
unsafe impl Sync for Heap {}

impl Heap {
    /// Takes from the arena, if there is room.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let begin = self.used.get().checked_next_multiple_of(layout.align())?;
        let end = begin.checked_add(layout.size())?;
        if layout.size() >= LARGE || layout.align() > align_of::<Self>() || end > SMALL {
            return None;
        }
        self.used.set(end);
        Some(self.arena.get().cast::<u8>().wrapping_add(begin))
    }

    /// Where in the arena `pointer` is, if it is there.
    fn place(&self, pointer: *mut u8) -> Option<usize> {
        let place = pointer.addr().wrapping_sub(self.arena.get().addr());
        (place < SMALL).then_some(place)
    }
}

// SAFETY: what is given out overlaps nothing that is in use: the arena's part behind `used`, or
// pages that the kernel has just mapped. Pages suit every alignment that this program asks for;
// larger ones are refused.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout)
            .or_else(|| pages::map(layout))
            .unwrap_or(null_mut())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.place(pointer) {
            None => pages::unmap(pointer, layout),
            Some(place) if place + layout.size() == self.used.get() => self.used.set(place),
            Some(_) => {}
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(pointer) = self.take(layout) else {
            // Fresh pages are zero, and are not touched before somebody needs them.
            return pages::map(layout).unwrap_or(null_mut());
        };
        // SAFETY: as many bytes were just taken.
        unsafe { pointer.write_bytes(0, layout.size()) };
        pointer
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let place = self.place(pointer);
        if let Some(place) = place {
            // What was taken last grows where it is.
            if place + layout.size() == self.used.get() && size < LARGE && place + size <= SMALL {
                self.used.set(place + size);
                return pointer;
            }
        } else if size >= LARGE {
            return pages::remap(pointer, layout, size).unwrap_or(null_mut());
        }
        // SAFETY: the caller vouches for a size that, rounded up, is no overflow.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: `size` is not zero, as the caller vouches.
        let moved = unsafe { self.alloc(new) };
        if !moved.is_null() {
            // SAFETY: both are valid for the smaller size, and what is new overlaps nothing.
            unsafe { pointer.copy_to_nonoverlapping(moved, size.min(layout.size())) };
            // SAFETY: it was allocated here with this layout, and nobody uses it any more.
            unsafe { self.dealloc(pointer, layout) };
        }
        moved
    }
}

mod pages {
    //! Pages from the kernel. It rounds lengths up itself.

    use core::alloc::Layout;
    use core::ffi::c_void;
    use core::ptr::null_mut;

    use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

    /// The smallest page of any processor.
    const PAGE: usize = 4096;

    pub(super) fn map(layout: Layout) -> Option<*mut u8> {
        if layout.align() > PAGE {
            return None;
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a mapping of its own, where the kernel wants it.
        let mapped =
            unsafe { mmap_anonymous(null_mut(), layout.size(), access, MapFlags::PRIVATE) };
        mapped.ok().map(<*mut c_void>::cast)
    }

    /// Gives back what `map` or `remap` gave with this size.
    pub(super) fn unmap(pointer: *mut u8, layout: Layout) {
        // SAFETY: whole pages that nobody uses any more. A refusal (too many mappings) leaves
        // them mapped, which harms nobody.
        let _ = unsafe { munmap(pointer.cast(), layout.size()) };
    }

    pub(super) fn remap(pointer: *mut u8, layout: Layout, size: usize) -> Option<*mut u8> {
        // SAFETY: whole pages, which the caller uses only at the new address from now on.
        let moved = unsafe { mremap(pointer.cast(), layout.size(), size, MremapFlags::MAYMOVE) };
        moved.ok().map(<*mut c_void>::cast)
    }
}
