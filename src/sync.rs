//! What protocols between threads are written with, so that a model checker can run them as they are.
//!
//! The files that take their atomics from here (`lock`, and of the engine `gauge`, `handover`, `roster`, `setup`, `stack` and
//! `watch`) are also compiled by `tests/loom`, whose room of this name has the same on loom's atomics. So they use nothing
//! else of the crate but `lock` and the futex calls of `sys`.

pub(crate) use core::hint::spin_loop;
pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// How often a waiter for a lock looks again before it sleeps: about the length of one critical section.
pub(crate) const SPINS: u32 = 64;

/// Orders what was stored before a lock was released with what is loaded from here on, for all threads.
///
/// The caller has just released a lock. On x86-64 that was an exchange, which is such a barrier already, and only the
/// compiler is to be held.
#[inline(always)]
pub(crate) fn barrier_after_unlock() {
    #[cfg(target_arch = "x86_64")]
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(not(target_arch = "x86_64"))]
    fence(Ordering::SeqCst);
}

/// A constructor that is `const`; in the models it is not, since their atomics have none that is.
macro_rules! constant {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        $(#[$meta])* $vis const fn $($rest)*
    };
}
pub(crate) use constant;
