//! Memory of malloc: a block, through the `System` allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

/// A block of zeros, freed when dropped.
///
/// Invariants: **B1** `start` is a block of `System` with `layout`, which this value alone has. **B2** its first `zeroed` bytes
/// are initialised.
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<u8>,
    layout: Layout,
    zeroed: usize,
}

impl Block {
    /// A block by `calloc(3)`; `None` if there is no memory for it.
    pub(crate) fn new(len: usize) -> Option<Self> {
        let layout = Layout::from_size_align(len, 16).ok().filter(|layout| layout.size() > 0)?;
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { System.alloc_zeroed(layout) })?;
        Some(Self { start, layout, zeroed: len })
    }

    /// Grows by `realloc(3)`, and returns whether there was memory for it.
    pub(crate) fn grow(&mut self, len: usize) -> bool {
        let Ok(layout) = Layout::from_size_align(len, self.layout.align()) else { return false };
        if len < self.layout.size() {
            return false;
        }
        // SAFETY: B1, and the size is not zero.
        let Some(start) = NonNull::new(unsafe { System.realloc(self.start.as_ptr(), self.layout, len) }) else {
            return false;
        };
        (self.start, self.layout) = (start, layout);
        true
    }

    /// The bytes that are initialised.
    pub(crate) fn zeroed(&mut self) -> &mut [u8] {
        // SAFETY: B1 and B2; the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.zeroed) }
    }

    /// All of it.
    pub(crate) fn whole(&self) -> &[MaybeUninit<u8>] {
        // SAFETY: B1, and such bytes need no value.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.layout.size()) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: B1, and nothing uses it after this.
        unsafe { System.dealloc(self.start.as_ptr(), self.layout) };
    }
}
