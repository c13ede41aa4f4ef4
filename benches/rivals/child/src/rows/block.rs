//! A block of memory as C programs have it: a size, an alignment, no contents.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::hint::black_box;
use std::ptr::NonNull;

const PAGE: usize = 4096;

/// It is freed when dropped.
#[derive(Debug)]
pub(super) struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the block owns its memory.
unsafe impl Send for Block {}

impl Block {
    /// A block of `size` bytes, not zero, its first byte written.
    pub(super) fn new(size: usize) -> Block {
        Block::aligned(size, 8)
    }

    pub(super) fn aligned(size: usize, align: usize) -> Block {
        // SAFETY: `make` asks for layouts of a size only.
        let mut block = Block::make(size, align, |layout| unsafe { alloc(layout) });
        block.write(0);
        block
    }

    /// A block of zeros, untouched.
    pub(super) fn zeroed(size: usize) -> Block {
        // SAFETY: `make` asks for layouts of a size only.
        Block::make(size, 8, |layout| unsafe { alloc_zeroed(layout) })
    }

    fn make(size: usize, align: usize, with: impl FnOnce(Layout) -> *mut u8) -> Block {
        let layout = Layout::from_size_align(size.max(1), align).expect("a layout");
        let Some(start) = NonNull::new(black_box(with(layout))) else { handle_alloc_error(layout) };
        Block { start, layout }
    }

    pub(super) fn size(&self) -> usize {
        self.layout.size()
    }

    /// Writes a byte.
    pub(super) fn write(&mut self, at: usize) {
        assert!(at < self.size());
        // SAFETY: within the block, which is this value's.
        unsafe { self.start.as_ptr().add(at).write_volatile(1) };
    }

    /// Writes a byte of every page.
    pub(super) fn touch_pages(&mut self) {
        (0..self.size()).step_by(PAGE).for_each(|at| self.write(at));
    }

    /// Writes all of it.
    pub(super) fn fill(&mut self) {
        // SAFETY: the block's whole, which is this value's.
        unsafe { self.start.as_ptr().write_bytes(1, self.size()) };
        black_box(self.start);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
