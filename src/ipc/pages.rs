//! [`SharedPages`]: an owned mapping of pages that processes share.
//!
//! # Invariants of [`SharedPages`]
//! * **Q1** `base..base + mapped` is a shared mapping that belongs to this value alone, readable and, if `is_writable`,
//!   writable; `len <= mapped`, which is whole pages. If `len` is zero nothing is mapped.
//! * **Q2** This process touches the pages by atomics only, but for what its `unsafe` functions let out.

use super::Atomic;
use super::atomic::{load, store};
use crate::error::{Error, Operation, Result};
use crate::page::{checked_round_up, page_size};
use crate::sys::{self, Protection, descriptors};
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;
use core::slice;
use std::os::fd::BorrowedFd;

/// Pages that several processes have mapped, unmapped here when dropped.
///
/// ```
/// use mapalloc::ipc::SharedPages;
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// let counters = SharedPages::new(4096)?; // children of `fork` count in the same memory
/// counters.atomics::<AtomicU64>(0..64)?[3].fetch_add(1, Relaxed);
/// let mut bytes = [0; 8];
/// counters.read_at(24, &mut bytes)?;
/// assert_eq!(u64::from_ne_bytes(bytes), 1);
/// # Ok::<(), mapalloc::Error>(())
/// ```
pub struct SharedPages {
    base: NonNull<u8>,
    len: usize,
    mapped: usize,
    is_writable: bool,
}

// SAFETY: by Q1 the mapping belongs to this value alone, so it can move to another thread with it.
unsafe impl Send for SharedPages {}
// SAFETY: by Q2 shared references lead to atomic accesses only.
unsafe impl Sync for SharedPages {}

impl SharedPages {
    /// Maps `len` bytes of zeros that this process and its children of `fork` share.
    ///
    /// # Errors
    /// If `len` is too large for an address space, or the kernel refuses.
    pub fn new(len: usize) -> Result<Self> {
        Self::map(None, len, true)
    }

    /// Maps the first `len` bytes of a file.
    pub(super) fn map(file: Option<BorrowedFd<'_>>, len: usize, is_writable: bool) -> Result<Self> {
        let mapped = checked_round_up(len, page_size())
            .filter(|&mapped| mapped <= isize::MAX as usize)
            .ok_or(Error::capacity(Operation::Map, len))?;
        if len == 0 {
            return Ok(Self { base: NonNull::dangling(), len, mapped, is_writable });
        }
        let protection = if is_writable { Protection::ReadWrite } else { Protection::Read };
        let base = descriptors::map_shared(file, 0, mapped, protection)
            .map_err(|errno| Error::os(Operation::Map, len, errno))?;
        Ok(Self { base, len, mapped, is_writable })
    }

    /// The length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of the first byte.
    #[must_use]
    pub const fn as_ptr(&self) -> *const u8 {
        self.base.as_ptr()
    }

    /// Copies bytes out. Each is one that was there during the call; where another process or thread writes meanwhile, they
    /// need not have been there together.
    ///
    /// # Errors
    /// If the bytes are not all within the length.
    pub fn read_at(&self, offset: usize, target: &mut [u8]) -> Result<()> {
        self.check(offset, target.len())?;
        // SAFETY: within the mapping (Q1), of which Q2 holds.
        unsafe { load(self.base.as_ptr().add(offset), target) };
        Ok(())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// If the bytes are not all within the length, or the pages were mapped for reading only.
    pub fn write_at(&self, offset: usize, source: &[u8]) -> Result<()> {
        self.check(offset, source.len())?;
        self.check_writable(source.len())?;
        // SAFETY: as in `read_at`; the pages are writable.
        unsafe { store(source, self.base.as_ptr().add(offset)) };
        Ok(())
    }

    /// The bytes of a range as atomics.
    ///
    /// # Errors
    /// If the range is not within the length, does not start and end at multiples of the atomic's size, or the pages were
    /// mapped for reading only.
    pub fn atomics<A: Atomic>(&self, range: Range<usize>) -> Result<&[A]> {
        let bytes = range.end.checked_sub(range.start).ok_or(Error::out_of_range(Operation::Map, 0))?;
        self.check(range.start, bytes)?;
        // A read of some atomics is a write to the processor.
        self.check_writable(bytes)?;
        if !range.start.is_multiple_of(size_of::<A>()) || !bytes.is_multiple_of(size_of::<A>()) {
            return Err(Error::out_of_range(Operation::Map, bytes));
        }
        // SAFETY: within the mapping (Q1) and aligned, since the mapping starts at a page; every bit pattern is a value.
        Ok(unsafe { slice::from_raw_parts(self.base.as_ptr().add(range.start).cast(), bytes / size_of::<A>()) })
    }

    /// The bytes.
    ///
    /// # Safety
    /// As long as the reference lives, nobody writes to them: no thread of this process, and no other process.
    #[must_use]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: Q1, and the caller's contract.
        unsafe { slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }

    /// The bytes, for writing.
    ///
    /// # Safety
    /// As long as the reference lives, nobody else reads or writes them, and the pages were mapped for writing.
    #[must_use]
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: Q1, and the caller's contract.
        unsafe { slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }

    fn check(&self, offset: usize, bytes: usize) -> Result<()> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(Error::out_of_range(Operation::Map, bytes)),
        }
    }

    fn check_writable(&self, bytes: usize) -> Result<()> {
        if self.is_writable { Ok(()) } else { Err(Error::os(Operation::Protect, bytes, libc::EACCES)) }
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: Q1, and nothing can use the value after its drop. A whole mapping can always be unmapped.
            let _ = unsafe { sys::unmap(self.base, self.mapped) };
        }
    }
}

impl fmt::Debug for SharedPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPages")
            .field("base", &self.base)
            .field("len", &self.len)
            .field("is_writable", &self.is_writable)
            .finish()
    }
}
