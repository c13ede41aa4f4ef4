//! `fork` in a program with threads: the child gets a heap that no other thread was in the middle of changing.
//!
//! Before the fork every lock is taken, in the order in which the engine itself nests them; after it both processes release
//! them. The lock-free stacks are whole at every instant. What another thread was moving from one place to another at that
//! instant, with no lock held, is lost to the child: a magazine, or a run or a mapping that was being given back.

use super::HEAP;

unsafe extern "C" fn prepare() {
    HEAP.setting_up.acquire();
    HEAP.uncached.acquire();
    HEAP.threads.acquire();
    HEAP.depot.acquire();
    HEAP.slabs.acquire();
    HEAP.runs.acquire();
    HEAP.large.acquire();
    HEAP.growth.acquire();
}

unsafe extern "C" fn parent() {
    // SAFETY: `prepare` took all of them on this thread.
    unsafe {
        HEAP.growth.release();
        HEAP.large.release();
        HEAP.runs.release();
        HEAP.slabs.release_locks();
        HEAP.depot.release();
        HEAP.threads.release();
        HEAP.uncached.release();
        HEAP.setting_up.release();
    }
}

unsafe extern "C" fn child() {
    // SAFETY: as in the parent: the child starts as a copy of the thread that took them.
    unsafe { parent() };
    HEAP.retire_orphans();
}

/// Registers the handlers; once.
pub(super) fn register() -> bool {
    crate::sys::at_fork(prepare, parent, child).is_ok()
}
