//! From the map to the disk, and what has become of the file.

use super::{FileMap, Kind, ReadWrite, options};
use crate::error::{Error, Operation, Result};
use crate::sys::files::{self, FileStatus};
use core::ops::RangeBounds;
use std::os::fd::{AsFd, BorrowedFd};

impl FileMap<ReadWrite> {
    /// Writes what was changed to the disk, and waits for it.
    ///
    /// Other processes see what is written to the map without this. It is for what must outlive a crash of the system.
    ///
    /// # Errors
    /// If the disk fails (`EIO`), or the kernel refuses.
    pub fn flush(&self) -> Result<()> {
        self.flush_range(..)
    }

    /// As [`flush`](Self::flush), for a range, rounded outwards to whole pages.
    ///
    /// # Errors
    /// If the range is not within the map, the disk fails (`EIO`), or the kernel refuses.
    pub fn flush_range(&self, range: impl RangeBounds<usize>) -> Result<()> {
        self.sync(range, true)
    }

    /// Asks for what was changed to be written, without waiting. Linux does that by itself after a while, and takes this for
    /// a reminder only.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn flush_async(&self) -> Result<()> {
        self.sync(.., false)
    }

    fn sync(&self, range: impl RangeBounds<usize>, wait: bool) -> Result<()> {
        // SAFETY: whole pages of the map (L1).
        self.on_pages(Operation::Flush, range, |base, bytes| unsafe { files::flush(base, bytes, wait) })
    }
}

impl<K: Kind> FileMap<K> {
    /// Whether the file, which is the one that is mapped, ends before the map does. Others may change that at any time.
    ///
    /// # Errors
    /// If it is another file, or the kernel refuses.
    pub fn is_truncated(&self, file: impl AsFd) -> Result<bool> {
        let status = self.inspect(Operation::Inspect, file.as_fd())?;
        Ok(status.is_regular && status.len < self.end(self.len))
    }

    /// What the file is, if it is the one that is mapped.
    pub(super) fn inspect(&self, operation: Operation, file: BorrowedFd<'_>) -> Result<FileStatus> {
        let status = options::inspect(file)?;
        if status.identity == self.identity { Ok(status) } else { Err(Error::other_file(operation, self.len)) }
    }

    /// Where a map of `len` bytes ends in the file, which may be past all that a file can have.
    pub(super) const fn end(&self, len: usize) -> u64 {
        self.options.offset.saturating_add(len as u64)
    }
}
