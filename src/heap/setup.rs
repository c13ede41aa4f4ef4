//! Setting up once: by the first thread that comes, while the others wait.

use crate::lock::{Mutex, RawLock};
use crate::sync::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
    constant,
};

const NEW: u32 = 0;
const READY: u32 = 1;
/// What was to be set up could not be. Never left again.
const UNAVAILABLE: u32 = 2;

/// Whether something is set up. What the set-up wrote is seen by whoever is told that it is ready.
pub(crate) struct SetUp {
    state: AtomicU32,
    lock: Mutex<()>,
}

impl SetUp {
    constant! {
        pub(crate) fn new() -> Self {
            Self { state: AtomicU32::new(NEW), lock: Mutex::new(()) }
        }
    }

    /// Whether it is ready; the first call sets it up.
    #[inline(always)]
    pub(crate) fn is_ready(&self, set_up: impl FnOnce() -> bool) -> bool {
        self.state.load(Acquire) == READY || self.once(set_up)
    }

    /// The same, but if the set-up fails the next call tries again.
    pub(crate) fn is_ready_at_last(&self, set_up: impl FnOnce() -> bool) -> bool {
        self.state.load(Acquire) == READY || {
            let _guard = self.lock.lock();
            if self.state.load(Relaxed) == NEW && set_up() {
                self.state.store(READY, Release);
            }
            self.state.load(Relaxed) == READY
        }
    }

    /// Whether it is ready, for what has nothing to do before that.
    #[inline(always)]
    pub(crate) fn was_ready(&self) -> bool {
        self.state.load(Acquire) == READY
    }

    #[cold]
    fn once(&self, set_up: impl FnOnce() -> bool) -> bool {
        if self.state.load(Acquire) == NEW {
            let _guard = self.lock.lock();
            if self.state.load(Relaxed) == NEW {
                self.state.store(if set_up() { READY } else { UNAVAILABLE }, Release);
            }
        }
        self.state.load(Acquire) == READY
    }

    /// The lock alone: for `fork`.
    pub(crate) fn raw(&self) -> &RawLock {
        self.lock.raw()
    }
}
