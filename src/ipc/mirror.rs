//! [`Mirror`]: the pages of a file mapped twice in a row, so that what wraps around their end lies in one piece.
//!
//! # Invariant of a [`Mirror`]
//! * **K1** `base..base + page + 2 * capacity` belongs to this value alone, readable and writable and shared: a page that is
//!   the file's first, then the `capacity` bytes behind it, then the same bytes again.

use crate::error::{Error, Operation, Result};
use crate::page::page_size;
use crate::sys::{self, Errno, files};
use core::ptr::NonNull;
use std::os::fd::BorrowedFd;

pub(super) struct Mirror {
    base: NonNull<u8>,
    capacity: usize,
}

// SAFETY: by K1 the mapping belongs to this value alone, so it can move to another thread with it.
unsafe impl Send for Mirror {}

/// How often a place is looked for: between its being found free and its being taken, other threads may take it.
const ATTEMPTS: usize = 16;

impl Mirror {
    /// Maps a file of a page and `capacity` bytes, which are whole pages and not none.
    pub(super) fn new(file: BorrowedFd<'_>, capacity: usize) -> Result<Self> {
        let mut refusal = libc::ENOMEM;
        for _ in 0..ATTEMPTS {
            match Self::try_new(file, capacity) {
                Ok(mirror) => return Ok(mirror),
                Err(errno) => refusal = errno,
            }
            if refusal != libc::EEXIST {
                break;
            }
        }
        Err(Error::os(Operation::Map, capacity, refusal))
    }

    fn try_new(file: BorrowedFd<'_>, capacity: usize) -> Result<Self, Errno> {
        let page = page_size();
        let total = capacity.checked_mul(2).and_then(|twice| twice.checked_add(page)).ok_or(libc::ENOMEM)?;
        let base = sys::reserve(total, page, 0)?;
        // SAFETY: reserved just now, and nothing else knows of it. What is mapped below replaces nothing.
        unsafe { sys::unmap(base, total) }?;
        // SAFETY: the parts lie in the range that was free a moment ago.
        let parts =
            unsafe { [(base, 0, page), (base.add(page), page, capacity), (base.add(page + capacity), page, capacity)] };
        for (done, &(start, offset, len)) in parts.iter().enumerate() {
            if let Err(errno) = files::map_shared_at(start, file, offset as u64, len) {
                for &(start, _, len) in &parts[..done] {
                    // SAFETY: mapped by this loop.
                    let _ = unsafe { sys::unmap(start, len) };
                }
                return Err(errno);
            }
        }
        Ok(Self { base, capacity })
    }

    /// The first page.
    pub(super) fn header(&self) -> NonNull<u8> {
        self.base
    }

    /// The bytes behind it, twice.
    pub(super) fn data(&self) -> *mut u8 {
        // SAFETY: within the mapping (K1).
        unsafe { self.base.as_ptr().add(page_size()) }
    }

    /// The length of the bytes.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // SAFETY: K1, and nothing can use the value after its drop. Whole mappings can always be unmapped.
        let _ = unsafe { sys::unmap(self.base, page_size() + 2 * self.capacity) };
    }
}
