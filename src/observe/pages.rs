//! The state of single pages: [`Residency`] by `mincore(2)`, [`PageStates`] by `/proc/self/pagemap`.

use super::pages_of;
use crate::error::{Error, Operation, Result};
use crate::page::page_size;
use crate::sys;
use core::ops::Range;
use core::ptr::NonNull;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much of a piece of memory is resident, by [`mincore(2)`](https://man7.org/linux/man-pages/man2/mincore.2.html).
///
/// ```
/// use mapalloc::PageVec;
/// use mapalloc::observe::Residency;
///
/// // SAFETY: zero is a byte.
/// let mut zeros = unsafe { PageVec::<u8>::zeroed_unchecked(1 << 20) };
/// assert_eq!(Residency::of(&zeros)?.resident_bytes(), 0);
/// zeros[0] = 1;
/// assert!(Residency::of(&zeros)?.resident_pages() >= 1);
/// # Ok::<(), mapalloc::Error>(())
/// ```
///
/// A page that the process has not touched since it was shared or mapped from a file can be resident too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residency {
    /// A byte a page, its lowest bit set if the page is resident.
    pages: Vec<u8>,
}

impl Residency {
    /// Asks about the pages that a slice lies in.
    ///
    /// # Errors
    /// If the kernel refuses, or there is no memory for the answer.
    pub fn of<T>(memory: &[T]) -> Result<Self> {
        // SAFETY: the pages of a live slice are mapped.
        unsafe { Self::of_pages(memory.as_ptr().cast(), pages_of(memory)) }
    }

    /// Asks about whole pages; `memory` is a pointer into them, or any if there are none.
    ///
    /// # Safety
    /// The pages are mapped.
    pub(crate) unsafe fn of_pages(memory: *const u8, range: Range<usize>) -> Result<Self> {
        let mut pages = Vec::new();
        let count = range.len() / page_size();
        pages.try_reserve_exact(count).map_err(|_| Error::os(Operation::Observe, count, libc::ENOMEM))?;
        pages.resize(count, 0);
        if let Some(start) = NonNull::new(memory.cast_mut().with_addr(range.start)) {
            // SAFETY: by the caller's contract the pages are mapped, and are only asked about; a byte for each is there.
            unsafe { sys::residency(start, range.len(), &mut pages) }
                .map_err(|errno| Error::os(Operation::Observe, range.len(), errno))?;
        }
        Ok(Self { pages })
    }

    /// The number of pages.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Whether a page is resident.
    ///
    /// # Panics
    /// If there is no such page.
    #[must_use]
    pub fn is_resident(&self, page: usize) -> bool {
        self.pages[page] & 1 != 0
    }

    /// The number of resident pages.
    #[must_use]
    pub fn resident_pages(&self) -> usize {
        self.pages.iter().filter(|&&page| page & 1 != 0).count()
    }

    /// The resident pages in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        self.resident_pages() * page_size()
    }
}

/// What the kernel says of a page in
/// [`/proc/self/pagemap`](https://docs.kernel.org/admin-guide/mm/pagemap.html).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageState(u64);

impl PageState {
    /// Whether the page is in memory.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.0 >> 63 & 1 != 0
    }

    /// Whether it is in the swap.
    #[must_use]
    pub const fn is_swapped(self) -> bool {
        self.0 >> 62 & 1 != 0
    }

    /// Whether it belongs to a file, or to memory that processes share.
    #[must_use]
    pub const fn is_shared_or_file(self) -> bool {
        self.0 >> 61 & 1 != 0
    }

    /// Whether this process is the only one that has it mapped: after a `fork`, whether the page has been copied.
    #[must_use]
    pub const fn is_exclusive(self) -> bool {
        self.0 >> 56 & 1 != 0
    }

    /// Whether it was written to since the process' soft-dirty bits were cleared, if the kernel keeps them
    /// ([soft-dirty](https://docs.kernel.org/admin-guide/mm/soft-dirty.html)).
    #[must_use]
    pub const fn is_soft_dirty(self) -> bool {
        self.0 >> 55 & 1 != 0
    }
}

impl core::fmt::Debug for PageState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PageState")
            .field("present", &self.is_present())
            .field("swapped", &self.is_swapped())
            .field("shared_or_file", &self.is_shared_or_file())
            .field("exclusive", &self.is_exclusive())
            .field("soft_dirty", &self.is_soft_dirty())
            .finish()
    }
}

/// The states of all pages of a piece of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageStates(Vec<PageState>);

impl PageStates {
    /// Asks about the pages that a slice lies in.
    ///
    /// # Errors
    /// If `/proc` is not mounted or cannot be read.
    pub fn of<T>(memory: &[T]) -> io::Result<Self> {
        let range = pages_of(memory);
        let file = File::open("/proc/self/pagemap")?;
        let mut bytes = std::vec![0; range.len() / page_size() * 8];
        file.read_exact_at(&mut bytes, (range.start / page_size() * 8) as u64)?;
        let words = bytes.chunks_exact(8).map(|word| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            PageState(u64::from_ne_bytes(bytes))
        });
        Ok(Self(words.collect()))
    }

    /// The states, page by page.
    #[must_use]
    pub fn as_slice(&self) -> &[PageState] {
        &self.0
    }

    /// How many pages are in a state.
    #[must_use]
    pub fn count(&self, mut state: impl FnMut(PageState) -> bool) -> usize {
        self.0.iter().filter(|&&page| state(page)).count()
    }
}
