//! A program that must have no further thread can forbid the allocator's; what is freed then goes back at once, but for the
//! budget.

use mapalloc::{HugePages, PageAlloc};
use std::time::Duration;

#[global_allocator]
static GLOBAL: PageAlloc =
    PageAlloc::new().with_small_limit(0).with_background_thread(false).with_huge_pages(HugePages::Never);

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn a_forbidden_thread_does_not_start() {
    let before = threads();
    // A route each: slabs, runs that a thread keeps for itself, longer ones, large.
    for size in [8 << 10, 48 << 10, 512 << 10, 2 << 20, 6 << 20] {
        drop((0..(128 << 20) / size).map(|_| vec![1; size]).collect::<Vec<Vec<u8>>>());
        let free = GLOBAL.stats().free_resident_bytes;
        assert!(free <= 9 << 20, "{size} bytes each: {} KiB stay", free >> 10);
        // So that the next round does not find what this one has given back within the time of regret.
        std::thread::sleep(Duration::from_millis(100));
    }

    for _ in 0..3 {
        drop((0..40).map(|n| vec![1u8; 100_000 * n + 1]).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(threads(), before);
    }
    assert!(GLOBAL.stats().free_resident_bytes > 0, "what is free waits for reuse");
    assert!(GLOBAL.purge() > 0);

    // Without huge pages, none is resident even in a large heap.
    let dense = vec![1u8; 64 << 20];
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let huge = text.lines().find_map(|line| line.strip_prefix("AnonHugePages:")).unwrap();
    let always = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    if !always.contains("[always]") {
        assert_eq!(huge.split_whitespace().next(), Some("0"));
    }
    drop(dense);
}
