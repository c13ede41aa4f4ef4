//! More of the file, or less of it, in the same map.
//!
//! On a failure the map is as it was.

use super::{FileMap, FileOptions, Kind, ReadWrite};
use crate::error::{Error, Operation, Result};
use crate::sys;
use crate::sys::files::{self, FileStatus};
use core::ptr::NonNull;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

impl<K: Kind> FileMap<K> {
    /// Grows to `len` bytes of the file, which is the one that is mapped and has become so long: in place where there is
    /// room, otherwise at a new address. A smaller `len` changes nothing.
    ///
    /// What a [`Private`](super::Private) map has changed is kept. Locks and advice on a part of the map may be lost.
    ///
    /// # Errors
    /// If the file is another one, or ends before the map would (unless [`past_end`](FileOptions::past_end) allows that),
    /// or the kernel refuses.
    pub fn grow(&mut self, file: impl AsFd, len: usize) -> Result<()> {
        let file = file.as_fd();
        let status = self.inspect(Operation::Remap, file)?;
        self.grow_in(file, &status, len)
    }

    /// Grows to the end that the file, which is the one that is mapped, has now. Where that is before the end of the map,
    /// nothing changes.
    ///
    /// # Errors
    /// As for [`grow`](Self::grow).
    pub fn grow_to_end(&mut self, file: impl AsFd) -> Result<()> {
        let file = file.as_fd();
        let status = self.inspect(Operation::Remap, file)?;
        if status.len <= self.end(self.len) {
            return Ok(());
        }
        let len = self.options.to_end(&status)?;
        self.grow_in(file, &status, len)
    }

    /// Shrinks the map to `len` bytes and gives the pages behind them back; the file stays as it is. A larger `len` changes
    /// nothing.
    ///
    /// # Errors
    /// If the kernel refuses (a split at the limit of mappings, `vm.max_map_count`).
    pub fn shrink(&mut self, len: usize) -> Result<()> {
        if len >= self.len {
            return Ok(());
        }
        let Some((base, bytes)) = self.all_pages() else { return Ok(()) };
        let kept = self.pages(0..len).map_or(0, |(_, bytes)| bytes);
        if kept < bytes {
            // SAFETY: the pages behind the new end (L1), to which `&mut self` excludes references.
            unsafe { sys::unmap_tail(base, bytes, kept) }
                .map_err(|errno| Error::os(Operation::Unmap, bytes - kept, errno))?;
        }
        if len == 0 {
            self.start = NonNull::dangling();
        }
        self.len = len;
        Ok(())
    }

    fn grow_in(&mut self, file: BorrowedFd<'_>, status: &FileStatus, len: usize) -> Result<()> {
        if len <= self.len {
            return Ok(());
        }
        let span = self.options.span(Operation::Remap, status, len)?;
        let Some((base, bytes)) = self.all_pages() else {
            *self = self.options.map_len(file, status, len)?;
            return Ok(());
        };
        if span > bytes {
            // SAFETY: the map's own pages (L1), to which `&mut self` excludes references.
            match unsafe { sys::remap(base, bytes, span, true) } {
                // SAFETY: the whole span was mapped there, and `lead` is less than a page.
                Ok(base) => self.start = unsafe { base.add(self.lead()) },
                // The pages lie in several areas (advice on a part does that), which cannot be resized as one.
                Err(libc::EFAULT) => return self.map_anew(file, status, len),
                Err(errno) => return Err(Error::os(Operation::Remap, span, errno)),
            }
        }
        self.len = len;
        self.prepare();
        Ok(())
    }

    /// Grows by a map in the place of this one.
    fn map_anew(&mut self, file: BorrowedFd<'_>, status: &FileStatus, len: usize) -> Result<()> {
        let new: Self = self.options.map_len(file, status, len)?;
        if !K::HOW.shared {
            // SAFETY: nobody else knows of the new map, which is longer, and private as this one is, so writable.
            unsafe { files::copy(self.start, new.start, self.len) }
                .map_err(|errno| Error::os(Operation::Copy, self.len, errno))?;
        }
        *self = new;
        Ok(())
    }
}

impl FileMap<ReadWrite> {
    /// Makes the file, which is the one that is mapped, long enough for a map of `len` bytes, and grows to that. A file that
    /// is long enough stays as it is.
    ///
    /// The file system sets space aside for the new bytes, which are zero, so that writing to them does not fail later. One
    /// that cannot ([`fallocate(2)`](https://man7.org/linux/man-pages/man2/fallocate.2.html) is `EOPNOTSUPP` there) makes
    /// the file longer without it; a process that makes the file longer still at the same time may then find it cut.
    ///
    /// # Errors
    /// If the file is another one, there is no space (`ENOSPC`, `EDQUOT`), the file would be too large (`EFBIG`), or the
    /// kernel refuses. The file may then be longer than before.
    pub fn extend_file(&mut self, file: impl AsFd, len: usize) -> Result<()> {
        let file = file.as_fd();
        let mut status = self.inspect(Operation::Extend, file)?;
        // What cannot be mapped in the end is not to make the file longer.
        FileOptions::past_end(self.options, true).span(Operation::Extend, &status, len)?;
        let end = self.end(len);
        if end > status.len {
            files::extend_file(file.as_raw_fd(), status.len, end)
                .map_err(|errno| Error::os(Operation::Extend, len, errno))?;
            status.len = end;
        }
        self.grow_in(file, &status, len)
    }
}
