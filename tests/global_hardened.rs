//! `.hardened()` as the global allocator.

use mapalloc::PageAlloc;

/// Without the rooms that are about the engine's own routes and figures.
mod global {
    mod child;
    mod collections;
    mod failure;
    mod fork;
    mod model;
    mod sequences;
    mod signals;
    mod storms;
    mod threads;

    pub(crate) use model::{Block, Random};
}

use global::{Block, Random};

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().hardened();

#[test]
fn every_size_and_alignment_is_given_out_and_comes_back() {
    let mut random = Random::new(5);
    let mut held = Vec::new();
    for seed in 0..6000 {
        held.push(Block::new(random.layout(1 << 20), seed % 2 == 0, seed));
        if seed % 3 > 0 {
            let which = random.below(held.len());
            held[which].resize(random.size(1 << 20));
            held.swap_remove(random.below(held.len())).free();
        }
    }
    let most = GLOBAL.stats();
    assert!(most.slab.live + most.large.live >= held.len() && most.run.live == 0 && most.fallback.live == 0);
    assert!(most.mapped_bytes >= most.slab.live_bytes + most.large.live_bytes && most.metadata_bytes > 0);
    held.into_iter().for_each(Block::free);
}
