//! `PageAlloc` with slabs for every size at the limits that a system has: of addresses, of memory, of mappings, of calls.
//!
//! Each test in a process of its own. What is the whole system's to set (overcommit, transparent huge pages for all) is set
//! only where `MAPALLOC_TEST_SYSTEM` is in the environment, and put back at once.

#![cfg(target_os = "linux")]

use mapalloc::PageAlloc;

#[path = "limits/addresses.rs"]
mod addresses;
#[path = "limits/calls.rs"]
mod calls;
#[path = "global/child.rs"]
mod child;
#[path = "limits/counts.rs"]
mod counts;
mod fork;
#[path = "limits/memory.rs"]
mod memory;
#[path = "global/model.rs"]
#[allow(dead_code, reason = "every test binary uses a part of it")]
mod model;
mod process;
#[path = "limits/system.rs"]
mod system;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_small_limit(0);

use model::{Block, KIB, MIB};
use std::alloc::Layout;

/// A size of each route.
const ROUTES: [usize; 5] = [100, 5 * KIB, 100 * KIB, 3 * MIB, 5 * MIB];

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a layout")
}

/// Takes blocks of all sizes, the largest first, until none is to be had or there are `most` bytes of them; how many bytes.
/// The list has room for them already.
fn take_all(blocks: &mut Vec<Block>, most: usize) -> usize {
    let mut taken = 0;
    for size in [256 * MIB, 64 * MIB, 5 * MIB, 300 * KIB, 40 * KIB, 5 * KIB, 700] {
        while taken + size <= most && blocks.len() < blocks.capacity() {
            let seed = blocks.len() as u64;
            let Some(block) = Block::try_new(layout(size), seed.is_multiple_of(2), seed) else { break };
            blocks.push(block);
            taken += size;
        }
    }
    taken
}

/// What cannot be had is an error to those who ask for it that way, and the program goes on.
fn absurd_requests_are_refused() {
    let mut bytes = b"kept".to_vec();
    for size in [isize::MAX as usize - 100, 1 << 56, 1 << 47] {
        assert!(bytes.try_reserve(size).is_err() && bytes.try_reserve_exact(size).is_err());
        assert!(mapalloc::PageVec::<u8>::try_with_capacity(size).is_err());
    }
    assert_eq!(bytes, b"kept");
}

/// Every route serves, grows and is as good as new.
fn everything_works() {
    for size in ROUTES {
        for zeroed in [false, true] {
            let mut block = Block::new(layout(size), zeroed, size as u64);
            block.resize(2 * size);
            block.resize(size / 2);
            block.free();
        }
    }
    let mut vec = mapalloc::PageVec::from(vec![1_u8; 10_000]);
    vec.resize(100_000, 2);
    assert_eq!((vec[9_999], vec[99_999]), (1, 2));
    absurd_requests_are_refused();
}
