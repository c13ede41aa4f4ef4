//! The mappings of which only an address is kept: those of containers whose pages do not follow from a layout alone.
//!
//! A [`PageBox`](crate::PageBox) is one pointer, and a [`PageVec`](crate::PageVec) has the size of a `Vec`. What guards and
//! reservations belong to one made with options is written here, under its address, so that the containers stay as small as
//! they are and a pointer from `into_raw` finds its pages again. Containers made without options are not entered: for them
//! the price is one load.
//!
//! # Invariant
//! * **T1** An entry belongs to whoever owns the pages at its address; nobody else looks it up, takes it or puts it back. So
//!   nothing else may get the address as long as there is an entry, also in a child of `fork` that has not got the pages.

use super::{ByAddress, Mapping, RawMapping, count_forks};
use crate::error::{Error, Operation, Result};
use crate::lock::Mutex;
use crate::sys;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A mapping whose owner keeps its address alone.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) raw: RawMapping,
    /// Whether the pages must stay where they are.
    pub(crate) stable: bool,
}

// SAFETY: by T1 an entry goes with the pages, which can move to another thread.
unsafe impl Send for Entry {}

struct Table {
    entries: ByAddress<Entry>,
    watches_fork: bool,
}

static TABLE: Mutex<Table> = Mutex::new(Table { entries: ByAddress::new(), watches_fork: false });

/// Entries in the table and taken out of it, to be read without the lock: zero says that no address has one. Whoever owns
/// an entry has made it, or was given it by somebody who had, and so sees at least that one.
static ENTRIES: AtomicUsize = AtomicUsize::new(0);

/// Remembers a mapping, which is the caller's from now on under its address.
///
/// # Errors
/// If there is no memory for it; the mapping is then gone.
pub(crate) fn insert(mapping: Mapping, stable: bool) -> Result<NonNull<u8>> {
    let refused = |errno| Error::os(Operation::Allocate, size_of::<Entry>(), errno);
    let mut table = TABLE.lock();
    if !table.watches_fork {
        count_forks().and_then(|()| sys::at_fork(prepare, parent, child)).map_err(refused)?;
        table.watches_fork = true;
    }
    if !table.entries.promise() {
        return Err(refused(libc::ENOMEM));
    }
    let raw = mapping.into_raw();
    table.entries.insert(raw.base(), Entry { raw, stable });
    ENTRIES.fetch_add(1, Relaxed);
    Ok(raw.base())
}

/// What is known of the mapping at an address of the caller's.
#[inline]
pub(crate) fn find(base: NonNull<u8>) -> Option<Entry> {
    if ENTRIES.load(Relaxed) == 0 { None } else { TABLE.lock().entries.get(base).copied() }
}

/// Takes an entry out to change its mapping, which may move; [`put_back`] or [`forget`] must follow. Until then another
/// mapping may get the address.
#[inline]
pub(crate) fn take(base: NonNull<u8>) -> Option<Entry> {
    if ENTRIES.load(Relaxed) == 0 { None } else { TABLE.lock().entries.take_out(base) }
}

/// Puts an entry back that was [taken](take).
pub(crate) fn put_back(entry: Entry) {
    TABLE.lock().entries.insert(entry.raw.base(), entry);
}

/// Says that an entry that was [taken](take) will not be put back.
pub(crate) fn forget() {
    TABLE.lock().entries.break_promise();
    ENTRIES.fetch_sub(1, Relaxed);
}

unsafe extern "C" fn prepare() {
    TABLE.raw().acquire();
}

unsafe extern "C" fn parent() {
    // SAFETY: `prepare` took the lock on this thread.
    unsafe { TABLE.raw().release() };
}

unsafe extern "C" fn child() {
    // SAFETY: as in the parent: the child starts as a copy of the thread that took the lock.
    unsafe { TABLE.raw().release() };
    for entry in TABLE.lock().entries.values_mut() {
        // SAFETY: the value stands for the entry and makes no second mapping, since it is not dropped.
        let mut mapping = ManuallyDrop::new(unsafe { Mapping::from_raw(entry.raw) });
        mapping.hold_place_after_fork();
        entry.raw = ManuallyDrop::into_inner(mapping).into_raw();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::page_size;
    use std::vec::Vec;

    #[test]
    fn entries_are_found_until_they_are_taken() {
        let made: Vec<_> =
            (0..500).map(|n| insert(Mapping::new(page_size() * (1 + n % 3)).unwrap(), n % 2 == 0).unwrap()).collect();
        for (n, &base) in made.iter().enumerate() {
            let entry = find(base).unwrap();
            assert_eq!((entry.raw.base(), entry.stable), (base, n % 2 == 0));
            assert_eq!(entry.raw.committed(), page_size() * (1 + n % 3));
        }
        // Every other one goes, and the rest is still found.
        let end = |base| {
            let entry = take(base).unwrap();
            assert!(find(base).is_none());
            forget();
            // SAFETY: the entry was this test's, and is gone.
            drop(unsafe { Mapping::from_raw(entry.raw) });
        };
        made.iter().step_by(2).for_each(|&base| end(base));
        for &base in made.iter().skip(1).step_by(2) {
            put_back(take(base).unwrap());
            assert!(find(base).is_some());
        }
        made.iter().skip(1).step_by(2).for_each(|&base| end(base));
    }
}
