//! Memory straight from the global allocator, of any size and alignment.
//!
//! Invariant: `start` is a live block of the global allocator with this layout, owned by the value, and all of its bytes
//! are initialised.

use crate::contents::Random;
use crate::objects::Fault;
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::ptr::NonNull;
use std::slice;

pub(crate) struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns its memory, as a `Box<[u8]>` does.
unsafe impl Send for Block {}

impl Block {
    /// A block with any alignment, cleared by the allocator or here.
    pub(crate) fn new(random: &mut Random, len: usize) -> Result<Self, Fault> {
        let most = if random.below(4) == 0 { 18 } else { 5 };
        let align = 1 << random.below(most);
        let layout = Layout::from_size_align(len, align).map_err(|error| Fault(error.to_string()))?;
        let zeroed = random.below(2) == 0;
        // SAFETY: the length is not zero.
        let start = unsafe { if zeroed { alloc_zeroed(layout) } else { alloc(layout) } };
        let start = Self::usable(start, layout)?;
        if !zeroed {
            // SAFETY: the block has `len` bytes.
            unsafe { start.write_bytes(0, len) };
        }
        let block = Self { start, layout };
        match block.bytes().iter().position(|&byte| byte != 0) {
            Some(at) => Err(Fault(format!("{layout:?} was to be zero and is not at byte {at}"))),
            None => Ok(block),
        }
    }

    fn usable(start: *mut u8, layout: Layout) -> Result<NonNull<u8>, Fault> {
        let start = NonNull::new(start).ok_or_else(|| Fault(format!("no memory for {layout:?}")))?;
        if start.addr().get().is_multiple_of(layout.align()) {
            Ok(start)
        } else {
            Err(Fault(format!("{layout:?} at {start:?}, which is not aligned")))
        }
    }

    pub(crate) fn resize(&mut self, len: usize) -> Result<(), Fault> {
        let (old, align) = (self.layout.size(), self.layout.align());
        let layout = Layout::from_size_align(len, align).map_err(|error| Fault(error.to_string()))?;
        // SAFETY: the block is live with its layout; the new size is neither zero nor too large.
        let start = unsafe { realloc(self.start.as_ptr(), self.layout, len) };
        self.start = Self::usable(start, layout)?;
        self.layout = layout;
        if len > old {
            // SAFETY: the block has `len` bytes.
            unsafe { self.start.add(old).write_bytes(0, len - old) };
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the invariant; `&self` keeps writers away.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the invariant; `&mut self` is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the invariant, and the value is gone after this.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
