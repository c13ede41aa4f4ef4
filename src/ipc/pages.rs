//! [`SharedPages`]: an owned mapping of pages that processes share.
//!
//! # Invariants of [`SharedPages`]
//! * **Q1** `base..base + mapped` is a shared mapping that belongs to this value alone, readable and, if `is_writable`,
//!   writable; `len <= mapped`, which is whole pages. If `len` is zero nothing is mapped.
//! * **Q2** This process touches the pages by atomics of one size only, but for what its `unsafe` functions let out, and the
//!   copies of the kernel.

use super::SharedAtomics;
use crate::atomic::Atomic;
use crate::error::{Error, Operation, Result};
use crate::map::Refused;
use crate::page::{checked_round_up, page_size};
use crate::sys::{self, Protection, files};
use core::fmt;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::AtomicU8;
use std::os::fd::BorrowedFd;

/// Pages that several processes have mapped, unmapped here when dropped.
///
/// ```
/// use mapalloc::ipc::SharedPages;
/// use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
///
/// let counters = SharedPages::new(4096)?; // children of `fork` count in the same memory
/// counters.atomic_bytes()?[3].fetch_add(1, Relaxed);
/// let mut bytes = [0; 4];
/// counters.read_at(0, &mut bytes)?;
/// assert_eq!(bytes, [0, 0, 0, 1]);
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
        let base =
            files::map_shared(file, 0, mapped, protection).map_err(|errno| Error::os(Operation::Map, len, errno))?;
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

    /// Copies bytes out, by the kernel. Each is one that was there during the call; where another process or thread writes
    /// meanwhile, they need not have been there together.
    ///
    /// # Errors
    /// If the bytes are not all within the length, or are gone because the file has become shorter.
    pub fn read_at(&self, offset: usize, target: &mut [u8]) -> Result<()> {
        self.check(offset, target.len())?;
        // SAFETY: the target is live and exclusive; the source lies within the mapping (Q1), or is refused.
        unsafe { files::copy(self.base.add(offset), NonNull::from(&mut *target).cast(), target.len()) }
            .map_err(|errno| Error::os(Operation::Copy, target.len(), errno))
    }

    /// Copies bytes in, by the kernel.
    ///
    /// # Errors
    /// If the bytes are not all within the length, the pages were mapped for reading only, or they are gone because the file
    /// has become shorter.
    pub fn write_at(&self, offset: usize, source: &[u8]) -> Result<()> {
        self.check(offset, source.len())?;
        self.check_writable(source.len())?;
        // SAFETY: the source is live; the target lies within the mapping (Q1) and is used as atomics only (Q2), or is refused.
        unsafe { files::copy(NonNull::from(source).cast(), self.base.add(offset), source.len()) }
            .map_err(|errno| Error::os(Operation::Copy, source.len(), errno))
    }

    /// The bytes as atomics. For larger ones see [`into_atomics`](Self::into_atomics).
    ///
    /// # Errors
    /// If the pages were mapped for reading only, since whoever has an atomic may store to it.
    pub fn atomic_bytes(&self) -> Result<&[AtomicU8]> {
        self.check_writable(self.len)?;
        // SAFETY: within the mapping (Q1), of which Q2 holds; every bit pattern is a value.
        Ok(unsafe { slice::from_raw_parts(self.base.as_ptr().cast(), self.len) })
    }

    /// The pages as atomics of one size. Accesses of different sizes to the same memory, at once, would be a data race, so
    /// from here on there is this one only.
    ///
    /// # Errors
    /// If the length is not a multiple of the atomic's size, or the pages were mapped for reading only. The pages come back
    /// with the error.
    pub fn into_atomics<A: Atomic>(self) -> Result<SharedAtomics<A>, Refused<Self>> {
        let allowed = self.check_writable(self.len).and_then(|()| {
            let fits = self.len.is_multiple_of(size_of::<A>());
            if fits { Ok(()) } else { Err(Error::out_of_range(Operation::Map, self.len)) }
        });
        match allowed {
            Ok(()) => Ok(SharedAtomics::new(self)),
            Err(error) => Err(Refused::new(error, self)),
        }
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
