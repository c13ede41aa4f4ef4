//! Advice about the pages of a map, locks on them, and which of them are in memory.

use super::{FileMap, Kind, OfFile, Private};
use crate::error::{Operation, Result};
use crate::map::Lock;
use crate::observe::Residency;
use crate::sys::{self, LockTime, PageAdvice};
use core::ops::RangeBounds;

/// What to tell the kernel about a range of a map, [`madvise(2)`](https://man7.org/linux/man-pages/man2/madvise.2.html).
///
/// None of these changes what the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileAdvice {
    /// `MADV_NORMAL`: undo [`FileAdvice::Sequential`] and [`FileAdvice::Random`].
    Normal,
    /// `MADV_SEQUENTIAL`: the range will be read from its start to its end.
    Sequential,
    /// `MADV_RANDOM`: the range will be read in no order, so reading ahead is of no use.
    Random,
    /// `MADV_WILLNEED`: the range will be used soon; read it ahead, without waiting.
    WillNeed,
    /// `MADV_POPULATE_READ` (Linux 5.14): read the range in, all of it, now.
    PopulateRead,
    /// `MADV_POPULATE_WRITE` (Linux 5.14): make the range ready to be written to, all of it, now. Refused for a
    /// [`ReadOnly`](super::ReadOnly) map.
    PopulateWrite,
    /// `MADV_COLD` (Linux 5.4): the range will not be used soon, and goes first when memory is short.
    Cold,
    /// `MADV_PAGEOUT` (Linux 5.4): write the range back and drop it from memory now.
    PageOut,
    /// `MADV_HUGEPAGE`: back the range with transparent huge pages where the file system can.
    HugePage,
    /// `MADV_NOHUGEPAGE`: never back the range with huge pages.
    NoHugePage,
    /// `MADV_DONTDUMP`: leave the range out of core dumps.
    DontDump,
    /// `MADV_DODUMP`: undo [`FileAdvice::DontDump`].
    DoDump,
}

impl FileAdvice {
    const fn to_sys(self) -> PageAdvice {
        match self {
            Self::Normal => PageAdvice::Normal,
            Self::Sequential => PageAdvice::Sequential,
            Self::Random => PageAdvice::Random,
            Self::WillNeed => PageAdvice::WillNeed,
            Self::PopulateRead => PageAdvice::PopulateRead,
            Self::PopulateWrite => PageAdvice::PopulateWrite,
            Self::Cold => PageAdvice::Cold,
            Self::PageOut => PageAdvice::PageOut,
            Self::HugePage => PageAdvice::HugePage,
            Self::NoHugePage => PageAdvice::NoHugePage,
            Self::DontDump => PageAdvice::DontDump,
            Self::DoDump => PageAdvice::DoDump,
        }
    }
}

impl<K: Kind> FileMap<K> {
    /// Tells the kernel about a range, rounded outwards to whole pages.
    ///
    /// # Errors
    /// If the range is not within the map, or the kernel refuses.
    pub fn advise(&self, range: impl RangeBounds<usize>, advice: FileAdvice) -> Result<()> {
        // SAFETY: the map's own pages (L1), whose contents stay.
        self.on_pages(Operation::Advise, range, |base, bytes| unsafe { sys::advise(base, bytes, advice.to_sys()) })
    }

    /// Locks a range, rounded outwards to whole pages, into memory: it is never dropped or swapped out. `RLIMIT_MEMLOCK`
    /// limits how much a process may lock.
    ///
    /// # Errors
    /// If the range is not within the map, a page is not there, or the kernel refuses.
    pub fn lock(&self, range: impl RangeBounds<usize>, lock: Lock) -> Result<()> {
        let time = match lock {
            Lock::Now => LockTime::Now,
            Lock::OnFault => LockTime::OnFault,
        };
        // SAFETY: the map's own pages (L1).
        self.on_pages(Operation::Lock, range, |base, bytes| unsafe { sys::lock(base, bytes, time) })
    }

    /// Undoes [`lock`](Self::lock).
    ///
    /// # Errors
    /// If the range is not within the map, or the kernel refuses.
    pub fn unlock(&self, range: impl RangeBounds<usize>) -> Result<()> {
        // SAFETY: the map's own pages (L1).
        self.on_pages(Operation::Lock, range, |base, bytes| unsafe { sys::unlock(base, bytes) })
    }

    /// Which pages of a range are in memory, whoever has brought them there.
    ///
    /// Of a file that the process neither owns nor may write to, the kernel says that all are.
    ///
    /// # Errors
    /// If the range is not within the map, the kernel refuses, or there is no memory for the answer.
    pub fn residency(&self, range: impl RangeBounds<usize>) -> Result<Residency> {
        let pages = self.pages(self.resolve(Operation::Observe, range)?);
        let addresses = pages.map_or(0..0, |(base, bytes)| base.addr().get()..base.addr().get() + bytes);
        // SAFETY: the map's own pages (L1).
        unsafe { Residency::of_pages(self.as_ptr(), addresses) }
    }
}

impl<K: OfFile> FileMap<K> {
    /// Takes a range, rounded outwards to whole pages, out of the process' page tables (`MADV_DONTNEED`). The next touch
    /// finds the file's bytes again: nothing that was written is lost.
    ///
    /// # Errors
    /// If the range is not within the map, is locked (`EINVAL`), or the kernel refuses.
    pub fn release(&self, range: impl RangeBounds<usize>) -> Result<()> {
        // SAFETY: the map's own pages (L1). They are the file's, which keeps what was written, so no byte changes.
        self.on_pages(Operation::Advise, range, |base, bytes| unsafe { sys::advise(base, bytes, PageAdvice::DontNeed) })
    }
}

impl FileMap<Private> {
    /// Forgets what was written to the pages that a range lies in, all of them from start to end (`MADV_DONTNEED`): they
    /// show the file again.
    ///
    /// # Errors
    /// If the range is not within the map, or the kernel refuses.
    pub fn discard(&mut self, range: impl RangeBounds<usize>) -> Result<()> {
        self.on_pages(Operation::Advise, range, |base, bytes| {
            // Locked pages take another word (Linux 5.18).
            // SAFETY: the map's own pages (L1), to which `&mut self` excludes references.
            unsafe {
                let plainly = sys::advise(base, bytes, PageAdvice::DontNeed);
                plainly.or_else(|errno| sys::advise(base, bytes, PageAdvice::DontNeedLocked).map_err(|_| errno))
            }
        })
    }
}
