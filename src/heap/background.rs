//! The background thread: gives back free memory that nobody has used for a while, in a process that does nothing too.
//!
//! The budget bounds what is free at every moment; this takes the rest once it lies idle. The thread is started by the
//! free that leaves more than a little memory free, looks a few times a second at what stayed free throughout, and ends when
//! there is nothing left to do, and nothing that may soon be, so that a process that rests has no thread and no timer of the engine's.
//!
//! When it starts, rests and stops is `watch`'s to say.

use super::Heap;
use super::gauge::Gauge;
use super::watch::{self, WORTH_A_THREAD, Watch};
use crate::sys;

/// A part of the free memory that is this small is left alone.
const WORTH_A_CALL: usize = 64 << 10;

/// The thread and its state.
pub(super) struct Background {
    watch: Watch,
    thread: sys::Thread,
}

impl watch::Thread for sys::Thread {
    fn start(&self) -> bool {
        self.spawn(run).is_ok()
    }

    fn join(&self) {
        Self::join(self);
    }
}

impl Background {
    pub(super) const fn new() -> Self {
        Self { watch: Watch::new(), thread: sys::Thread::none() }
    }

    /// Allows or forbids the thread. None runs any more when this has forbidden it.
    pub(super) fn allow(&self, allowed: bool) {
        self.watch.allow(allowed, &self.thread);
    }

    /// Whether idle memory is looked after, now or as soon as there is some.
    #[inline]
    pub(super) fn is_available(&self) -> bool {
        self.watch.is_available()
    }

    /// Starts the thread if `free` bytes, counted under locks that the caller has released, are worth one and none runs.
    #[inline]
    pub(super) fn notice(&'static self, free: usize) {
        self.watch.notice(free, &self.thread);
    }

    /// In the child of a `fork`, which has none of the parent's threads.
    pub(super) fn forget(&self) {
        self.watch.forget();
    }
}

/// The thread.
extern "C" fn run() {
    let heap = &super::HEAP;
    // The first look only sets the marks from which the next one counts.
    heap.purge_idle();
    let look = || {
        let look = heap.purge_idle();
        // What is in use one moment and free the next may lie idle from now on.
        look.given_back > 0 || look.in_flux > WORTH_A_THREAD
    };
    heap.background.watch.run(look, || heap.free_bytes());
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
