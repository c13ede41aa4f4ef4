//! Address space reserved once and never given back, committed from its start as it is needed.
//!
//! # Invariants of a [`Region`]
//! * **R1** Until `reserve` succeeds, `base` is zero; after that `base..base + len` is mapped for the life of the process.
//! * **R2** `base..base + committed` is readable and writable; `committed` only rises.

use super::Mapping;
use crate::error::{Error, Operation, Result};
use crate::page::{page_size, round_up};
use crate::sys::{self, Protection};
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// A reservation for the life of the process.
pub(crate) struct Region {
    base: AtomicPtr<u8>,
    len: AtomicUsize,
    committed: AtomicUsize,
}

impl Region {
    /// A region without addresses.
    pub(crate) const fn empty() -> Self {
        Self { base: AtomicPtr::new(core::ptr::null_mut()), len: AtomicUsize::new(0), committed: AtomicUsize::new(0) }
    }

    /// Reserves `len` bytes at a multiple of `align`. The caller sees to it that this happens once, and before any other
    /// use.
    pub(crate) fn reserve(&self, len: usize, align: usize) -> Result<()> {
        debug_assert!(self.base.load(Relaxed).is_null());
        let base =
            sys::reserve(len, align.max(page_size()), 0).map_err(|errno| Error::os(Operation::Map, len, errno))?;
        self.len.store(len, Relaxed);
        self.base.store(base.as_ptr(), Release);
        Ok(())
    }

    /// The start address; null before [`reserve`](Self::reserve).
    #[inline(always)]
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.load(Acquire)
    }

    /// The reserved length in bytes.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// The committed length in bytes.
    #[inline(always)]
    pub(crate) fn committed(&self) -> usize {
        self.committed.load(Acquire)
    }

    /// Commits at least the first `len` bytes, and up to `ahead` bytes more if that costs no failure. Calls must not
    /// overlap: the caller holds the lock that guards the region's growth.
    pub(crate) fn commit(&self, len: usize, ahead: usize) -> Result<()> {
        let committed = self.committed();
        if len <= committed {
            return Ok(());
        }
        if len > self.len() {
            return Err(Error::out_of_range(Operation::Commit, len));
        }
        let exact = round_up(len, page_size()).min(self.len());
        let generous = round_up(len.saturating_add(ahead).min(self.len()), page_size()).min(self.len());
        let done = self.commit_to(committed, generous).map(|()| generous).or_else(|error| {
            if exact < generous { self.commit_to(committed, exact).map(|()| exact) } else { Err(error) }
        })?;
        self.committed.store(done, Release);
        Ok(())
    }

    fn commit_to(&self, from: usize, to: usize) -> Result<()> {
        let base = NonNull::new(self.base()).ok_or(Error::out_of_range(Operation::Commit, to))?;
        // SAFETY: `from <= to <= len`, so the range lies within the region (R1).
        unsafe { sys::protect(base.add(from), to - from, Protection::ReadWrite) }
            .map_err(|errno| Error::os(Operation::Commit, to - from, errno))
    }

    /// Gives the reservation up: the region is as it was before it. For a region of which nothing was committed, before
    /// anyone else knows of it.
    pub(crate) fn cancel(&self) {
        debug_assert_eq!(self.committed(), 0);
        if let Some(base) = NonNull::new(self.base.swap(core::ptr::null_mut(), Relaxed)) {
            // SAFETY: R1, and nothing refers to the range.
            // A failure keeps addresses only: there was never memory behind them.
            let _ = unsafe { sys::unmap(base, self.len.swap(0, Relaxed)) };
        }
    }

    /// Sees to it that a range gets no huge pages from now on, whatever the system's policy is.
    pub(crate) fn refuse_huge_pages(&self, offset: usize, len: usize) {
        debug_assert!(offset + len <= self.len());
        if let Some(start) = NonNull::new(self.base().wrapping_add(offset)) {
            // SAFETY: within the region (R1). A kernel without huge pages refuses, and has none to refuse.
            let _ = unsafe { sys::advise(start, len, sys::PageAdvice::NoHugePage) };
        }
    }

    /// Asks for huge pages for a range.
    pub(crate) fn prefer_huge_pages(&self, offset: usize, len: usize) {
        debug_assert!(offset + len <= self.committed());
        if let Some(start) = NonNull::new(self.base().wrapping_add(offset)) {
            // SAFETY: within the region (R1). A kernel without huge pages refuses, and small ones are good too.
            let _ = unsafe { sys::advise(start, len, sys::PageAdvice::HugePage) };
        }
    }

    /// Whether the page at an offset is resident; `false` if the kernel does not say.
    pub(crate) fn is_resident(&self, offset: usize) -> bool {
        let mut resident = [0];
        self.residency(offset, &mut resident).is_ok() && resident[0] & 1 != 0
    }

    /// Asks which pages from an offset on are resident: the lowest bit of a byte each.
    pub(crate) fn residency(&self, offset: usize, resident: &mut [u8]) -> Result<()> {
        let len = resident.len() * page_size();
        if offset + len > self.len() {
            return Err(Error::out_of_range(Operation::Advise, len));
        }
        let start =
            NonNull::new(self.base().wrapping_add(offset)).ok_or(Error::out_of_range(Operation::Advise, len))?;
        // SAFETY: whole pages of the region (R1).
        unsafe { sys::residency(start, len, resident) }.map_err(|errno| Error::os(Operation::Advise, len, errno))
    }

    /// Gives the memory of a range back: the range stays committed and reads zero.
    ///
    /// # Safety
    /// `offset..offset + len` is committed, whole pages, and nothing in it is used.
    pub(crate) unsafe fn purge(&self, offset: usize, len: usize) -> Result<()> {
        let base = NonNull::new(self.base()).ok_or(Error::out_of_range(Operation::Advise, len))?;
        // SAFETY: within the region (R1), and the caller's contract.
        unsafe { sys::advise(base.add(offset), len, sys::PageAdvice::DontNeed) }
            .map_err(|errno| Error::os(Operation::Advise, len, errno))
    }

    /// Moves the pages of a range, without copying them, into a mapping of its own with room for `room` bytes; the range
    /// stays committed and reads zero.
    ///
    /// # Safety
    /// `offset..offset + len` is committed, whole pages, and no reference into it is used again; `len <= room`.
    pub(crate) unsafe fn move_out(&self, offset: usize, len: usize, room: usize) -> Result<Mapping> {
        let base = NonNull::new(self.base()).ok_or(Error::out_of_range(Operation::Remap, len))?;
        // SAFETY: within the region (R1), and the caller's contract.
        unsafe { Mapping::adopt(base.add(offset), len, room) }
    }
}
