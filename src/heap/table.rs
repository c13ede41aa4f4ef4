//! Arrays for the engine's metadata: reserved at their full length, committed as they fill, never moved or given back.
//!
//! Invariant **T1**: elements lie back to back from the start of the region, and an index below the committed length is
//! an element that is valid for the life of the process, all-zero until written.

use super::misuse;
use crate::error::Result;
use crate::map::Region;
use crate::page::{page_size, round_up};
use crate::sys;
use core::marker::PhantomData;

/// Commit this much more than asked for, so that few commits happen.
const AHEAD: usize = 64 << 10;

/// Where the address space is limited, a table takes at most one part in this many of it.
const LIMITED_SHARE: usize = 64;

/// A type that the all-zero bit pattern is a value of, and that is only changed through shared references.
///
/// # Safety
/// Both hold.
pub(super) unsafe trait ZeroInit: Sync {}

/// An array of up to a fixed number of elements.
pub(super) struct Table<T> {
    region: Region,
    elements: PhantomData<T>,
}

impl<T: ZeroInit> Table<T> {
    pub(super) const fn empty() -> Self {
        Self { region: Region::empty(), elements: PhantomData }
    }

    /// Reserves room for up to `capacity` elements, once, before any other use: for fewer where the address space is
    /// limited or short, but at least for `minimum`.
    pub(super) fn reserve(&self, capacity: usize, minimum: usize) -> Result<()> {
        let share = sys::address_space_limit().map_or(usize::MAX, |limit| limit / LIMITED_SHARE);
        let mut count = capacity.min(share / size_of::<T>()).max(minimum);
        loop {
            let bytes = round_up(count * size_of::<T>(), page_size());
            match self.region.reserve(bytes, align_of::<T>()) {
                Err(_) if count > minimum => count = (count / 4).max(minimum),
                result => return result,
            }
        }
    }

    /// Gives the reservation up, before anyone else knows of it.
    pub(super) fn cancel(&self) {
        self.region.cancel();
    }

    /// Makes the first `count` elements usable. Calls must not overlap.
    pub(super) fn commit(&self, count: usize) -> Result<()> {
        self.region.commit(count * size_of::<T>(), AHEAD)
    }

    /// Committed bytes.
    pub(super) fn bytes(&self) -> usize {
        self.region.committed()
    }

    /// The element at `index`, which has been committed.
    #[inline(always)]
    pub(super) fn at(&self, index: usize) -> &T {
        if (index + 1) * size_of::<T>() > self.region.committed() {
            misuse::abort(b"mapalloc: corrupt metadata index\n");
        }
        // SAFETY: by the check above.
        unsafe { self.at_unchecked(index) }
    }

    /// The element at `index`.
    ///
    /// # Safety
    /// It has been committed.
    #[inline(always)]
    pub(super) unsafe fn at_unchecked(&self, index: usize) -> &T {
        // SAFETY: T1, by the caller's contract; `ZeroInit` makes zeroed memory a value of `T`.
        unsafe { &*self.region.base().cast::<T>().add(index) }
    }
}
