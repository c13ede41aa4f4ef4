//! Owned, untyped mappings: whole pages of anonymous private memory with a safe interface.
//!
//! This room is the only one that maps, moves and unmaps such memory. [`Mapping`] is the owned form, unmapped when dropped;
//! `Region` is the form for memory that lives as long as the process. This file holds the type, its views and its raw form;
//! `options` and `granted` are what is asked for and what was got, `make` maps, `resize` commits, grows and shrinks,
//! `access` takes access away and gives it back, `hidden` makes memory for secrets, `leftover` remembers what could not be
//! unmapped, `child` is what a child of `fork` gets in the place of pages that it does not have, `registry` remembers the
//! mappings of which only an address is kept; `zone` is reserved addresses opened and closed in pieces.
//!
//! # Invariants of a [`Mapping`]
//! * **M1** `base..base + reserved`, with `granted.before` bytes of guard before it and `granted.after` behind, was mapped by
//!   this room, belongs to this value alone, and is unmapped by nobody else.
//! * **M2** `base..base + committed` is readable and writable, and `committed <= reserved`; both are multiples of the unit
//!   (the page size, or that of the hugetlb pages), `reserved` is not zero and at most `isize::MAX`.
//! * **M3** `base` is a multiple of `options.alignment()`, a power of two that is at least the page size.
//! * **M4** a committed byte that was never written since it was committed or decommitted reads zero.
//! * **M5** `process` is zero, or says which process has the pages: its children do not.

mod access;
mod advice;
mod by_address;
mod child;
mod granted;
mod hidden;
mod leftover;
mod make;
mod options;
mod region;
pub(crate) mod registry;
mod residency;
mod resize;
mod zone;

pub(crate) use access::Sealed;
pub use access::{
    Access, NoAccess, Pages, Protect, Protected, ReadExecute, ReadGuard, ReadOnly, Readable, Refused, WriteGuard,
};
pub use advice::Advice;
pub(crate) use by_address::ByAddress;
pub(crate) use child::count_forks;
pub use granted::{Backing, Features, Granted, Guard};
pub use options::{Fork, Lock, MapOptions, Numa};
pub(crate) use region::Region;
pub(crate) use residency::{looks_resident, zero_pages};
pub(crate) use zone::{Closed, Zone, close};

use crate::error::{Error, Operation, Result};
use crate::page::{HUGE_UNIT, page_size};
use crate::sys;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut, Range};
use core::ptr::NonNull;
use core::slice;

/// An owned range of anonymous private pages, unmapped when dropped.
///
/// It derefs to its committed bytes, which are zero until written. The address stays the same until [`grow`](Self::grow)
/// finds no room behind the mapping.
///
/// ```
/// use mapalloc::map::Mapping;
///
/// let mut pages = Mapping::new(10_000)?;
/// assert_eq!(pages.len() % mapalloc::page_size(), 0);
/// pages[9_999] = 7;
/// pages.grow(1 << 20)?;
/// assert_eq!((pages[9_999], pages[1 << 19]), (7, 0));
/// # Ok::<(), mapalloc::Error>(())
/// ```
pub struct Mapping(RawMapping);

/// A [`Mapping`] that nobody owns: what [`Mapping::into_raw`] leaves and [`Mapping::from_raw`] takes.
#[derive(Clone, Copy, Debug)]
pub struct RawMapping {
    base: NonNull<u8>,
    committed: usize,
    reserved: usize,
    options: MapOptions,
    granted: Granted,
    process: u64,
}

impl RawMapping {
    /// The start address.
    #[must_use]
    pub const fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The committed length in bytes.
    #[must_use]
    pub const fn committed(&self) -> usize {
        self.committed
    }

    /// The length of the address range in bytes.
    #[must_use]
    pub const fn reserved(&self) -> usize {
        self.reserved
    }

    /// The options that the mapping was made with.
    pub(crate) const fn options(&self) -> MapOptions {
        self.options
    }

    /// What it got of them.
    pub(crate) const fn granted(&self) -> Granted {
        self.granted
    }
}

