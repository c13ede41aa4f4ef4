//! What cannot be had is null, or an error, and harms nothing.

#[cfg(target_os = "linux")]
use super::child::{in_child, in_child_within};
use super::model::{Block, KIB, MIB};
use std::alloc::{Layout, alloc, alloc_zeroed};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

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
#[cfg(target_os = "linux")]
fn an_exhausted_address_space_is_null_and_usable_again() {
    for limit in [48 * MIB, 128 * MIB, 512 * MIB] {
        in_child_within(
            concat!(module_path!(), "::an_exhausted_address_space_is_null_and_usable_again"),
            Some(limit as u64),
            exhaust_the_address_space,
        );
    }
}

#[cfg(target_os = "linux")]
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
    let (count, bytes) = (blocks.len() - before, blocks.iter().map(|block| block.range().len()).sum::<usize>());
    blocks[..before].iter_mut().for_each(|block| assert!(!block.try_resize(2 * limit)));
    blocks.drain(..).for_each(Block::free);
    assert!(bytes >= limit / 4 && bytes < limit, "{count} blocks of {bytes} bytes in all, of {limit}");
    for size in [100, 5 * KIB, 100 * KIB, 5 * MIB, limit / 8] {
        Block::new(Layout::from_size_align(size, 8).expect("a layout"), true, 1).free();
    }
}

/// Addresses that were reserved before the limit are still there, so that it may not be felt at once; it must do no harm.
#[test]
#[cfg(target_os = "linux")]
fn a_limit_that_comes_later_does_no_harm() {
    const ROOM: usize = 64 * MIB;
    in_child(concat!(module_path!(), "::a_limit_that_comes_later_does_no_harm"), || {
        let layout = |size| Layout::from_size_align(size, 16).expect("a layout");
        let mut blocks: Vec<Block> = Vec::with_capacity(100_000);
        blocks.push(Block::new(layout(100 * KIB), false, 1));
        let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
        let pages: usize = statm.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number of pages");
        let bytes = (pages * mapalloc::page_size() + ROOM) as libc::rlim_t;
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: the pointer is to a whole `rlimit` that the call only reads.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);

        let mut taken = 0;
        for size in [5 * MIB, 300 * KIB, 40 * KIB, 5 * KIB] {
            while taken + size <= 4 * ROOM && blocks.len() < blocks.capacity() {
                let seed = blocks.len() as u64;
                let Some(block) = Block::try_new(layout(size), seed.is_multiple_of(2), seed) else { break };
                blocks.push(block);
                taken += size;
            }
        }
        assert!(taken >= ROOM / 4, "only {taken} bytes");
        blocks.into_iter().for_each(Block::free);
        for size in [100, 5 * KIB, 100 * KIB, 5 * MIB, ROOM / 4] {
            Block::new(layout(size), true, 1).free();
        }
    });
}

#[cfg(target_os = "linux")]
fn address_space_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole `rlimit` that the call fills in.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) }, 0);
    limit.rlim_cur as usize
}

/// `RLIMIT_DATA` counts writable memory that nobody has touched: growth must do without addresses held in stock, and must
/// not disturb what other threads map meanwhile.
#[test]
#[cfg(target_os = "linux")]
fn growth_goes_on_under_a_limit_on_data() {
    in_child(concat!(module_path!(), "::growth_goes_on_under_a_limit_on_data"), || {
        let mut grown: Vec<Vec<u8>> = Vec::with_capacity(1000);
        limit_data(512 * MIB);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let neighbour = scope.spawn(|| {
                while !done.load(Relaxed) {
                    let mut pages = mapalloc::map::Mapping::new(256 * KIB).expect("a small mapping");
                    pages.fill(9);
                    assert!(pages.iter().all(|&byte| byte == 9), "another thread's pages are gone");
                }
            });
            for round in 0..200_usize {
                let mut bytes = vec![round as u8; 100 * KIB];
                bytes.resize(200 * KIB, 1);
                bytes.truncate(100 * KIB);
                grown.push(bytes);
                // Past a slot, and past the limit.
                let mut large = vec![3_u8; 15 * MIB];
                large.extend_from_slice(&[4; 4 * MIB]);
                assert!(large.try_reserve_exact(600 * MIB).is_err());
                assert_eq!((large[0], large[15 * MIB]), (3, 4));
            }
            done.store(true, Relaxed);
            neighbour.join().expect("no panic");
        });
        assert!(grown.iter().enumerate().all(|(n, bytes)| bytes.iter().all(|&byte| byte == n as u8)));
    });
}

#[cfg(target_os = "linux")]
fn limit_data(bytes: usize) {
    let limit = libc::rlimit { rlim_cur: bytes as libc::rlim_t, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to a whole `rlimit` that the call only reads.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) }, 0);
}
