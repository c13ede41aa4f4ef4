//! The background thread: gives back free memory that nobody has used for a while, in a process that does nothing too.
//!
//! The budget bounds what is free at every moment; this takes the rest once it lies idle. The thread is started by the
//! free that leaves more than a little memory free, looks a few times a second at what stayed free throughout, and ends when
//! there is nothing left to do, and nothing that may soon be, so that a process that rests has no thread and no timer of the engine's.
//!
//! # Invariants
//! * **B1** at most one thread runs; the state says so: it is `RUNNING` or `STOPPING` from before the thread is created
//!   until its last step, which makes it `ENDED` or `STOPPED`.
//! * **B2** `thread` is the identifier of the thread that was created last; it is joined once, by whoever takes the state
//!   out of `ENDED` or stops it.

use super::Heap;
use super::gauge::Gauge;
use crate::sys::{self, Thread};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};

/// No thread was ever started.
const NONE: u32 = 0;
const RUNNING: u32 = 1;
/// The thread has ended, and is to be joined.
const ENDED: u32 = 2;
/// The thread is asked to end.
const STOPPING: u32 = 3;
/// The system refused a thread: for a while the budget alone has to do.
const REFUSED: u32 = 4;
/// The thread has done as it was asked to.
const STOPPED: u32 = 5;

/// How often the thread looks.
const INTERVAL_MILLISECONDS: u32 = 200;

/// So long after a refusal another thread is asked for: what stands in the way may be gone, and if it is not, asking now and
/// then costs little.
const RETRY_MILLISECONDS: u64 = 1000;

/// It ends after so many looks that found nothing to give back.
const QUIET_LOOKS: u32 = 4;

/// Whoever asks the thread to end waits for so many intervals at the most.
const STOP_WAITS: u32 = 5;

/// This much free memory may lie idle for ever: too little for a thread.
const WORTH_A_THREAD: usize = 3 << 20;

/// A part of the free memory that is this small is left alone.
const WORTH_A_CALL: usize = 64 << 10;

/// The thread's state.
pub(super) struct Background {
    state: AtomicU32,
    thread: Thread,
    forbidden: AtomicBool,
    /// When the last refusal was.
    refused_at: AtomicU64,
    /// The free memory that the last thread left as it was; less if there has been less since.
    left: Gauge,
}

impl Background {
    pub(super) const fn new() -> Self {
        Self {
            state: AtomicU32::new(NONE),
            thread: Thread::none(),
            forbidden: AtomicBool::new(false),
            refused_at: AtomicU64::new(0),
            left: Gauge::new(),
        }
    }

    /// Allows or forbids the thread.
    pub(super) fn allow(&self, allowed: bool) {
        self.forbidden.store(!allowed, Relaxed);
        if !allowed {
            self.stop();
        }
    }

    /// Whether idle memory is looked after, now or as soon as there is some.
    #[inline]
    pub(super) fn is_available(&self) -> bool {
        let state = self.state.load(Relaxed);
        state <= ENDED && !self.forbidden.load(Relaxed)
    }

    /// Starts the thread if `free` bytes are worth one and none runs.
    #[inline]
    pub(super) fn notice(&'static self, free: usize) {
        let left = self.left.get();
        if free < left {
            self.left.set(free);
        } else if free - left > WORTH_A_THREAD {
            let state = self.state.load(Relaxed);
            let may_start = state == NONE || state == ENDED || state == REFUSED;
            if may_start && !self.forbidden.load(Relaxed) {
                self.start(state);
            }
        }
    }

    #[cold]
    fn start(&'static self, state: u32) {
        let waited = || sys::coarse_milliseconds().saturating_sub(self.refused_at.load(Relaxed));
        if state == REFUSED && waited() < RETRY_MILLISECONDS {
            return;
        }
        if self.state.compare_exchange(state, RUNNING, AcqRel, Relaxed).is_err() {
            return;
        }
        if state == ENDED {
            self.thread.join();
        }
        if self.thread.spawn(run).is_err() {
            self.refused_at.store(sys::coarse_milliseconds(), Relaxed);
            self.state.store(REFUSED, Release);
        }
    }

