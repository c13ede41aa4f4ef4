//! A process in which not even the smallest arena can be reserved: the fallback heap serves what it can, on every route,
//! and gets back exactly what it gave.
#![cfg(target_os = "linux")]

use mapalloc::PageAlloc;
use std::alloc::{GlobalAlloc, Layout, System};

/// A heap that notes the size of each block in front of it, and ends the test if it gets another one back.
struct Exact;

const HEADER: usize = 16;

fn with_header(layout: Layout) -> Layout {
    assert!(layout.align() <= HEADER, "no wider alignment is asked for here");
    Layout::from_size_align(layout.size() + HEADER, HEADER).unwrap()
}

// SAFETY: blocks are the system's, whole behind a header of a multiple of their alignment.
unsafe impl GlobalAlloc for Exact {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the block has room for the header, which ends where the caller's block begins.
        unsafe {
            let start = System.alloc(with_header(layout));
            if start.is_null() {
                return start;
            }
            start.cast::<usize>().write(layout.size());
            start.add(HEADER)
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is one of `alloc`'s, as the header shows.
        unsafe {
            let start = block.sub(HEADER);
            assert_eq!(start.cast::<usize>().read(), layout.size(), "a block came back with another size");
            System.dealloc(start, with_header(layout));
        }
    }
}

static HEAP: PageAlloc<Exact> = PageAlloc::with_fallback(Exact).with_small_limit(0).with_fallback_counts(true);

fn limit_address_space_to_what_is_used_and(more: usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').next().unwrap().parse().unwrap();
    let limit = (pages * mapalloc::page_size() + more) as libc::rlim_t;
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: the pointer is to a whole `rlimit` that the call only reads.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

#[test]
fn the_fallback_serves_every_route() {
    // Memory for the fallback to serve from, before there is no more.
    drop(std::hint::black_box(vec![1_u8; 100 << 10]));
    limit_address_space_to_what_is_used_and(512 << 10);
    let layout = |size| Layout::from_size_align(size, 8).unwrap();
    for size in [1, 24, 1000, 1100, 5000, 32 << 10, 40_000, 60_000] {
        // SAFETY: no size is zero; every block is used within its size and freed once, with its layout.
        unsafe {
            let block = HEAP.alloc(layout(size));
            assert!(!block.is_null(), "{size} bytes");
            block.write_bytes(7, size);
            // Within what would be its class or its pages, and beyond.
            let grown = HEAP.realloc(block, layout(size), size + 8);
            assert!(!grown.is_null(), "{size} bytes and 8 more");
            assert!((0..size).all(|at| grown.add(at).read() == 7));
            grown.write_bytes(8, size + 8);
            HEAP.dealloc(grown, layout(size + 8));
            let zeros = HEAP.alloc_zeroed(layout(size));
            assert!((0..size).all(|at| zeros.add(at).read() == 0), "{size} bytes of zeros");
            HEAP.dealloc(zeros, layout(size));
        }
    }
    // SAFETY: no size is zero.
    assert!(unsafe { HEAP.alloc(layout(64 << 20)) }.is_null(), "what the fallback cannot serve is null");
    let stats = HEAP.stats();
    assert_eq!((stats.mapped_bytes, stats.fallback.live, stats.fallback.live_bytes), (0, 0, 0));
    assert_eq!(stats.fallback_calls, 8 * 5);
    assert_eq!(HEAP.purge(), 0);
}
