//! `PageAlloc` as a handle: its `GlobalAlloc`, and what that leaves out (blocks without a size, other alignments, zeros
//! behind a block that grew).
//!
//! Invariant: a block is one of the `GlobalAlloc`'s with exactly the size of its layout, by which it is found again. So no
//! more than was asked for is given out, and a block whose alignment changes is a new one.

use super::{Blocks, adapt};
use crate::global::PageAlloc;
use crate::pages::dangling;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

adapt!([F: GlobalAlloc + Copy] PageAlloc<F>);

impl<F: GlobalAlloc> Blocks for PageAlloc<F> {
    #[inline]
    fn allocate(&self, layout: Layout, zeroed: bool) -> Option<NonNull<[u8]>> {
        if layout.size() == 0 {
            return Some(NonNull::slice_from_raw_parts(dangling(layout), 0));
        }
        // SAFETY: the layout has a size.
        let block = unsafe { if zeroed { self.alloc_zeroed(layout) } else { self.alloc(layout) } };
        Some(NonNull::slice_from_raw_parts(NonNull::new(block)?, layout.size()))
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            // SAFETY: the caller's contract; a block with a size is the `GlobalAlloc`'s, of this layout.
            unsafe { self.dealloc(block.as_ptr(), layout) };
        }
    }

    #[inline]
    unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout, zeroed: bool) -> Option<NonNull<[u8]>> {
        // SAFETY: the caller's contract; a block that was reallocated has `new.size()` bytes, of which the last are new.
        unsafe {
            let Some(moved) = reallocate(self, block, old, new) else {
                return self.replace(block, old, new, zeroed);
            };
            let grown = moved?;
            if zeroed {
                grown.cast::<u8>().add(old.size()).write_bytes(0, new.size() - old.size());
            }
            Some(grown)
        }
    }

    #[inline]
    unsafe fn shrink(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<[u8]>> {
        // SAFETY: the caller's contract.
        unsafe { reallocate(self, block, old, new).unwrap_or_else(|| self.replace(block, old, new, false)) }
    }
}

/// The block with a new size, if reallocation can do it: a size changes into another one and the alignment stays.
///
/// # Safety
/// `block` is one of `alloc`'s which `old` fits; it is replaced by the answer, if that is a block.
#[inline]
unsafe fn reallocate<F: GlobalAlloc>(
    alloc: &PageAlloc<F>,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Option<Option<NonNull<[u8]>>> {
    (old.size() > 0 && new.size() > 0 && old.align() == new.align()).then(|| {
        // SAFETY: the caller's contract: a block with a size is the `GlobalAlloc`'s, of this layout; the new size is a
        // layout's with the same alignment.
        let moved = unsafe { alloc.realloc(block.as_ptr(), old, new.size()) };
        Some(NonNull::slice_from_raw_parts(NonNull::new(moved)?, new.size()))
    })
}
