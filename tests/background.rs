//! Memory that lies idle goes back by itself, and the thread that sees to it goes too: in one test, since both the memory
//! and the threads are the process's.

use mapalloc::PageAlloc;
use std::time::{Duration, Instant};

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_small_limit(0);

/// What may be left of everything.
const LEFT: i64 = 8 << 10;

fn rss_kib() -> i64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Waits until it holds; a machine under load may be slow.
fn soon(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: RSS {} KiB, {} threads", rss_kib(), threads());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Objects of every route, freed out of order.
fn burst() {
    let mut state = 1u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let mut all: Vec<Vec<u8>> = (0..100_000).map(|_| vec![1; 16 + random() % 1000]).collect();
    all.extend((0..200).map(|_| vec![1; 40_000 + random() % 200_000]));
    all.extend((0..4).map(|_| vec![1; 16 << 20]));
    for last in (1..all.len()).rev() {
        all.swap(last, random() % (last + 1));
    }
}

#[test]
fn idle_memory_goes_back_and_so_does_the_thread() {
    burst();
    soon("the first", || threads() == 2 || rss_kib() < 40 << 10);
    let before = threads();
    let start = 4 << 10;
    for _ in 0..2 {
        burst();
        soon("memory", || rss_kib() - start < LEFT);
        // The test's own two threads stay.
        soon("the thread", || threads() <= before.min(2));
    }

    // While the thread runs, a child of fork has a heap that works, and can have a thread of its own.
    burst();
    // SAFETY: the child only allocates, frees and looks at files before it ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        burst();
        soon("the child's memory", || rss_kib() - start < LEFT);
        // SAFETY: nothing of the parent's is to be cleaned up.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the status is live.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
}
