//! `.with_fallback_only()` as the global allocator: everything is the fallback's, and the engine is never set up.

#[path = "global/model.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod model;

use mapalloc::PageAlloc;
use model::{Block, MIB, Random};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

#[global_allocator]
static GLOBAL: PageAlloc<Noting> = PageAlloc::with_fallback(Noting).with_fallback_counts(true).with_fallback_only();

/// The system's heap, which notes the largest sizes and alignments that it is asked for.
#[derive(Clone, Copy)]
struct Noting;

static LARGEST_SIZE: AtomicUsize = AtomicUsize::new(0);
static LARGEST_ALIGN: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all of it is the system's.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST_SIZE.fetch_max(layout.size(), Relaxed);
        LARGEST_ALIGN.fetch_max(layout.align(), Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(block, layout) };
    }
}

/// One test: what the process has allocated so far is one figure.
#[test]
fn every_size_and_alignment_is_the_fallbacks() {
    let mut random = Random::new(1);
    let mut blocks: Vec<Block> = Vec::new();
    for seed in 0..400 {
        blocks.push(Block::new(random.layout(8 * MIB), seed % 2 == 0, seed));
        if blocks.len() > 30 {
            let which = random.below(blocks.len());
            blocks[which].resize(random.size(8 * MIB));
            let which = random.below(blocks.len());
            let freed = blocks.swap_remove(which);
            if seed % 3 == 0 {
                thread::spawn(|| freed.free()).join().expect("the contents are as they were");
            } else {
                freed.free();
            }
        }
    }
    // Across what would be every route, at an alignment that no malloc gives unasked.
    for align in [16, 64, 4096, MIB] {
        let mut block = Block::new(Layout::from_size_align(100, align).expect("a layout"), true, 7);
        [2000, 40_000, 3 * MIB, 20 * MIB, 50_000, 1].into_iter().for_each(|size| block.resize(size));
        block.free();
    }
    let map: BTreeMap<usize, String> = (0..1000).map(|n| (n, n.to_string())).collect();
    assert_eq!(map[&999], "999");
    assert!(LARGEST_SIZE.load(Relaxed) >= 20 * MIB && LARGEST_ALIGN.load(Relaxed) >= MIB);

    assert_eq!(GLOBAL.purge(), 0);
    let stats = GLOBAL.stats();
    assert_eq!((stats.slab.live, stats.run.live, stats.large.live), (0, 0, 0));
    assert_eq!((stats.mapped_bytes, stats.metadata_bytes), (0, 0), "the engine was set up");
    // What it sets up first is a reservation of 128 GiB, or of a part of a lower limit.
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc/self/statm");
    let pages: usize = statm.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number of pages");
    assert!(pages * mapalloc::page_size() < 8 << 30, "{pages} pages are mapped: the engine was set up");
    assert!(stats.fallback_calls > 1000 && stats.fallback.live > 1000, "{stats:?}");
    blocks.into_iter().for_each(Block::free);
}
