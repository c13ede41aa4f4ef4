//! At the kernel's limit of mappings (`vm.max_map_count`) blocks are refused or had elsewhere, and when they are freed the
//! process is far from the limit again: nothing stays behind that would keep threads from starting.
#![cfg(target_os = "linux")]

use mapalloc::PageAlloc;
use std::alloc::{GlobalAlloc, Layout};

static HEAP: PageAlloc = PageAlloc::new();

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn the_limit_of_mappings_leaves_no_trace() {
    let limit: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    if limit > 100_000 {
        eprintln!("vm.max_map_count is {limit}: more than a test can reach");
        return;
    }
    let before = mappings();
    let layout = Layout::from_size_align(5 << 20, 8).unwrap();
    // Memory of the test's own, from before the limit: at it, even a growing list may be refused.
    let mut blocks = Vec::with_capacity(limit + 10_000);
    for round in 0..2 {
        while blocks.len() < blocks.capacity() {
            // SAFETY: the size is not zero.
            let block = unsafe { HEAP.alloc(layout) };
            if block.is_null() {
                break;
            }
            blocks.push(block);
        }
        assert!(blocks.len() * 2 > limit, "only {} blocks in round {round}", blocks.len());
        // Every other one first, so that neighbours part; then all.
        let mut odd = false;
        blocks.retain(|&block| {
            odd = !odd;
            if odd {
                // SAFETY: the block is the test's, and leaves the list.
                unsafe { HEAP.dealloc(block, layout) };
            }
            !odd
        });
        if round == 1 {
            for block in blocks.drain(..) {
                // SAFETY: as above.
                unsafe { HEAP.dealloc(block, layout) };
            }
        }
    }
    HEAP.purge();
    assert!(mappings() < before + 100, "{} mappings, {before} before", mappings());
    std::thread::spawn(|| ()).join().unwrap();
}
