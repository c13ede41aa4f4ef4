//! A roster: things that are made, used by one thread at a time, handed to the next, and never destroyed.
//!
//! # Invariants
//! * **H1** everything ever made is in the list of registered things and is never unmapped, so that it can be read at any
//!   time, without a lock.
//! * **H2** a thing is owned by one thread, or it is in the list of free ones.

use crate::lock::{Mutex, RawLock};
use crate::sync::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
    constant,
};
use core::ptr::null_mut;

/// A thing with the two links that a roster needs.
pub(super) trait Member: Sized + 'static {
    /// The next thing that was ever made.
    fn registered(&self) -> &AtomicPtr<Self>;
    /// The next thing that nobody owns.
    fn next_free(&self) -> &AtomicPtr<Self>;
}

struct Made<T> {
    count: usize,
    free: *const T,
}

// SAFETY: the pointers are to registered things, valid for ever (H1); the lock orders access to the list.
unsafe impl<T: Sync> Send for Made<T> {}

/// The roster.
pub(super) struct Roster<T> {
    made: Mutex<Made<T>>,
    registered: AtomicPtr<T>,
}

impl<T: Member> Roster<T> {
    constant! {
        pub(super) fn new() -> Self {
            Self { made: Mutex::new(Made { count: 0, free: null_mut() }), registered: AtomicPtr::new(null_mut()) }
        }
    }

    /// A thing that nobody owns, or a new one, by `make` from the number of those before it.
    pub(super) fn take(&self, make: impl FnOnce(usize) -> Option<&'static T>) -> Option<&'static T> {
        let mut made = self.made.lock();
        // SAFETY: H1; null is none.
        if let Some(thing) = unsafe { made.free.as_ref() } {
            made.free = thing.next_free().load(Relaxed);
            return Some(thing);
        }
        let thing = make(made.count)?;
        made.count += 1;
        thing.registered().store(self.registered.load(Relaxed), Relaxed);
        self.registered.store(core::ptr::from_ref(thing).cast_mut(), Release);
        Some(thing)
    }

    /// Takes a thing back.
    pub(super) fn put(&self, thing: &'static T) {
        let mut made = self.made.lock();
        thing.next_free().store(made.free.cast_mut(), Relaxed);
        made.free = thing;
    }

    /// Everything ever made.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static T> {
        let mut next = self.registered.load(Acquire);
        core::iter::from_fn(move || {
            // SAFETY: H1; null ends the list.
            let thing = unsafe { next.as_ref() }?;
            next = thing.registered().load(Acquire);
            Some(thing)
        })
    }

    /// The lock alone: for `fork`.
    pub(super) fn raw(&self) -> &RawLock {
        self.made.raw()
    }
}
