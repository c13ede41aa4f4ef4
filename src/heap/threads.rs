//! The caches of all threads: made when a thread first needs one, handed on when it ends.
//!
//! # Invariants
//! * **H1** every cache ever made is in the list of registered ones and is never unmapped, so that it can be read at any
//!   time.
//! * **H2** a cache is owned by one thread, or it is in the list of free ones.

use super::cache::{self, ThreadCache};
use super::table::Table;
use super::{Heap, misuse};
use crate::error::{Error, Operation, Result};
use crate::lock::{Mutex, RawLock};
use crate::sys::ExitKey;
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// Threads that can have a cache at the same time; further ones do without.
const MAX_THREADS: usize = 1 << 16;

/// And where the address space is short.
const MIN_THREADS: usize = 16;

struct Made {
    count: usize,
    free: *const ThreadCache,
}

// SAFETY: the pointers are to registered caches, valid for ever (H1); the lock orders access to the list.
unsafe impl Send for Made {}

/// The caches of the process.
pub(super) struct Threads {
    table: Table<ThreadCache>,
    made: Mutex<Made>,
    registered: AtomicPtr<ThreadCache>,
    /// The number of the exit key, plus one.
    key: AtomicU32,
}

unsafe extern "C" fn on_exit(value: *mut c_void) {
    cache::detach();
    // SAFETY: the value is what `attach` set: a registered cache (H1), which the ending thread owns.
    let cache = unsafe { &*value.cast::<ThreadCache>() };
    super::HEAP.retire(cache);
    super::HEAP.settle();
}

/// A library that is unloaded must leave no destructor behind, which would run in threads that end later. What the caches
/// of those hold is lost with the engine. (The C library itself forgets the handlers for `fork`.)
extern "C" fn on_unload() {
    super::HEAP.background.stop();
    if let Some(key) = super::HEAP.threads.key.swap(0, Relaxed).checked_sub(1) {
        ExitKey::from_raw(key).delete();
    }
}

#[used]
#[cfg(target_os = "linux")]
// SAFETY: the section is an array of pointers to functions of this type, which the C library calls when the program ends
// or the library that they are part of is unloaded.
#[unsafe(link_section = ".fini_array")]
static ON_UNLOAD: extern "C" fn() = on_unload;

impl Threads {
    pub(super) const fn new() -> Self {
        Self {
            table: Table::empty(),
            made: Mutex::new(Made { count: 0, free: null_mut() }),
            registered: AtomicPtr::new(null_mut()),
            key: AtomicU32::new(0),
        }
    }

    /// Prepares the table and the hook for ending threads; once, before any other use.
    pub(super) fn reserve(&self) -> Result<()> {
        self.table.reserve(MAX_THREADS, MIN_THREADS)?;
        let key = ExitKey::new(on_exit).map_err(|errno| Error::os(Operation::Allocate, 0, errno))?;
        self.key.store(key.raw() + 1, Release);
        Ok(())
    }

    /// Gives the calling thread a cache, if there is memory for one.
    pub(super) fn attach(&'static self) -> &'static ThreadCache {
        // Until this is settled, whatever the C library allocates meanwhile goes without a cache.
        cache::detach();
        let Some(key) = self.key.load(Acquire).checked_sub(1).map(ExitKey::from_raw) else { return cache::current() };
        let Some(new) = self.take() else { return cache::current() };
        if key.set(core::ptr::from_ref(new).cast()).is_err() {
            // Without the hook the cache would be lost when the thread ends.
            self.put(new);
            return cache::current();
        }
        cache::attach(new);
        new
    }

    fn take(&'static self) -> Option<&'static ThreadCache> {
        let mut made = self.made.lock();
        // SAFETY: H1; null is none.
        if let Some(cache) = unsafe { made.free.as_ref() } {
            made.free = cache.next_free.load(Relaxed);
            return Some(cache);
        }
        let index = made.count;
        self.table.commit(index + 1).ok()?;
        made.count = index + 1;
        let cache = self.table.at(index);
        cache.prepare(index);
        cache.registered.store(self.registered.load(Relaxed), Relaxed);
        self.registered.store(core::ptr::from_ref(cache).cast_mut(), Release);
        Some(cache)
    }

    /// Takes a flushed cache back.
    pub(super) fn put(&self, cache: &'static ThreadCache) {
        cache.release();
        let mut made = self.made.lock();
        cache.next_free.store(made.free.cast_mut(), Relaxed);
        made.free = cache;
    }

    /// Every cache ever made.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static ThreadCache> {
        let mut next = self.registered.load(Acquire);
        core::iter::from_fn(move || {
            // SAFETY: H1; null ends the list.
            let cache = unsafe { next.as_ref() }?;
            next = cache.registered.load(Acquire);
            Some(cache)
        })
    }

    /// Committed bytes of the table.
    pub(super) fn metadata_bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Calls `each` with every lock of this room, for `fork`.
    pub(super) fn locks(&self, each: &mut dyn FnMut(&RawLock)) {
        each(self.made.raw());
    }
}

impl Heap {
    /// Takes the cache of a thread that ends, or that `fork` left behind.
    fn retire(&self, cache: &'static ThreadCache) {
        if !cache.is_attached() {
            misuse::abort(b"mapalloc: a thread's cache was retired twice\n");
        }
        // SAFETY: the owner is ending or gone, so the cache is the caller's.
        unsafe { cache.flush(self) };
        self.threads.put(cache);
        self.keep_within_budget();
    }

    /// In the child of a `fork`, hands on the caches of the threads that exist in the parent only. A cache that its thread
    /// was about to change is left as it is: what it holds is lost to the child.
    pub(super) fn retire_orphans(&self) {
        let own = cache::current();
        for other in self.threads.all() {
            if !core::ptr::eq(own, other) && other.is_orphaned_whole() {
                self.retire(other);
            }
        }
    }
}