    /// Ends the thread and waits for its end, within reason: a program may end from a signal handler, above a frame that
    /// holds the lock which the thread waits for.
    pub(super) fn stop(&self) {
        if self.state.compare_exchange(RUNNING, STOPPING, AcqRel, Relaxed).is_ok() {
            sys::futex_wake(&self.state);
            let stopping = || self.state.load(Acquire) == STOPPING;
            (0..STOP_WAITS).take_while(|_| stopping()).for_each(|_| {
                sys::futex_wait_for(&self.state, STOPPING, INTERVAL_MILLISECONDS);
            });
            if stopping() {
                return;
            }
        } else if self.state.compare_exchange(ENDED, STOPPED, AcqRel, Relaxed).is_err() {
            return;
        }
        self.thread.join();
        self.state.store(NONE, Release);
    }

    /// In the child of a `fork`, which has none of the parent's threads.
    pub(super) fn forget(&self) {
        self.state.store(NONE, Relaxed);
    }

    /// The last step of the thread, which leaves so much free memory as it is. Says whether it was: what was freed meanwhile,
    /// by somebody who saw the thread running, is its part still.
    fn rest(&self, left: usize, free: impl Fn() -> usize) -> bool {
        self.left.set(left);
        if self.state.compare_exchange(RUNNING, ENDED, AcqRel, Relaxed).is_err() {
            // It was asked to end meanwhile.
            self.state.store(STOPPED, Release);
            sys::futex_wake(&self.state);
            return true;
        }
        free().saturating_sub(left) <= WORTH_A_THREAD
            || self.state.compare_exchange(ENDED, RUNNING, AcqRel, Relaxed).is_err()
    }
}

/// The thread.
extern "C" fn run() {
    let heap = &super::HEAP;
    let background = &heap.background;
    let mut quiet = 0;
    // The first look only sets the marks from which the next one counts.
    heap.purge_idle();
    loop {
        sys::futex_wait_for(&background.state, RUNNING, INTERVAL_MILLISECONDS);
        if background.state.compare_exchange(STOPPING, STOPPED, AcqRel, Relaxed).is_ok() {
            sys::futex_wake(&background.state);
            return;
        }
        let free = heap.free_bytes();
        let look = heap.purge_idle();
        // What is in use one moment and free the next may lie idle from now on.
        quiet = if look.given_back > 0 || look.in_flux > WORTH_A_THREAD { 0 } else { quiet + 1 };
        if quiet >= QUIET_LOOKS && background.rest(free.min(heap.free_bytes()), || heap.free_bytes()) {
            return;
        }
    }
}

/// What the thread found when it looked.
struct Look {
    /// The bytes that had been free since the last look, or what must come first.
    given_back: usize,
    /// The bytes that are free, and were not all the time.
    in_flux: usize,
}

impl Heap {
    /// Free memory that may be resident, outside of what threads and the depot keep.
    pub(super) fn free_bytes(&self) -> usize {
        self.large.resident_bytes() + self.growth.resident_bytes() + self.runs.dirty_bytes() + self.runs.idle_bytes()
    }

    /// Gives back what has been free since the last call.
    fn purge_idle(&'static self) -> Look {
        self.budget.age(self.live_bytes());
        let mut given_back = self.depot_idle();
        let mut in_flux = 0;
        // Whoever needs one soon finds it in the pool.
        self.threads.all().for_each(|cache| {
            cache.evict_runs(self);
            given_back += cache.evict_previous(self);
        });
        let mut idle = |gauge: &Gauge, purge: &dyn Fn(usize) -> usize| {
            let (idle, now) = (gauge.lowest(), gauge.get());
            in_flux += now.saturating_sub(idle);
            if idle < WORTH_A_CALL { 0 } else { purge(now.saturating_sub(idle)) }
        };
        given_back += idle(self.large.resident(), &|keep| self.large.purge(keep));
        given_back += idle(self.growth.resident(), &|keep| self.growth.purge(keep));
        given_back += self.slabs.purge_idle(&self.runs);
        given_back += self.runs.find_resident();
        given_back += idle(self.runs.dirty(), &|keep| self.runs.purge(keep));
        Look { given_back, in_flux }
    }
}
