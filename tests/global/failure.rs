//! What cannot be had is null, or an error, and harms nothing.

#[cfg(target_os = "linux")]
use super::child::{in_child, in_limited_child, limit_address_space};
use super::model::{Block, KIB, MIB};
use std::alloc::{Layout, alloc, alloc_zeroed};
use std::hint::black_box;

#[test]
fn absurd_sizes_are_null() {
    for align in [1, 16, 4 * KIB, 2 * MIB] {
        for size in [1 << 47, 1 << 56, isize::MAX as usize + 1 - align] {
            let layout = Layout::from_size_align(size, align).expect("a layout that no machine has room for");
            // SAFETY: the size is not zero.
            assert!(black_box(unsafe { alloc(layout) }).is_null(), "{layout:?}");
            // SAFETY: the size is not zero.
            assert!(black_box(unsafe { alloc_zeroed(layout) }).is_null(), "{layout:?}");
            for held in [8, 5 * KIB, 200 * KIB, 5 * MIB] {
                let mut block = Block::new(Layout::from_size_align(held, align).expect("a layout"), false, 9);
                assert!(!block.try_resize(size), "{held} to {size} bytes");
                block.free();
            }
        }
    }
}

#[test]
fn try_reserve_says_no() {
    let mut bytes = b"kept".to_vec();
    assert!(bytes.try_reserve(isize::MAX as usize - 4).is_err());
    assert!(bytes.try_reserve_exact(1 << 56).is_err());
    assert_eq!(bytes, b"kept");
    assert!(Vec::<[u8; 4096]>::new().try_reserve_exact(1 << 50).is_err());
}

#[test]
#[cfg(target_os = "linux")]
fn an_exhausted_address_space_is_null_and_usable_again() {
    const ROOM: usize = 640 * MIB;
    in_limited_child(concat!(module_path!(), "::an_exhausted_address_space_is_null_and_usable_again"), ROOM, || {
        for round in 0..3 {
            let bytes = exhaust(round, ROOM, ROOM / 4);
            // The rest is the program itself, its stacks, and what the allocator keeps room for.
            assert!((ROOM / 4..ROOM).contains(&bytes), "{} of {} MiB in round {round}", bytes / MIB, ROOM / MIB);
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_limit_that_comes_later_does_no_harm() {
    const ROOM: usize = 64 * MIB;
    in_child(concat!(module_path!(), "::a_limit_that_comes_later_does_no_harm"), || {
        Block::new(layout(100 * KIB), false, 1).free();
        let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
        let pages: usize = statm.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number of pages");
        limit_address_space(pages * mapalloc::page_size() + ROOM).expect("a lower limit is allowed");
        // Addresses that were reserved before are still there, so it may be more than `ROOM`.
        assert!(exhaust(0, 4 * ROOM, ROOM / 4) >= ROOM / 4);
    });
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a valid layout")
}

/// Takes blocks of ever smaller sizes until there is no room even for a few pages, or `most` bytes are taken; frees them,
/// and checks that all routes work again, and a block of `again` bytes. Returns how many bytes there were.
fn exhaust(round: usize, most: usize, again: usize) -> usize {
    const EVERY_ROUTE: [usize; 4] = [100, 5 * KIB, 100 * KIB, 5 * MIB];
    let mut blocks: Vec<Block> = Vec::with_capacity(100_000);
    blocks.extend(EVERY_ROUTE.map(|size| Block::new(layout(size), false, size as u64)));
    let mut bytes = EVERY_ROUTE.iter().sum::<usize>();
    for size in [64 * MIB, 5 * MIB, 300 * KIB, 40 * KIB, 5 * KIB] {
        while blocks.len() < blocks.capacity() && bytes + size <= most {
            let seed = blocks.len() + round;
            let Some(block) = Block::try_new(layout(size), seed.is_multiple_of(2), seed as u64) else { break };
            blocks.push(block);
            bytes += size;
        }
    }
    // What cannot grow stays as it is, on every route.
    blocks[..EVERY_ROUTE.len()].iter_mut().for_each(|block| assert!(!block.try_resize(1 << 46)));
    blocks.into_iter().for_each(Block::free);
    for size in EVERY_ROUTE.into_iter().chain([again]) {
        Block::new(layout(size), true, 1).free();
    }
    bytes
}
