//! `fork` beside the background thread, which only the engine has.

use super::child::in_child;
use super::fork::{block, fork_once, in_the_fork};
use super::model::MIB;
use std::thread;
use std::time::{Duration, Instant};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("the threads of this process").count()
}

/// Frees so much that the background thread starts, or goes on.
fn start_the_background_thread(threads_without: usize) {
    let started = Instant::now();
    loop {
        block(64 * MIB, false).free();
        if threads() > threads_without {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "no background thread");
    }
}

#[test]
fn fork_beside_the_background_thread() {
    in_child(concat!(module_path!(), "::fork_beside_the_background_thread"), || {
        // SAFETY: no preconditions.
        let is_main = unsafe { libc::gettid() == libc::getpid() };
        // This thread and the main one, if that is another, and the one below, which forks.
        let without = if is_main { 2 } else { 3 };
        thread::spawn(move || {
            for _ in 0..20 {
                start_the_background_thread(without);
                fork_once(|from_parent| {
                    // Its own is started by a free like the parent's, and ends with the process.
                    assert_eq!(threads(), 1, "a child of fork starts alone");
                    start_the_background_thread(1);
                    in_the_fork(from_parent);
                });
            }
        })
        .join()
        .expect("no panic");
    });
}
