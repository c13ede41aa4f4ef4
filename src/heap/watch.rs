//! The life of a thread that comes when there is something to look after, and goes when there is not: when it starts, rests,
//! is stopped, and is joined. What it looks after is the caller's.
//!
//! # Invariants
//! * **B1** at most one thread runs; the state says so: it is `RUNNING` or `STOPPING` from before the thread is started until
//!   its last step, which makes it `ENDED` or `STOPPED`, or until it is found that there will be none.
//! * **B2** a thread that was started is joined once, by whoever takes the state out of `ENDED` or `STOPPED`; only a stop that
//!   ran out of time leaves it unjoined.
//! * **B3** when no thread runs, no more is free than `left` and what is not worth a thread, unless it is forbidden or refused:
//!   a thread that rests looks at what is free after it has said so, and who frees looks at the state after that has been
//!   counted, with a barrier between the two on both sides.

use crate::sync::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    barrier_after_unlock, constant, fence,
};
use crate::sys;

/// No thread was ever started.
const NONE: u32 = 0;
const RUNNING: u32 = 1;
/// The thread has ended, and is to be joined.
const ENDED: u32 = 2;
/// The thread is asked to end.
const STOPPING: u32 = 3;
/// The system refused a thread: for a while there is none.
const REFUSED: u32 = 4;
/// The thread has done as it was asked to.
const STOPPED: u32 = 5;

/// How often the thread looks.
const INTERVAL_MILLISECONDS: u32 = 200;

/// So long after a refusal another thread is asked for: what stood in the way may be gone, and if it is not, asking now and
/// then costs little.
const RETRY_MILLISECONDS: u64 = 1000;

/// It ends after so many looks that found nothing to do.
const QUIET_LOOKS: u32 = 4;

/// Whoever asks the thread to end waits for so long at the most.
const STOP_MILLISECONDS: u64 = 1000;

/// This much may lie idle for ever: too little for a thread.
pub(super) const WORTH_A_THREAD: usize = 3 << 20;

/// The thread, to whoever starts and joins it.
pub(super) trait Thread {
    /// Starts it; `false` if the system refuses. Calls do not overlap.
    fn start(&self) -> bool;
    /// Waits for the end of the one that was started last; once for each.
    fn join(&self);
}

/// The state.
pub(super) struct Watch {
    state: AtomicU32,
    forbidden: AtomicBool,
    /// What the last thread left as it was; less if there has been less since.
    left: AtomicUsize,
    /// When a thread was refused last.
    refused_at: AtomicU64,
}

impl Watch {
    constant! {
        pub(super) fn new() -> Self {
            Self {
                state: AtomicU32::new(NONE),
                forbidden: AtomicBool::new(false),
                left: AtomicUsize::new(0),
                refused_at: AtomicU64::new(0),
            }
        }
    }

    /// Allows or forbids the thread. None runs any more when this has forbidden it.
    pub(super) fn allow(&self, allowed: bool, thread: &impl Thread) {
        self.forbidden.store(!allowed, Relaxed);
        if !allowed {
            // Either this sees that one was started, or who starts it sees that it is forbidden.
            fence(SeqCst);
            self.stop(thread);
        }
    }

    /// Whether there is a thread, or will be as soon as there is something to do.
    #[inline]
    pub(super) fn is_available(&self) -> bool {
        let state = self.state.load(Relaxed);
        state <= ENDED && !self.forbidden.load(Relaxed)
    }

    /// Starts the thread if `free` is worth one and none runs. The caller has counted what is free under a lock, and released
    /// that.
    #[inline]
    pub(super) fn notice(&self, free: usize, thread: &impl Thread) {
        barrier_after_unlock();
        let left = self.left.load(Relaxed);
        if free < left {
            // Another's may be lower, and the thread may have left less meanwhile.
            self.left.fetch_min(free, Relaxed);
        } else if free - left > WORTH_A_THREAD {
            let state = self.state.load(Relaxed);
            if matches!(state, NONE | ENDED | REFUSED) && !self.forbidden.load(Relaxed) {
                self.start(state, thread);
            }
        }
    }

    #[cold]
    fn start(&self, state: u32, thread: &impl Thread) {
        let since_refusal = || sys::coarse_milliseconds().saturating_sub(self.refused_at.load(Relaxed));
        if state == REFUSED && since_refusal() < RETRY_MILLISECONDS {
            return;
        }
        if self.state.compare_exchange(state, RUNNING, AcqRel, Relaxed).is_err() {
            return;
        }
        if state == ENDED {
            thread.join();
        }
        fence(SeqCst);
        let none = if self.forbidden.load(Relaxed) {
            NONE
        } else if !thread.start() {
            self.refused_at.store(sys::coarse_milliseconds(), Relaxed);
            REFUSED
        } else {
            return;
        };
        if self.state.swap(none, AcqRel) == STOPPING {
            // Somebody waits for the end of a thread that never began.
            sys::futex_wake(&self.state);
        }
    }

    /// Ends the thread and waits for its end, within reason: a program may end from a signal handler, above a frame that
    /// holds the lock which the thread waits for.
    fn stop(&self, thread: &impl Thread) {
        if self.state.compare_exchange(RUNNING, STOPPING, AcqRel, Relaxed).is_ok() {
            sys::futex_wake(&self.state);
            // By the clock, since any signal ends a wait.
            let deadline = sys::coarse_milliseconds() + STOP_MILLISECONDS;
            while self.state.load(Acquire) == STOPPING && sys::coarse_milliseconds() < deadline {
                sys::futex_wait_for(&self.state, STOPPING, INTERVAL_MILLISECONDS);
            }
        } else if self.state.compare_exchange(ENDED, STOPPED, AcqRel, Relaxed).is_err() {
            return;
        }
        if self.state.load(Acquire) == STOPPED {
            thread.join();
            self.state.store(NONE, Release);
        }
    }

    /// In the child of a `fork`, which has none of the parent's threads.
    pub(super) fn forget(&self) {
        self.state.store(NONE, Relaxed);
    }

    /// What the thread does: it looks after what is `free` until it is asked to end or there is nothing left to do. `look`
    /// says whether there was something, or may soon be.
    pub(super) fn run(&self, mut look: impl FnMut() -> bool, free: impl Fn() -> usize) {
        let mut quiet = 0;
        loop {
            sys::futex_wait_for(&self.state, RUNNING, INTERVAL_MILLISECONDS);
            if self.state.compare_exchange(STOPPING, STOPPED, AcqRel, Relaxed).is_ok() {
                sys::futex_wake(&self.state);
                return;
            }
            let before = free();
            quiet = if look() { 0 } else { quiet + 1 };
            if quiet >= QUIET_LOOKS && self.rest(before.min(free()), &free) {
                return;
            }
        }
    }

    /// The last step of the thread, which leaves so much as it is. Says whether it was: what was freed meanwhile, by somebody
    /// who saw the thread running, is its part still.
    fn rest(&self, left: usize, free: impl Fn() -> usize) -> bool {
        // An exchange, as the other changes are: the checker of models orders these alone as the language does.
        self.left.swap(left, Relaxed);
        if self.state.compare_exchange(RUNNING, ENDED, AcqRel, Relaxed).is_err() {
            // It was asked to end meanwhile.
            self.state.store(STOPPED, Release);
            sys::futex_wake(&self.state);
            return true;
        }
        fence(SeqCst);
        free().saturating_sub(left) <= WORTH_A_THREAD
            || self.state.compare_exchange(ENDED, RUNNING, AcqRel, Relaxed).is_err()
    }
}
