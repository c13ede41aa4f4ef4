//! `fork` in a program with threads: the child gets a heap that no other thread was in the middle of changing.
//!
//! Before the fork every lock is taken, in the order in which the engine itself nests them; after it both processes release
//! them. The lock-free stacks are whole at every instant. What another thread was moving from one place to another at that
//! instant, with no lock held, is lost to the child: a magazine, or a run or a mapping that was being given back.

use super::HEAP;
use crate::lock::RawLock;

/// Calls `each` with every lock of the engine, in their order.
fn every_lock(each: &mut dyn FnMut(&RawLock)) {
    each(HEAP.setup.raw());
    HEAP.threads.locks(each);
    HEAP.depot.locks(each);
    HEAP.slabs.locks(each);
    HEAP.runs.locks(each);
    HEAP.large.locks(each);
    HEAP.growth.locks(each);
}

unsafe extern "C" fn prepare() {
    every_lock(&mut RawLock::acquire);
}

unsafe extern "C" fn parent() {
    // SAFETY: `prepare` took all of them on this thread.
    every_lock(&mut |lock| unsafe { lock.release() });
}

unsafe extern "C" fn child() {
    // SAFETY: as in the parent: the child starts as a copy of the thread that took them.
    unsafe { parent() };
    HEAP.background.forget();
    HEAP.retire_orphans();
}

/// Whether no thread holds a lock of the engine at this moment, the calling one included.
pub(super) fn nobody_is_inside() -> bool {
    let (mut asked, mut taken, mut all) = (0, 0, true);
    every_lock(&mut |lock| {
        all = all && lock.try_acquire();
        taken += usize::from(all);
    });
    every_lock(&mut |lock| {
        asked += 1;
        if asked <= taken {
            // SAFETY: taken above; the first that could not be had was the last that was tried.
            unsafe { lock.release() }
        }
    });
    all
}

/// Registers the handlers; once.
pub(super) fn register() -> bool {
    crate::sys::at_fork(prepare, parent, child).is_ok()
}
