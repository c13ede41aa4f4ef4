//! The caches of all threads: made when a thread first needs one, handed on when it ends.
//!
//! They are the members of a roster (`roster`), whose invariants say what may be done with them.

use super::cache::{self, ThreadCache};
use super::roster::Roster;
use super::table::Table;
use super::{Heap, fork, misuse};
use crate::error::{Error, Operation, Result};
use crate::lock::RawLock;
use crate::sys::{self, ExitKey};
use core::ffi::c_void;
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// Threads that can have a cache at the same time; further ones do without.
const MAX_THREADS: usize = 1 << 16;

/// And where the address space is short.
const MIN_THREADS: usize = 16;

/// The caches of the process.
pub(super) struct Threads {
    table: Table<ThreadCache>,
    roster: Roster<ThreadCache>,
    /// The number of the exit key, plus one.
    key: AtomicU32,
}

unsafe extern "C" fn on_exit(value: *mut c_void) {
    cache::detach();
    // SAFETY: the value is what `attach` set: a registered cache (H1 of `roster`), which the ending thread owns.
    let cache = unsafe { &*value.cast::<ThreadCache>() };
    super::HEAP.retire(cache);
    super::HEAP.settle();
}

/// A library that is unloaded must leave no destructor behind, which would run in threads that end later. What the caches
/// of those hold is lost with the engine. (The C library itself forgets the handlers for `fork`.)
/// Nor may what the library frees after this start the background thread again.
///
/// It gives back what is free, which nobody else will. Not where the program itself ends, since all of its memory goes then,
/// nor where this thread may be in the middle of the engine, below a signal handler that ends the program.
#[cfg(target_os = "linux")]
extern "C" fn on_unload() {
    let heap = &super::HEAP;
    heap.background.allow(false);
    if let Some(key) = heap.threads.key.swap(0, Relaxed).checked_sub(1) {
        ExitKey::from_raw(key).delete();
        if !sys::is_in_program(on_unload as *const c_void) && fork::nobody_is_inside() {
            heap.purge();
        }
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
        Self { table: Table::empty(), roster: Roster::new(), key: AtomicU32::new(0) }
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
        self.roster.take(|index| {
            self.table.commit(index + 1).ok()?;
            let cache = self.table.at(index);
            cache.prepare(index);
            Some(cache)
        })
    }

    /// Takes a flushed cache back.
    pub(super) fn put(&self, cache: &'static ThreadCache) {
        cache.release();
        self.roster.put(cache);
    }

    /// Every cache ever made.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static ThreadCache> {
        self.roster.all()
    }

    /// Committed bytes of the table.
    pub(super) fn metadata_bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Calls `each` with every lock of this room, for `fork`.
    pub(super) fn locks(&self, each: &mut dyn FnMut(&RawLock)) {
        each(self.roster.raw());
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
