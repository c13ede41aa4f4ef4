//! Reallocation from every route to every other, the errno, and the layouts that are easily forgotten.

use super::model::{Block, KIB, LARGEST, MIB, Random};
use std::alloc::{Layout, alloc_zeroed, dealloc, realloc};
use std::hint::black_box;

const SIZES: [usize; 18] = [
    1,
    24,
    511,
    KIB,
    KIB + 1,
    2 * KIB,
    4 * KIB,
    8 * KIB - 1,
    32 * KIB,
    32 * KIB + 1,
    64 * KIB,
    128 * KIB - 1,
    128 * KIB + 1,
    MIB,
    2 * MIB + 1,
    4 * MIB - 1,
    4 * MIB + 1,
    6 * MIB,
];

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

#[test]
fn realloc_from_every_size_to_every_other_keeps_the_contents() {
    for align in [1, 8, 64, 4 * KIB, 64 * KIB, 2 * MIB] {
        for from in SIZES {
            for to in SIZES {
                let mut block = Block::new(layout(from, align), false, (from ^ to) as u64);
                block.resize(to);
                block.free();
            }
        }
    }
}

#[test]
fn one_block_through_all_sizes_up_and_down() {
    for align in [1, 16, 4 * KIB] {
        let mut block = Block::new(layout(1, align), true, 1);
        let sizes = SIZES.into_iter().chain([16 * MIB, LARGEST - 1, LARGEST]);
        let back = SIZES.into_iter().rev();
        sizes.chain(back).for_each(|size| block.resize(size));
        block.free();
    }
}

#[test]
fn growth_in_small_steps() {
    let mut block = Block::new(layout(100, 8), false, 5);
    for size in (100..3 * MIB).step_by(20_011) {
        block.resize(size);
    }
    block.free();
}

#[test]
fn a_shrunken_block_is_zero_when_it_comes_back_zeroed() {
    for size in SIZES {
        for smaller in [1, size / 2, size - 1] {
            let mut block = Block::new(layout(size, 8), false, 3);
            block.resize(smaller.max(1));
            block.free();
            Block::new(layout(size, 8), true, 4).free();
        }
    }
}

#[test]
fn every_alignment_at_every_size() {
    let mut blocks = Vec::new();
    for log in 0..=21 {
        for size in SIZES {
            blocks.push(Block::new(layout(size, 1 << log), log % 2 == 0, blocks.len() as u64));
        }
        blocks.drain(..blocks.len() / 2).for_each(Block::free);
    }
    blocks.into_iter().for_each(Block::free);
}

#[test]
fn errno_is_preserved() {
    fn errno() -> *mut i32 {
        // SAFETY: the address of this thread's errno; a call without arguments.
        unsafe {
            #[cfg(target_os = "linux")]
            return libc::__errno_location();
            #[cfg(not(target_os = "linux"))]
            return libc::__error();
        }
    }
    const MARK: i32 = 12_345;
    let mut random = Random::new(7);
    for _ in 0..400 {
        let (layout, size) = (random.layout(8 * MIB), random.size(8 * MIB));
        // SAFETY: errno is this thread's; the layout and the size are not zero, and the block is used as it came.
        let found = unsafe {
            errno().write(MARK);
            let ptr = black_box(std::alloc::alloc(layout));
            let after_alloc = errno().read();
            let ptr = black_box(std::alloc::realloc(ptr, layout, size));
            let after_realloc = errno().read();
            std::alloc::dealloc(ptr, Layout::from_size_align_unchecked(size, layout.align()));
            [after_alloc, after_realloc, errno().read()]
        };
        assert_eq!(found, [MARK; 3], "{layout:?}, then {size} bytes");
    }
}

/// A room that the system refuses must be found out before any page is moved: neither time nor memory may go into copies.
#[test]
fn a_large_sparse_block_grows_without_becoming_resident() {
    const GIB: usize = 1 << 30;
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
        statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * mapalloc::page_size()
    };
    let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
    // SAFETY: sizes are not zero, blocks are used within them and freed once, with their layout.
    unsafe {
        let block = alloc_zeroed(layout(GIB));
        assert!(!block.is_null());
        block.add(GIB - 1).write(7);
        let before = resident();
        let (mut block, mut size) = (block, GIB);
        // Up to what no machine has: the last ones are refused, and leave the block as it is.
        for new_size in [3 * GIB, 7 * GIB, 1 << 44, 1 << 46] {
            let grown = realloc(block, layout(size), new_size);
            if !grown.is_null() {
                (block, size) = (grown, new_size);
            }
            assert_eq!(block.add(GIB - 1).read(), 7, "{new_size} bytes");
        }
        let after = resident();
        assert!(after < before + (256 << 20), "{before} bytes were resident, now {after}");
        dealloc(block, layout(size));
    }
}
