//! The crate's room of this name, on loom's atomics.

pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// Enough for a waiter that finds the lock free on its second look, and for one that does not.
pub(crate) const SPINS: u32 = 1;

/// What x86-64 gets from the exchange that releases a lock, other processors from a fence.
pub(crate) fn barrier_after_unlock() {
    fence(Ordering::SeqCst);
}

macro_rules! constant {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        $(#[$meta])* $vis fn $($rest)*
    };
}
pub(crate) use constant;
