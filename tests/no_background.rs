//! Without the background thread, what is freed goes back at once but for the budget: in a program of its own, since the
//! option is the process's.

use mapalloc::PageAlloc;
use std::thread;
use std::time::Duration;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_small_limit(0).with_background_thread(false);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

#[test]
fn what_is_freed_stays_within_the_budget() {
    for size in [8 * KIB, 48 * KIB, 512 * KIB, 2 * MIB, 6 * MIB] {
        drop((0..128 * MIB / size).map(|_| vec![1; size]).collect::<Vec<Vec<u8>>>());
        let free = GLOBAL.stats().free_resident_bytes;
        assert!(free <= 9 * MIB, "{size} bytes each: {} KiB stay", free / KIB);
        // So that the next round does not find what this one has given back within the time of regret.
        thread::sleep(Duration::from_millis(100));
    }
    // The test's own thread, and the one that waits for it.
    assert!(std::fs::read_dir("/proc/self/task").unwrap().count() <= 2);
}
