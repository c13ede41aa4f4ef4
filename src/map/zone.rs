//! Address space reserved once, of which pieces are opened, closed and opened again: the hardened heap's, where what is not
//! in use is not to be touched.
//!
//! # Invariants of a [`Zone`]
//! * **Z1** Until `reserve` succeeds, `base` is zero; after that `base..base + len` is mapped for the life of the process.
//! * **Z2** A piece that is open is readable and writable, and read zero when it was opened. What was never opened, or is
//!   closed, cannot be read or written.

use crate::error::{Error, Operation, Result};
use crate::page::{HUGE_UNIT, page_size};
use crate::sys::{self, PageAdvice, Protection};
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// A reservation for the life of the process.
pub(crate) struct Zone {
    base: AtomicPtr<u8>,
    len: AtomicUsize,
}

impl Zone {
    /// A zone without addresses.
    pub(crate) const fn empty() -> Self {
        Self { base: AtomicPtr::new(core::ptr::null_mut()), len: AtomicUsize::new(0) }
    }

    /// Reserves `len` bytes at a multiple of `align`. The caller sees to it that this succeeds once at the most, and before
    /// any other use.
    pub(crate) fn reserve(&self, len: usize, align: usize) -> Result<()> {
        debug_assert!(self.base.load(Relaxed).is_null());
        let base =
            sys::reserve(len, align.max(page_size()), 0).map_err(|errno| Error::os(Operation::Map, len, errno))?;
        self.len.store(len, Relaxed);
        self.base.store(base.as_ptr(), Release);
        Ok(())
    }

    /// Gives the reservation up: for a zone of which nobody knows yet.
    pub(crate) fn cancel(&self) {
        if let Some(base) = NonNull::new(self.base.swap(core::ptr::null_mut(), Relaxed)) {
            // SAFETY: Z1, and nothing refers to the range.
            unsafe { super::discard(base, self.len.swap(0, Relaxed)) };
        }
    }

    /// The address at an offset.
    #[inline(always)]
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.len.load(Relaxed));
        self.base.load(Acquire).wrapping_add(offset)
    }

    /// How far an address is from the start, if it lies in the zone.
    #[inline(always)]
    pub(crate) fn offset_of(&self, address: *const u8) -> Option<usize> {
        let offset = address.addr().wrapping_sub(self.base.load(Acquire).addr());
        (offset < self.len.load(Relaxed)).then_some(offset)
    }

    fn piece(&self, offset: usize, len: usize) -> Result<NonNull<u8>> {
        if offset.checked_add(len).is_none_or(|end| end > self.len.load(Relaxed)) {
            return Err(Error::out_of_range(Operation::Commit, len));
        }
        NonNull::new(self.at(offset)).ok_or(Error::out_of_range(Operation::Commit, len))
    }

    /// Opens a piece that was never open, with `gap` bytes before it that stay closed.
    ///
    /// Whatever lies before the gap is open too, if the kernel has guards without mappings of their own: one mapping then
    /// holds all pieces, of which a process may have 65,530 otherwise.
    ///
    /// # Safety
    /// The piece and its gap are whole pages of the caller's, in which nothing is in use.
    pub(crate) unsafe fn open(&self, gap: usize, offset: usize, len: usize) -> Result<()> {
        let start = self.piece(offset - gap, gap + len)?;
        let failed = |errno| Error::os(Operation::Commit, len, errno);
        // SAFETY: within the zone (Z1); the caller's contract. A guard can be installed where there is no access yet.
        unsafe {
            if gap > 0 && sys::advise(start, gap, PageAdvice::GuardInstall).is_ok() {
                return sys::protect(start, gap + len, Protection::ReadWrite).map_err(failed);
            }
            sys::protect(start.add(gap), len, Protection::ReadWrite).map_err(failed)
        }
    }

    /// Closes an open piece, whose memory goes back. Says how, or `None` if the piece is still open; it reads zero then, or
    /// what it did.
    ///
    /// # Safety
    /// The piece is open, the caller's, and nothing in it is in use.
    pub(crate) unsafe fn close(&self, offset: usize, len: usize) -> Option<Closed> {
        // SAFETY: within the zone (Z1); the caller's contract.
        unsafe { close(self.piece(offset, len).ok()?, len) }
    }

    /// Opens a piece that was closed in that way.
    ///
    /// # Safety
    /// So it was, and it is the caller's.
    pub(crate) unsafe fn reopen(&self, offset: usize, len: usize, closed: Closed) -> Result<()> {
        let start = self.piece(offset, len)?;
        // SAFETY: within the zone (Z1).
        let opened = unsafe {
            match closed {
                Closed::Guarded => sys::advise(start, len, PageAdvice::GuardRemove),
                Closed::Protected => sys::protect(start, len, Protection::ReadWrite),
            }
        };
        opened.map_err(|errno| Error::os(Operation::Commit, len, errno))
    }
}

/// How a range was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// By guards in the page tables.
    Guarded,
    /// By its protection, which makes a mapping of its own of it.
    Protected,
}

/// Gives the memory of a range back and takes access away, best without making a mapping of its own of it. Says how; `None`
/// if the pages can be used as before.
///
/// # Safety
/// The range is the caller's, whole pages, readable and writable, and nothing refers to it.
pub(crate) unsafe fn close(start: NonNull<u8>, len: usize) -> Option<Closed> {
    // SAFETY: the caller's contract.
    unsafe {
        // A guard is an entry in the page tables for every page.
        if len <= HUGE_UNIT && sys::advise(start, len, PageAdvice::GuardInstall).is_ok() {
            return Some(Closed::Guarded);
        }
        sys::advise(start, len, PageAdvice::DontNeed).ok()?;
        sys::protect(start, len, Protection::None).ok().map(|()| Closed::Protected)
    }
}
