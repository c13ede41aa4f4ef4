//! What cannot be had is null, or an error, and harms nothing.

use super::child::in_child_within;
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

/// From the smallest process that runs at all to one with room: the limit holds from before the first allocation.
#[test]
fn an_exhausted_address_space_is_null_and_usable_again() {
    for limit in [48 * MIB, 128 * MIB, 512 * MIB] {
        in_child_within(
            concat!(module_path!(), "::an_exhausted_address_space_is_null_and_usable_again"),
            Some(limit as u64),
            exhaust_the_address_space,
        );
    }
}

fn exhaust_the_address_space() {
    let limit = address_space_limit();
    let mut blocks: Vec<Block> = Vec::with_capacity(100_000);
    // A block on every route, from before.
    for size in [100, 5 * KIB, 100 * KIB, 5 * MIB] {
        blocks.push(Block::new(Layout::from_size_align(size, 8).expect("a layout"), false, size as u64));
    }
    let before = blocks.len();
    // Until not even a page is left. The seed makes the contents of each block its own.
    for size in [2 * limit, 64 * MIB, 5 * MIB, 300 * KIB, 40 * KIB, 5 * KIB] {
        let layout = Layout::from_size_align(size, 16).expect("a layout");
        while let Some(block) = Block::try_new(layout, blocks.len().is_multiple_of(2), blocks.len() as u64) {
            assert!(blocks.len() < blocks.capacity(), "no limit in sight");
            blocks.push(block);
        }
    }
    let (count, bytes) = (blocks.len() - before, blocks.iter().map(|block| block.layout().size()).sum::<usize>());
    blocks[..before].iter_mut().for_each(|block| assert!(!block.try_resize(2 * limit)));
    blocks.drain(..).for_each(Block::free);
    assert!(bytes >= limit / 4 && bytes < limit, "{count} blocks of {bytes} bytes in all, of {limit}");
    for size in [100, 5 * KIB, 100 * KIB, 5 * MIB, limit / 8] {
        Block::new(Layout::from_size_align(size, 8).expect("a layout"), true, 1).free();
    }
}

fn address_space_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole `rlimit` that the call fills in.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) }, 0);
    limit.rlim_cur as usize
}
