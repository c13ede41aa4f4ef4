//! What AddressSanitizer says of programs on `PageAlloc`, in builds for it (`scripts/asan`): uses of freed objects are
//! found on every route, in child processes that die of them. In other builds there is nothing to test.
#![cfg(mapalloc_asan)]

use mapalloc::PageAlloc;
use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::process::Command;

static HEAP: PageAlloc = PageAlloc::new().with_small_limit(0);

/// A size on each route: slab, page run, large.
const SIZES: [usize; 5] = [24, 1000, 20_000, 300_000, 20 << 20];

fn use_after_free(size: usize) {
    let layout = Layout::from_size_align(size, 8).unwrap();
    // SAFETY: deliberately not: the read is of freed memory, and ends this process.
    unsafe {
        let block = HEAP.alloc(layout);
        block.write_bytes(1, size);
        HEAP.dealloc(block, layout);
        black_box(block.add(size / 2).read_volatile());
    }
}

/// A block in a growth slot, left behind by a reallocation out of it.
fn use_after_leaving_a_slot() {
    // SAFETY: deliberately not, as above.
    unsafe {
        let block = HEAP.alloc(Layout::from_size_align(100_000, 8).unwrap());
        let grown = HEAP.realloc(block, Layout::from_size_align(100_000, 8).unwrap(), 1 << 20);
        grown.write_bytes(1, 1 << 20);
        let small = HEAP.realloc(grown, Layout::from_size_align(1 << 20, 8).unwrap(), 64);
        black_box((small, grown.add(4096).read_volatile()));
    }
}

#[test]
fn uses_of_freed_memory_are_found_on_every_route() {
    const VARIABLE: &str = "MAPALLOC_MISUSE";
    if let Ok(which) = std::env::var(VARIABLE) {
        match which.parse::<usize>().unwrap() {
            0 => use_after_leaving_a_slot(),
            size => use_after_free(size),
        }
        return;
    }
    for which in SIZES.into_iter().chain([0]) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["uses_of_freed_memory_are_found_on_every_route", "--exact", "--nocapture"])
            .env(VARIABLE, which.to_string())
            .output()
            .unwrap();
        let report = String::from_utf8_lossy(&child.stderr);
        assert!(!child.status.success(), "case {which} went unnoticed");
        // A block that was too large to keep is unmapped, and faults.
        let found = ["AddressSanitizer: use-after-poison", "AddressSanitizer: SEGV"];
        assert!(found.iter().any(|what| report.contains(what)), "case {which}: {report}");
    }
}
