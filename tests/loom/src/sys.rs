//! The kernel's part: the futex, and a clock that stands still.
//!
//! One queue for all words, so a model has one word that threads sleep on.

use crate::sync::{AtomicU32, Ordering::Relaxed};
use loom::sync::{Condvar, Mutex};

struct Queue {
    lock: Mutex<()>,
    sleepers: Condvar,
}

loom::lazy_static! {
    static ref QUEUE: Queue = Queue { lock: Mutex::new(()), sleepers: Condvar::new() };
}

/// Sleeps if the word has the expected value, which is looked at under the queue's lock, as the kernel does.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32) {
    let guard = QUEUE.lock.lock().unwrap();
    if word.load(Relaxed) == expected {
        drop(QUEUE.sleepers.wait(guard));
    }
}

/// What the state of `heap::watch` is while its thread naps between two looks.
const NAPPING: u32 = 1;

/// A sleep with an end may be over at once. Whoever waits for another thread has that run first; a nap waits for nobody.
pub(crate) fn futex_wait_for(_word: &AtomicU32, expected: u32, _milliseconds: u32) {
    if expected != NAPPING {
        loom::thread::yield_now();
    }
}

pub(crate) fn futex_wake(_word: &AtomicU32) {
    let _guard = QUEUE.lock.lock().unwrap();
    QUEUE.sleepers.notify_one();
}

/// No time passes: no wait is given up.
pub(crate) fn coarse_milliseconds() -> u64 {
    0
}
