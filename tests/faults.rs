//! Every system call of the crate's that can fail, failing: by number, from a number on, and at random.
//!
//! Only in builds that have the faults: `scripts/faults`, which has a short form and a long one.
#![cfg(mapalloc_faults)]

#[path = "faults/block.rs"]
mod block;
#[path = "global/child.rs"]
mod child;
mod fork;
#[path = "faults/hardened.rs"]
mod hardened;
#[path = "faults/program.rs"]
mod program;
#[path = "faults/random.rs"]
mod random;
#[path = "faults/sweep.rs"]
mod sweep;

use child::{in_child, in_child_for};
use mapalloc::PageAlloc;
use mapalloc::faults::{self, Call, Plan, Which};
use std::alloc::{GlobalAlloc, Layout};
use std::thread;
use std::time::{Duration, Instant};

const ERRNOS: [i32; 7] =
    [libc::ENOMEM, libc::EINVAL, libc::EAGAIN, libc::EPERM, libc::EFAULT, libc::ENOSYS, libc::EBUSY];

/// The long form has all error numbers at every call, the short one at one call in so many, and elsewhere the first two in
/// turns.
const ALL_ERRNOS_AT: u64 = 7;

const MOST_WRONG: usize = 40;

fn is_long() -> bool {
    std::env::var_os("MAPALLOC_TEST_LONG").is_some()
}

/// The program once for each of its calls, and each error number, under the plan that this makes.
fn sweep(name: &str, which: fn(u64) -> Which) {
    let without = sweep::without_faults();
    assert!(without.calls > 100, "{without:?}");
    let (mut runs, mut fired, mut wrong) = (0, 0, Vec::new());
    for call in 0..without.calls {
        let all = is_long() || call % ALL_ERRNOS_AT == 0;
        let turn = (call % 2) as usize;
        for &errno in if all { &ERRNOS[..] } else { &ERRNOS[turn..=turn] } {
            runs += 1;
            match sweep::check(Plan::new(which(call), errno), &without) {
                Ok(report) => fired += u64::from(report.failed > 0),
                Err(what) => {
                    eprintln!("{name} call {call}, errno {errno}: {what}");
                    wrong.push((call, errno));
                }
            }
            // What they say must fit into a pipe.
            assert!(wrong.len() < MOST_WRONG, "too much goes wrong: {wrong:?}");
        }
    }
    println!("{name}: {runs} runs of {} calls", without.calls);
    assert!(wrong.is_empty(), "{} of {runs} runs went wrong: {wrong:?}", wrong.len());
    // The last few calls may not come: how much the heap keeps depends on the time.
    assert!(fired * 10 >= runs * 9, "only {fired} of {runs} plans had a call to fail");
}

const PATIENCE: Duration = Duration::from_secs(3600);

#[test]
fn any_one_call_may_fail() {
    in_child_for(concat!(module_path!(), "::any_one_call_may_fail"), PATIENCE, || sweep("only", Which::Nth));
}

#[test]
fn all_calls_may_fail_from_any_one_on() {
    in_child_for(concat!(module_path!(), "::all_calls_may_fail_from_any_one_on"), PATIENCE, || {
        sweep("from", Which::From)
    });
}

#[test]
fn some_calls_may_fail_at_random() {
    in_child_for(concat!(module_path!(), "::some_calls_may_fail_at_random"), PATIENCE, || {
        random::sequences(if is_long() { 50_000 } else { 2000 });
    });
}

#[test]
fn the_hardened_heap_bears_refusals() {
    in_child_for(concat!(module_path!(), "::the_hardened_heap_bears_refusals"), PATIENCE, || {
        hardened::sweep(if is_long() { 1 } else { 7 });
    });
}

/// Frees more than may lie idle without a thread that looks after it.
fn free_much(heap: &PageAlloc) {
    let layout = Layout::from_size_align(6 << 20, 8).expect("a layout");
    // SAFETY: the size is not zero; the block is written within it and freed with its layout.
    unsafe {
        let block = heap.alloc(layout);
        assert!(!block.is_null());
        block.write_bytes(1, layout.size());
        heap.dealloc(block, layout);
    }
}

#[test]
fn a_background_thread_that_was_refused_comes_later() {
    in_child(concat!(module_path!(), "::a_background_thread_that_was_refused_comes_later"), || {
        static HEAP: PageAlloc = PageAlloc::new();
        let threads = || std::fs::read_dir("/proc/self/task").expect("procfs").count();
        let before = threads();
        faults::set(Plan { of: Some(Call::Spawn), ..Plan::new(Which::From(0), libc::EAGAIN) });
        for _ in 0..100 {
            free_much(&HEAP);
        }
        let (refusals, meanwhile) = (faults::failed(Call::Spawn), threads());
        faults::clear();
        assert!((1..50).contains(&refusals), "{refusals} refusals of 100 frees");
        assert_eq!(meanwhile, before);
        let start = Instant::now();
        while threads() == before {
            assert!(start.elapsed() < Duration::from_secs(30), "no thread");
            free_much(&HEAP);
            thread::sleep(Duration::from_millis(20));
        }
    });
}
