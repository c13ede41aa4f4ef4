//! What cannot be had is null, or an error, and harms nothing.

use super::child::in_child;
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
    in_child(concat!(module_path!(), "::an_exhausted_address_space_is_null_and_usable_again"), || {
        const ROOM: usize = 512 * MIB;
        let mut blocks: Vec<Block> = Vec::with_capacity(200_000);
        // A block on every route, from before.
        for size in [100, 5 * KIB, 100 * KIB, 5 * MIB] {
            blocks.push(Block::new(Layout::from_size_align(size, 8).expect("a layout"), false, size as u64));
        }
        limit_address_space(ROOM);
        let before = blocks.len();
        // Until not even a page is left. The seed makes the contents of each block its own.
        for size in [2 * ROOM, 64 * MIB, 5 * MIB, 300 * KIB, 40 * KIB, 5 * KIB] {
            let layout = Layout::from_size_align(size, 16).expect("a layout");
            while blocks.len() < blocks.capacity() {
                match Block::try_new(layout, blocks.len().is_multiple_of(2), blocks.len() as u64) {
                    Some(block) => blocks.push(block),
                    None => break,
                }
            }
        }
        let (count, bytes) = (blocks.len() - before, blocks.iter().map(|block| block.layout().size()).sum::<usize>());
        blocks[..before].iter_mut().for_each(|block| assert!(!block.try_resize(2 * ROOM)));
        blocks.drain(..).for_each(Block::free);
        // What was reserved before the limit counts too, so there is no upper bound to check.
        assert!(bytes >= ROOM / 4, "only {count} blocks of {bytes} bytes in all");
        for size in [100, 5 * KIB, 100 * KIB, 5 * MIB, 100 * MIB] {
            Block::new(Layout::from_size_align(size, 8).expect("a layout"), true, 1).free();
        }
    });
}

/// Leaves this process `room` more bytes of addresses than it has.
#[cfg(target_os = "linux")]
fn limit_address_space(room: usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages: usize = statm.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number of pages");
    let limit = (pages * mapalloc::page_size() + room) as libc::rlim_t;
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: the pointer is to a whole `rlimit` that the call only reads.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}