// SAFETY: by M1 the pages belong to this value alone, so they can move to another thread with it.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives shared access to plain bytes only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps at least `len` bytes of zeros: `len` is rounded up to whole pages.
    ///
    /// # Errors
    /// If `len` is zero or too large for an address space, or the kernel refuses.
    pub fn new(len: usize) -> Result<Self> {
        MapOptions::new().map(len)
    }

    /// The committed length in bytes, a multiple of the page size.
    #[inline]
    pub const fn len(&self) -> usize {
        self.0.committed
    }

    /// Whether nothing is committed.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.0.committed == 0
    }

    /// The length of the address range in bytes: the committed pages and what is reserved behind them.
    #[inline]
    pub const fn reserved(&self) -> usize {
        self.0.reserved
    }

    /// The alignment that the start address is known to have, in bytes.
    #[inline]
    pub fn align(&self) -> usize {
        self.0.options.alignment()
    }

    /// What the mapping got of what its options asked for.
    #[inline]
    pub const fn granted(&self) -> Granted {
        self.0.granted
    }

    /// The start address.
    #[inline]
    pub const fn as_ptr(&self) -> *const u8 {
        self.0.base.as_ptr()
    }

    /// The start address, for writing.
    #[inline]
    pub const fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.base.as_ptr()
    }

    /// The committed bytes.
    #[inline]
    pub const fn as_slice(&self) -> &[u8] {
        // SAFETY: by M2 the bytes are readable, by M4 initialised, and `&self` keeps writers away.
        unsafe { slice::from_raw_parts(self.0.base.as_ptr(), self.0.committed) }
    }

    /// The committed bytes, for writing.
    #[inline]
    pub const fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: by M2 the bytes are writable, by M4 initialised, and `&mut self` is exclusive.
        unsafe { slice::from_raw_parts_mut(self.0.base.as_ptr(), self.0.committed) }
    }

    /// Tells the kernel about a range of the committed bytes, rounded outwards to whole pages.
    ///
    /// [`Advice::DontNeed`] is [`decommit`](Self::decommit), which does not touch bytes outside the range.
    ///
    /// # Errors
    /// If the range is not within [`len`](Self::len), or the kernel refuses.
    pub fn advise(&mut self, range: Range<usize>, advice: Advice) -> Result<()> {
        if advice == Advice::DontNeed {
            return self.decommit(range);
        }
        if range.start > range.end || range.end > self.len() {
            return Err(Error::out_of_range(Operation::Advise, range.end.saturating_sub(range.start)));
        }
        let unit = self.unit();
        self.advise_reserved(advice, range.start & !(unit - 1)..range.end.next_multiple_of(unit))
    }

    /// Asks for huge pages in the whole mapping. Refusal is no loss: the pages are then small ones.
    pub(crate) fn prefer_huge_pages(&mut self) {
        let _ = self.advise_reserved(Advice::HugePage, 0..self.0.reserved);
    }

    /// Advice on whole pages anywhere in the address range.
    fn advise_reserved(&mut self, advice: Advice, range: Range<usize>) -> Result<()> {
        debug_assert!(range.start <= range.end && range.end <= self.0.reserved);
        let bytes = range.end - range.start;
        // SAFETY: the range lies within the mapping (M1), to which `&mut self` excludes other references.
        unsafe { sys::advise(self.0.base.add(range.start), bytes, advice.to_sys()) }
            .map_err(|errno| Error::os(Operation::Advise, bytes, errno))
    }

    /// The unit of the mapping in bytes, the size of its pages, of which all lengths are multiples.
    fn unit(&self) -> usize {
        match self.0.granted.backing {
            Backing::HugeTlb(size) => size,
            _ => page_size(),
        }
    }

    /// Gives up the mapping without unmapping it. [`from_raw`](Self::from_raw) takes it back.
    #[must_use = "the mapping stays mapped until `from_raw` takes it back"]
    pub fn into_raw(self) -> RawMapping {
        ManuallyDrop::new(self).0
    }

    /// The mapping that [`into_raw`](Self::into_raw) gave up.
    ///
    /// # Safety
    /// `raw` comes from `into_raw`, and makes no second mapping.
    pub const unsafe fn from_raw(raw: RawMapping) -> Self {
        // M1 to M5 held when it was given up.
        Self(raw)
    }

    /// A mapping of which only the address, the length and the alignment were kept: all of it is committed, and it was
    /// made with no other option.
    ///
    /// # Safety
    /// `base` and `len` are those of such a mapping that was given up, and make no second one.
    pub(crate) const unsafe fn plain(base: NonNull<u8>, len: usize, align: usize) -> Self {
        let options = MapOptions::new().align(align);
        Self(RawMapping { base, committed: len, reserved: len, options, granted: Granted::NOTHING, process: 0 })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.is_elsewhere() {
            // What lies at the addresses is somebody else's.
            return;
        }
        let RawMapping { base, reserved, granted: Granted { before, after, .. }, process, .. } = self.0;
        // SAFETY: M1, and nothing can use the value after its drop.
        unsafe { discard_of(process, base.sub(before), before + reserved + after) };
    }
}

impl Deref for Mapping {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for Mapping {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Mapping {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("base", &self.0.base)
            .field("committed", &self.0.committed)
            .field("reserved", &self.0.reserved)
            .field("granted", &self.0.granted)
            .finish()
    }
}

/// The alignment that a mapping of `len` bytes is tried with first. Whole huge units start on one: page tables then move as
/// a whole, and huge pages fit. It is a preference, which must not cost addresses where they are scarce.
fn preferred_align(align: usize, len: usize) -> usize {
    if len >= HUGE_UNIT { align.max(HUGE_UNIT) } else { align }
}

/// Unmaps a range for good. At the kernel's limit of mappings, where a split is refused, the memory goes back all the same,
/// and the addresses as soon as something else has been unmapped.
///
/// # Safety
/// The range belongs to the caller (M1) and is not used again; children of `fork` have it too.
pub(crate) unsafe fn discard(base: NonNull<u8>, len: usize) {
    // SAFETY: the caller's contract.
    unsafe { discard_of(0, base, len) };
}

/// The same for a range that one process alone has, if it is not zero (M5): elsewhere the addresses may be somebody else's.
///
/// # Safety
/// The range belongs to the caller (M1) and is not used again.
unsafe fn discard_of(process: u64, base: NonNull<u8>, len: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        if sys::unmap(base, len).is_ok() {
            leftover::retry();
            return;
        }
        // Without memory behind it the range is as good as gone. Locked pages take another word (Linux 5.18).
        let _ = sys::advise(base, len, sys::PageAdvice::DontNeed)
            .or_else(|_| sys::advise(base, len, sys::PageAdvice::DontNeedLocked));
        leftover::keep(base, len, process);
    }
}

#[cfg(test)]
mod tests;
