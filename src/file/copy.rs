//! Reading and writing that survive whatever happens to the file: the kernel copies, and says where it could not.

use super::{FileAdvice, FileMap, Kind, Writable};
use crate::error::{Error, Operation, Result};
use crate::sys::files;
use core::ops::RangeBounds;
use core::ptr::NonNull;

impl<K: Kind> FileMap<K> {
    /// Copies the bytes from `at` on into `buffer`, all of it.
    ///
    /// The copy is not one step: who writes to the file meanwhile may show in a part of it. Bytes between the end of the
    /// file and the end of its last page are zero, or what somebody has written there by a map.
    ///
    /// The copy is a system call, [`process_vm_readv(2)`](https://man7.org/linux/man-pages/man2/process_vm_readv.2.html),
    /// or goes through a pipe where a sandbox forbids that.
    ///
    /// # Errors
    /// If the range is not within the map, or a page is not there (`EFAULT`): it lies behind the end of a file that has
    /// become shorter, or the disk cannot read it. Then a part of the buffer may have been filled.
    pub fn read_at(&self, at: usize, buffer: &mut [u8]) -> Result<()> {
        let source = self.part(at, buffer.len())?;
        // SAFETY: the target is the caller's alone, and takes any bytes.
        unsafe { files::copy(source, NonNull::from(&mut *buffer).cast(), buffer.len()) }
            .map_err(|errno| Error::os(Operation::Copy, buffer.len(), errno))
    }

    /// Reads the pages of a range in, one after the other, by `MADV_POPULATE_READ` (Linux 5.14).
    ///
    /// If that succeeds, reading the range does not fault, as long as the file does not become shorter.
    ///
    /// # Errors
    /// If the range is not within the map, or a page is not there: `EFAULT` where it lies behind the end of the file or the
    /// disk cannot read it, `EHWPOISON` where the memory is broken. `EINVAL` from a kernel that lacks the call.
    pub fn check(&self, range: impl RangeBounds<usize>) -> Result<()> {
        self.advise(range, FileAdvice::PopulateRead)
    }

    /// The address of `len` bytes at `at`, if they are the map's.
    fn part(&self, at: usize, len: usize) -> Result<NonNull<u8>> {
        match at.checked_add(len) {
            // SAFETY: within the map (L1).
            Some(end) if end <= self.len => Ok(unsafe { self.start.add(at) }),
            _ => Err(Error::out_of_range(Operation::Copy, len)),
        }
    }
}

impl<K: Writable> FileMap<K> {
    /// Copies `bytes` into the map at `at`, all of them.
    ///
    /// The copy is not one step: who reads the file meanwhile may see a part of it. What is written between the end of the
    /// file and the end of its last page does not become part of the file, and is no error.
    ///
    /// # Errors
    /// If the range is not within the map, or a page is not there (`EFAULT`): it lies behind the end of a file that has
    /// become shorter, the disk cannot read it, or the file system has no space for it. Then a part may have been written.
    pub fn write_at(&self, at: usize, bytes: &[u8]) -> Result<()> {
        let target = self.part(at, bytes.len())?;
        // SAFETY: by L3 nobody has a reference to the bytes that this could break.
        unsafe { files::copy(NonNull::from(bytes).cast(), target, bytes.len()) }
            .map_err(|errno| Error::os(Operation::Copy, bytes.len(), errno))
    }

    /// Makes every page of a range ready to be written to, by `MADV_POPULATE_WRITE` (Linux 5.14): the file system sets
    /// space aside for it, and a [`Private`](super::Private) map copies it. The contents stay.
    ///
    /// If that succeeds, neither reading the range nor writing to it faults, as long as the file does not become shorter.
    /// A file system that writes a page to a new place each time may need space again once the page was written back.
    ///
    /// # Errors
    /// As for [`check`](Self::check), and `EFAULT` where the file system has no space.
    pub fn check_writable(&self, range: impl RangeBounds<usize>) -> Result<()> {
        self.advise(range, FileAdvice::PopulateWrite)
    }
}
