//! Places that one thread fills and any thread may empty: what a thread's cache keeps for its owner, and gives up to whoever
//! looks for idle memory.
//!
//! # Invariants
//! * **P1** only the owner fills a place, so a place that it finds empty stays so until it fills it.
//! * **P2** what is in a place leaves it by one exchange, so that one thread gets it. What was written before it was put there
//!   is seen by whoever takes it.

use crate::sync::{
    AtomicPtr, AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    constant,
};
use core::ptr::null_mut;

/// A place for a pointer; null is none.
pub(super) struct PointerPlace(AtomicPtr<u8>);

impl PointerPlace {
    constant! {
        pub(super) fn new() -> Self {
            Self(AtomicPtr::new(null_mut()))
        }
    }

    /// What is in it, for those who do not take it.
    #[inline(always)]
    pub(super) fn peek(&self) -> *mut u8 {
        self.0.load(Relaxed)
    }

    /// Takes what is in it out if it is wanted.
    #[inline(always)]
    pub(super) fn take_if<T>(&self, wanted: impl FnOnce(*mut u8) -> Option<T>) -> Option<T> {
        let seen = self.0.load(Acquire);
        let answer = wanted(seen)?;
        // Somebody else may have taken it meanwhile.
        self.0.compare_exchange(seen, null_mut(), AcqRel, Relaxed).ok().map(|_| answer)
    }

    /// Takes out what is in it.
    pub(super) fn take(&self) -> *mut u8 {
        self.0.swap(null_mut(), AcqRel)
    }

    /// Fills it, which the owner has found empty: no exchange is needed.
    #[inline(always)]
    pub(super) fn put(&self, value: *mut u8) {
        self.0.store(value, Release);
    }

    /// Fills it, as the owner, and takes out what was in it.
    #[inline(always)]
    pub(super) fn replace(&self, value: *mut u8) -> *mut u8 {
        self.0.swap(value, AcqRel)
    }
}

/// A place for a number; 0 is none.
pub(super) struct NumberPlace(AtomicU32);

impl NumberPlace {
    constant! {
        pub(super) fn new() -> Self {
            Self(AtomicU32::new(0))
        }
    }

    /// What is in it, for those who do not take it.
    pub(super) fn peek(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Takes out what is in it.
    pub(super) fn take(&self) -> u32 {
        self.0.swap(0, AcqRel)
    }

    /// Fills it, which the owner has found empty.
    pub(super) fn put(&self, value: u32) {
        self.0.store(value, Release);
    }
}
