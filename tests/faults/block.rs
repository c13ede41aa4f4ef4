//! Blocks of one `PageAlloc`, called directly, that know what is in them.

use mapalloc::PageAlloc;
use std::alloc::{GlobalAlloc, Layout};

/// Every size on the engine, and no thread of its own, whose calls would come at any time.
pub(crate) static HEAP: PageAlloc = PageAlloc::new().with_small_limit(0).with_background_thread(false);

const PAGE: usize = 4096;

/// A live block with known contents at its ends, in its first pages and at a few places between.
#[derive(Debug)]
pub(crate) struct Block {
    ptr: *mut u8,
    layout: Layout,
    seed: u8,
}

// SAFETY: a block owns its memory, as a `Box<[u8]>` does.
unsafe impl Send for Block {}

/// The places that are written and checked: but for those at the end, they do not depend on the size.
fn places(size: usize) -> impl Iterator<Item = usize> {
    let starts = [0, PAGE, 5 * PAGE, 64 * PAGE, 1024 * PAGE, 3000 * PAGE, 5000 * PAGE];
    let inner = starts.into_iter().flat_map(|at| at..at + 24).filter(move |&at| at < size);
    inner.chain(size.saturating_sub(24)..size)
}

impl Block {
    /// `None` if there is no memory. Panics if what there is is not aligned, or not zero where it must be.
    pub(crate) fn new(size: usize, align: usize, zeroed: bool, seed: u8) -> Option<Self> {
        let layout = Layout::from_size_align(size, align).expect("a layout");
        // SAFETY: no size is zero.
        let ptr = unsafe { if zeroed { HEAP.alloc_zeroed(layout) } else { HEAP.alloc(layout) } };
        if ptr.is_null() {
            return None;
        }
        assert_eq!(ptr.addr() % align, 0, "{layout:?} at {ptr:?}");
        let mut block = Self { ptr, layout, seed };
        if zeroed {
            let step = if size <= 256 << 10 { 509 } else { 256 << 10 };
            let nonzero = places(size).chain((0..size).step_by(step)).find(|&at| block.byte(at) != 0);
            assert_eq!(nonzero, None, "{layout:?} is not zero");
        }
        block.write(0);
        Some(block)
    }

    fn byte(&self, at: usize) -> u8 {
        // SAFETY: the callers stay within the block, which is live and was written or zeroed there.
        unsafe { self.ptr.add(at).read() }
    }

    fn expected(&self, at: usize) -> u8 {
        self.seed.wrapping_add((at / PAGE) as u8).wrapping_add(at as u8) | 1
    }

    fn write(&mut self, from: usize) {
        for at in places(self.layout.size()).filter(|&at| at >= from) {
            // SAFETY: `places` are within the block.
            unsafe { self.ptr.add(at).write(self.expected(at)) };
        }
    }

    fn check_to(&self, size: usize, kept: usize) {
        let changed = places(size).find(|&at| at < kept && self.byte(at) != self.expected(at));
        assert_eq!(changed, None, "{self:?}: contents changed");
    }

    /// Panics if the contents are not what was written.
    pub(crate) fn check(&self) {
        self.check_to(self.layout.size(), usize::MAX);
    }

    /// Changes the size; `false`, and all is as it was, if there is no memory.
    pub(crate) fn resize(&mut self, size: usize) -> bool {
        let old = self.layout.size();
        // SAFETY: the block is live with this layout, and the size is neither zero nor too large.
        let ptr = unsafe { HEAP.realloc(self.ptr, self.layout, size) };
        if ptr.is_null() {
            self.check();
            return false;
        }
        let align = self.layout.align();
        assert_eq!(ptr.addr() % align, 0, "{self:?} to {size} bytes at {ptr:?}");
        self.ptr = ptr;
        self.layout = Layout::from_size_align(size, align).expect("a layout");
        self.check_to(old, size);
        self.write(0);
        true
    }

    /// Checks the contents and gives the memory back.
    pub(crate) fn free(self) {
        self.check();
        // SAFETY: the block is live with this layout, and gone after this.
        unsafe { HEAP.dealloc(self.ptr, self.layout) };
    }

    /// Writes every byte before the memory goes back.
    pub(crate) fn fill_and_free(self) {
        self.check();
        // SAFETY: the block is live with this layout, and gone after this.
        unsafe {
            self.ptr.write_bytes(0xff, self.layout.size());
            HEAP.dealloc(self.ptr, self.layout);
        }
    }
}
