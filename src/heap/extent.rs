//! What the engine knows of a large mapping.
//!
//! # Invariants of an [`Extent`]
//! * **E1** its mapping is readable and writable over `len` bytes, and one area of the kernel's.
//! * **E2** bytes from `high` on read zero and hold no memory; `high <= len`, in whole pages.

use crate::error::Result;
use crate::map::{Advice, Mapping, looks_resident};
use crate::page::{HUGE_UNIT, page_size, round_up};
use crate::sys::unpoison;
use core::ptr::NonNull;

/// What is known of a mapping beyond its address.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) base: NonNull<u8>,
    pub(super) len: usize,
    pub(super) high: usize,
    /// In what its memory becomes resident: pages, or huge pages if they were asked for. (A `bool` here would make a
    /// static of absent extents other than zeros, and so a part of the program's file.)
    unit: usize,
}

// SAFETY: an extent is the right to a mapping, which can move to another thread.
unsafe impl Send for Extent {}

impl Extent {
    /// The mapping itself.
    ///
    /// # Safety
    /// The extent is used once for this: the mapping it describes becomes the result's.
    pub(super) unsafe fn into_mapping(self) -> Mapping {
        // The addresses may soon be anybody's.
        unpoison(self.base.as_ptr(), self.len);
        // SAFETY: an extent holds the parts of a mapping that was committed whole (E1); used once, by the contract.
        unsafe { Mapping::plain(self.base, self.len, 1) }
    }

    /// What is known of a mapping that was committed whole.
    pub(super) fn from_mapping(mapping: Mapping, huge: bool) -> Self {
        let raw = mapping.into_raw();
        let (base, len) = (raw.base(), raw.committed());
        Self { base, len, high: 0, unit: if huge { HUGE_UNIT } else { page_size() } }
    }

    /// Notes that a block of `size` bytes uses the mapping. A huge page is resident as a whole.
    pub(super) fn raise(&mut self, size: usize) {
        self.high = self.high.max(round_up(size, self.unit).min(self.len));
    }

    /// Gives the memory back for huge pages to take its place, if nearly all of it was touched: zeros that were used whole
    /// once are likely to be again. The bytes read zero then.
    pub(super) fn become_huge(&mut self) {
        // SAFETY: whole pages of the extent (E2), which is its owner's to ask about.
        let dense = self.unit != HUGE_UNIT && unsafe { looks_resident(self.base, self.high) };
        if dense && self.purge(0).is_ok() {
            // SAFETY: the extent's owner calls this, and the mapping is given up again below.
            let mut mapping = core::mem::ManuallyDrop::new(unsafe { self.into_mapping() });
            mapping.prefer_huge_pages();
            self.unit = HUGE_UNIT;
        }
    }

    /// Gives the memory from `from` on back, in whole pages; returns how many bytes that were at most.
    pub(super) fn purge(&mut self, from: usize) -> Result<usize> {
        let bytes = self.high.saturating_sub(from);
        if bytes > 0 {
            // SAFETY: the extent's owner calls this, and the mapping is given up again below.
            let mut mapping = core::mem::ManuallyDrop::new(unsafe { self.into_mapping() });
            mapping.advise(from..self.high, Advice::DontNeed)?;
            self.high = from;
        }
        Ok(bytes)
    }
}
