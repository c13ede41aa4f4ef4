//! Everything is returned: the figures are back where they were once all is freed.
//!
//! In a child process with one test, since the test harness allocates too.

use super::child::in_child;
use super::model::{Block, KIB, MIB, Random};
use std::alloc::Layout;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn live_figures_return_to_where_they_were() {
    in_child(concat!(module_path!(), "::live_figures_return_to_where_they_were"), || {
        let mut held = Vec::with_capacity(1000);
        // What is set up once, at the first call, is not counted.
        exercise(0, &mut held);
        let before = crate::GLOBAL.stats();
        for seed in 1..8 {
            exercise(seed, &mut held);
            let after = crate::GLOBAL.stats();
            assert_eq!(
                [after.fallback, after.slab, after.run, after.large],
                [before.fallback, before.slab, before.run, before.large],
                "round {seed}"
            );
        }
    });
}

fn exercise(seed: u64, held: &mut Vec<Block>) {
    let mut random = Random::new(seed);
    for n in 0..400 {
        let layout = random.layout(8 * MIB);
        held.push(Block::new(layout, n % 2 == 0, n));
        if n % 3 == 0 {
            let which = random.below(held.len());
            held[which].resize(random.size(8 * MIB));
        }
        if held.len() > 40 {
            let which = random.below(held.len());
            held.swap_remove(which).free();
        }
    }
    held.drain(..).for_each(Block::free);
}

#[test]
fn each_route_counts_its_own() {
    in_child(concat!(module_path!(), "::each_route_counts_its_own"), || {
        let route = |size: usize| {
            // The harness's own thread settles down at its leisure, and it allocates small objects and frees them.
            let settled = || {
                let mut last = crate::GLOBAL.stats();
                loop {
                    thread::sleep(Duration::from_millis(20));
                    let now = crate::GLOBAL.stats();
                    if now == last {
                        return now;
                    }
                    last = now;
                }
            };
            let before = settled();
            let block = Block::new(Layout::from_size_align(size, 8).expect("a layout"), false, 1);
            let during = crate::GLOBAL.stats();
            block.free();
            let after = crate::GLOBAL.stats();
            assert_eq!((after.live(), after.live_bytes()), (before.live(), before.live_bytes()), "{size} bytes");
            assert_eq!(during.live(), before.live() + 1, "{size} bytes");
            assert!(during.live_bytes() >= before.live_bytes() + size, "{size} bytes");
            [
                during.fallback.live - before.fallback.live,
                during.slab.live - before.slab.live,
                during.run.live - before.run.live,
                during.large.live - before.large.live,
            ]
        };
        // The exact boundaries are the engine's to tune; these are far from all of them.
        assert_eq!(route(16), if crate::FALLBACK_IS_USED { [1, 0, 0, 0] } else { [0, 1, 0, 0] });
        assert_eq!(route(4 * KIB), [0, 1, 0, 0]);
        assert_eq!(route(256 * KIB), [0, 0, 1, 0]);
        assert_eq!(route(48 * MIB), [0, 0, 0, 1]);
    });
}

#[test]
fn freed_on_another_thread_is_freed() {
    in_child(concat!(module_path!(), "::freed_on_another_thread_is_freed"), || {
        let exchange = || {
            let blocks = thread::spawn(|| {
                let mut random = Random::new(5);
                (0..100).map(|seed| Block::new(random.layout(5 * MIB), false, seed)).collect::<Vec<_>>()
            });
            let blocks = blocks.join().expect("no panic");
            thread::spawn(|| blocks.into_iter().for_each(Block::free)).join().expect("no panic");
        };
        exchange();
        let before = crate::GLOBAL.stats();
        (0..5).for_each(|_| exchange());
        let after = crate::GLOBAL.stats();
        // Not the fallback, where what the standard library keeps of a thread may come or go.
        assert_eq!([after.run, after.large], [before.run, before.large]);
        assert!(after.slab.live.abs_diff(before.slab.live) <= 8, "{before:?}, then {after:?}");
    });
}

/// The resident set of this process.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * mapalloc::page_size()
}

#[test]
fn purge_gives_back_what_is_free() {
    in_child(concat!(module_path!(), "::purge_gives_back_what_is_free"), || {
        let mut held = Vec::with_capacity(1000);
        exercise(3, &mut held);
        let mut block = Block::new(Layout::from_size_align(MIB, 8).expect("a layout"), false, 1);
        // Touched whole, and not more than any budget lets stay.
        let touched: Vec<Vec<u8>> = (0..3).map(|_| vec![1; 2 * MIB]).collect();
        drop(touched);
        let free = crate::GLOBAL.stats().free_resident_bytes;
        let resident = resident_bytes();
        let given_back = crate::GLOBAL.purge();
        // What the magazines and the partly used slabs held comes on top of what was counted as free.
        assert!(given_back >= free, "{given_back} of {free} bytes");
        assert_eq!(crate::GLOBAL.stats().free_resident_bytes, 0);
        let after = resident_bytes();
        assert!(after + 5 * MIB <= resident, "{resident} bytes were resident, now {after}");
        // Only the slabs that the lines above have taken objects from.
        let again = crate::GLOBAL.purge();
        assert!(again <= MIB / 2, "{again} bytes were left");
        // Live memory is not touched, and what was given back can be had again.
        block.check();
        block.resize(3 * MIB);
        block.free();
        exercise(4, &mut held);
    });
}

#[test]
fn what_is_freed_is_no_more_than_was_live_and_goes_soon() {
    in_child(concat!(module_path!(), "::what_is_freed_is_no_more_than_was_live_and_goes_soon"), || {
        // A route each: slabs, runs that a thread keeps for itself, longer ones, large.
        for size in [8 * KIB, 48 * KIB, 512 * KIB, 2 * MIB, 6 * MIB] {
            for _ in 0..3 {
                drop((0..128 * MIB / size).map(|_| vec![1; size]).collect::<Vec<Vec<u8>>>());
                let free = crate::GLOBAL.stats().free_resident_bytes;
                assert!(free <= 136 * MIB, "{size} bytes each: {} KiB stay", free / KIB);
            }
            let start = Instant::now();
            while crate::GLOBAL.stats().free_resident_bytes > 9 * MIB {
                assert!(start.elapsed() < Duration::from_secs(20), "{size} bytes each: {:?}", crate::GLOBAL.stats());
                thread::sleep(Duration::from_millis(20));
            }
        }
    });
}

/// A vector that grows by moving finds no use for the mapping that one before it left, which then is in the way. Under a
/// sanitizer the peak is that of its shadow, too.
#[test]
#[cfg(all(target_os = "linux", not(mapalloc_asan)))]
fn what_grows_does_not_come_on_top_of_what_is_free() {
    in_child(concat!(module_path!(), "::what_grows_does_not_come_on_top_of_what_is_free"), || {
        const SIZE: usize = 256 * MIB;
        for round in 0..3 {
            let mut vec = Vec::new();
            (0..SIZE / 8).for_each(|n| vec.push(n));
            assert_eq!(vec[SIZE / 16], SIZE / 16);
            drop(vec);
            let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
            let peak: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
            assert!(peak * KIB < SIZE + SIZE / 4, "round {round}: {} MiB at the peak", peak / KIB);
        }
    });
}
