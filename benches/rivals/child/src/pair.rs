//! Pairs of an allocation and its free, for counting instructions.

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;

/// Allocates and frees a block so many times.
///
/// # Panics
/// If the layout is none, or memory runs out.
pub fn pairs(size: usize, count: usize) {
    let layout = Layout::from_size_align(size, 8).expect("a size");
    assert!(size > 0, "a size");
    for _ in 0..count {
        // SAFETY: the size is not zero; the block is freed once, with its layout.
        unsafe {
            let block = black_box(alloc(black_box(layout)));
            assert!(!block.is_null(), "memory");
            dealloc(block, black_box(layout));
        }
    }
}
