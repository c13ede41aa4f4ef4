//! `.with_small_limit(0)` as the global allocator: every size on pages, and the fallback never called.

use mapalloc::PageAlloc;

mod global;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_small_limit(0).with_fallback_counts(true);

/// No size is on the fallback heap.
const FALLBACK_IS_USED: bool = false;

#[test]
fn the_fallback_is_never_called() {
    let text: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(text[999], "999");
    let stats = GLOBAL.stats();
    assert_eq!((stats.fallback.live, stats.fallback_calls), (0, 0));
    assert!(stats.slab.live > 1000);
}
