//! Owned, untyped mappings: whole pages of anonymous private memory with a safe interface.
//!
//! This room is the only one that maps, moves and unmaps. [`Mapping`] is the owned form, unmapped when dropped;
//! `Region` is the form for memory that lives as long as the process.
//!
//! # Invariants of a [`Mapping`]
//! * **M1** `base..base + reserved` was mapped by this room, belongs to this value alone, and is unmapped by nobody else.
//! * **M2** `base..base + committed` is readable and writable, and `committed <= reserved`; both are multiples of the page
//!   size, `reserved` is not zero and at most `isize::MAX`.
//! * **M3** `base` is a multiple of `options.align()`, a power of two that is at least the page size.
//! * **M4** a committed byte that was never written since it was committed or decommitted reads zero.

mod advice;
mod options;
mod region;
mod residency;

pub use advice::Advice;
pub use options::MapOptions;
pub(crate) use region::Region;
pub(crate) use residency::{looks_resident, zero_pages};

use crate::error::{Error, Operation, Result};
use crate::page::{HUGE_UNIT, checked_round_up, page_size, round_up};
use crate::sys::{self, Errno};
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
pub struct Mapping {
    base: NonNull<u8>,
    committed: usize,
    reserved: usize,
    options: MapOptions,
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

    /// A new mapping of `reserved` bytes, all of them committed or none; of the options only the alignment and
    /// `populate` are seen to here, the rest is [`MapOptions`]' part.
    fn with_options(reserved: usize, commit: bool, populate: bool, options: MapOptions) -> Result<Self> {
        let reserved = whole_pages(Operation::Map, reserved)?;
        let align = options.alignment();
        let preferred = preferred_align(align, reserved);
        let attempt = |align| if commit { sys::map(reserved, align, populate) } else { sys::reserve(reserved, align) };
        let base = attempt(preferred)
            .or_else(|errno| if preferred > align { attempt(align) } else { Err(errno) })
            .map_err(|errno| Error::os(Operation::Map, reserved, errno))?;
        // M1: fresh from the kernel. M2, M3: rounded and checked above. M4: anonymous pages are zero.
        Ok(Self { base, committed: if commit { reserved } else { 0 }, reserved, options })
    }

    /// The committed length in bytes, a multiple of the page size.
    #[inline]
    pub const fn len(&self) -> usize {
        self.committed
    }

    /// Whether nothing is committed.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.committed == 0
    }

    /// The length of the address range in bytes: the committed pages and what is reserved behind them.
    #[inline]
    pub const fn reserved(&self) -> usize {
        self.reserved
    }

    /// The alignment that the start address is known to have, in bytes.
    #[inline]
    pub fn align(&self) -> usize {
        self.options.alignment()
    }

    /// The start address.
    #[inline]
    pub const fn as_ptr(&self) -> *const u8 {
        self.base.as_ptr()
    }

    /// The start address, for writing.
    #[inline]
    pub const fn as_mut_ptr(&mut self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The committed bytes.
    #[inline]
    pub const fn as_slice(&self) -> &[u8] {
        // SAFETY: by M2 the bytes are readable, by M4 initialised, and `&self` keeps writers away.
        unsafe { slice::from_raw_parts(self.base.as_ptr(), self.committed) }
    }

    /// The committed bytes, for writing.
    #[inline]
    pub const fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: by M2 the bytes are writable, by M4 initialised, and `&mut self` is exclusive.
        unsafe { slice::from_raw_parts_mut(self.base.as_ptr(), self.committed) }
    }

    /// Makes at least the first `len` bytes usable; they keep their contents, and new ones are zero. Never moves.
    ///
    /// # Errors
    /// If `len` is past the reservation, or the kernel refuses; then nothing has changed.
    pub fn commit(&mut self, len: usize) -> Result<()> {
        if len > self.reserved {
            return Err(Error::out_of_range(Operation::Commit, len));
        }
        let len = round_up(len, page_size());
        if len <= self.committed {
            return Ok(());
        }
        let added = len - self.committed;
        // SAFETY: `committed..len` lies within the mapping (M1, M2).
        unsafe { sys::protect_read_write(self.base.add(self.committed), added) }
            .map_err(|errno| Error::os(Operation::Commit, added, errno))?;
        self.committed = len;
        Ok(())
    }

    /// Gives the memory of a range back and keeps the addresses: the range stays usable and reads zero.
    ///
    /// Pages that lie in the range only in part keep their memory; their bytes in the range are cleared.
    ///
    /// # Errors
    /// If the range is not within [`len`](Self::len), or the kernel refuses, as it does for locked pages; then pages before
    /// the first refused one may have been given back.
    pub fn decommit(&mut self, range: Range<usize>) -> Result<()> {
        let bytes = range.end.saturating_sub(range.start);
        if range.start > range.end || range.end > self.committed {
            return Err(Error::out_of_range(Operation::Advise, bytes));
        }
        let inner = round_up(range.start, page_size())..range.end & !(page_size() - 1);
        if inner.start < inner.end {
            self.advise_reserved(Advice::DontNeed, inner.clone())?;
            self[range.start..inner.start].fill(0);
            self[inner.end..range.end].fill(0);
        } else {
            self[range].fill(0);
        }
        Ok(())
    }

    /// Grows to at least `len` committed bytes without moving, or not at all. New bytes are zero.
    ///
    /// # Errors
    /// If the addresses behind the mapping are taken, or the kernel refuses; then the contents and the address are as
    /// they were, though all that was reserved may have become committed.
    pub fn grow_in_place(&mut self, len: usize) -> Result<()> {
        if len <= self.reserved {
            return self.commit(len);
        }
        let len = whole_pages(Operation::Remap, len)?;
        self.commit(self.reserved)?;
        // SAFETY: M1; without leave to move, existing references stay valid, and `&mut self` excludes them anyway.
        unsafe { sys::remap(self.base, self.reserved, len, false) }
            .map_err(|errno| Error::os(Operation::Remap, len, errno))?;
        (self.committed, self.reserved) = (len, len);
        Ok(())
    }

    /// Grows to at least `len` committed bytes: in place where there is room, otherwise by moving the pages to a new
    /// address without copying them. New bytes are zero; the alignment is kept. A smaller `len` changes nothing.
    ///
    /// # Errors
    /// If `len` is too large for an address space, or the kernel refuses; then nothing has changed.
    pub fn grow(&mut self, len: usize) -> Result<()> {
        if len <= self.reserved {
            return self.commit(len);
        }
        let len = whole_pages(Operation::Remap, len)?;
        if self.committed == 0 {
            *self = self.options.map(len)?;
            return Ok(());
        }
        self.relocate(len)
    }

    /// Grows past the reservation: where the mapping is, else where `len` bytes fit, else by a copy.
    fn relocate(&mut self, len: usize) -> Result<()> {
        // One area of the kernel's, which mremap(2) can resize.
        let whole = self.committed == self.reserved;
        // SAFETY: M1; without leave to move, existing references stay valid, and `&mut self` excludes them anyway.
        if whole && unsafe { sys::remap(self.base, self.committed, len, false) }.is_ok() {
            self.set_range(self.base, len);
            return Ok(());
        }
        let mut errno = libc::EFAULT;
        // The kernel's own choice of a place has no alignment, and it takes a mapping as a whole.
        if len >= HUGE_UNIT || self.align() > page_size() || !whole {
            // SAFETY: M1, and `&mut self` excludes references into the range.
            match unsafe { move_to_room(self.base, self.committed, len, self.align()) } {
                Ok(base) => {
                    // SAFETY: the old range (M1), whose pages have left it, and which this value covers no longer.
                    unsafe { discard(self.base, self.reserved) };
                    self.set_range(base, len);
                    return Ok(());
                }
                Err(refusal) => errno = refusal,
            }
        }
        if whole && self.align() <= page_size() {
            // SAFETY: M1, and `&mut self` excludes references into the range.
            match unsafe { sys::remap(self.base, self.committed, len, true) } {
                Ok(base) => {
                    self.set_range(base, len);
                    return Ok(());
                }
                Err(refusal) => errno = refusal,
            }
        }
        if errno == libc::ENOMEM {
            // Nor is there memory for a copy.
            return Err(Error::os(Operation::Remap, len, errno));
        }
        // The pages lie in several areas (advice on a part does that), which cannot be moved as one.
        let mut target = self.options.map(len)?;
        target[..self.committed].copy_from_slice(self);
        *self = target;
        Ok(())
    }

    fn set_range(&mut self, base: NonNull<u8>, len: usize) {
        (self.base, self.committed, self.reserved) = (base, len, len);
    }

    /// A mapping of `room` bytes that starts with the pages of `source..source + len`, moved there without a copy. The
    /// source stays mapped and reads zero. On failure it has its contents still.
    ///
    /// The pages and the room behind them end up as one area of the kernel's, so that a later move needs no copy either.
    ///
    /// # Safety
    /// The source is whole pages, readable and writable, mapped by this room; no reference into it is used again; and
    /// `0 < len <= room`.
    unsafe fn adopt(source: NonNull<u8>, len: usize, room: usize) -> Result<Self> {
        let room = whole_pages(Operation::Remap, room)?;
        let options = MapOptions::new();
        // SAFETY: the caller's contract.
        let base = unsafe { move_to_room(source, len, room, options.alignment()) }
            .map_err(|errno| Error::os(Operation::Remap, room, errno))?;
        Ok(Self { base, committed: room, reserved: room, options })
    }

    /// Shrinks the mapping to at least `len` bytes, both committed and reserved, and gives the rest back.
    ///
    /// `len` is rounded up to whole pages, at least one; a larger `len` than [`reserved`](Self::reserved) changes nothing.
    ///
    /// # Errors
    /// If the kernel refuses (a split at the limit of mappings, `vm.max_map_count`); then nothing has changed.
    pub fn shrink(&mut self, len: usize) -> Result<()> {
        let len = round_up(len.clamp(1, self.reserved), page_size());
        if len < self.reserved {
            let removed = self.reserved - len;
            // SAFETY: the end of the mapping (M1), to which `&mut self` excludes references.
            unsafe { sys::unmap_tail(self.base, self.reserved, len) }
                .map_err(|errno| Error::os(Operation::Unmap, removed, errno))?;
            self.reserved = len;
            self.committed = self.committed.min(len);
        }
        Ok(())
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
        if range.start > range.end || range.end > self.committed {
            return Err(Error::out_of_range(Operation::Advise, range.end.saturating_sub(range.start)));
        }
        self.advise_reserved(advice, range.start & !(page_size() - 1)..round_up(range.end, page_size()))
    }

    /// Asks for huge pages in the whole mapping. Refusal is no loss: the pages are then small ones.
    pub(crate) fn prefer_huge_pages(&mut self) {
        let _ = self.advise_reserved(Advice::HugePage, 0..self.reserved);
    }

    /// Advice on whole pages anywhere in the address range.
    fn advise_reserved(&mut self, advice: Advice, range: Range<usize>) -> Result<()> {
        debug_assert!(range.start <= range.end && range.end <= self.reserved);
        let bytes = range.end - range.start;
        // SAFETY: the range lies within the mapping (M1), to which `&mut self` excludes other references.
        unsafe { sys::advise(self.base.add(range.start), bytes, advice.to_sys()) }
            .map_err(|errno| Error::os(Operation::Advise, bytes, errno))
    }

    /// Gives up the mapping without unmapping it: start, committed length, reserved length, options.
    ///
    /// [`from_raw_parts`](Self::from_raw_parts) takes it back.
    #[must_use = "the mapping stays mapped until the parts are given to `from_raw_parts`"]
    pub fn into_raw_parts(self) -> (NonNull<u8>, usize, usize, MapOptions) {
        let this = ManuallyDrop::new(self);
        (this.base, this.committed, this.reserved, this.options)
    }

    /// The mapping whose parts [`into_raw_parts`](Self::into_raw_parts) gave.
    ///
    /// # Safety
    /// The parts are those of one call of `into_raw_parts`, unchanged, and they are used only once.
    pub const unsafe fn from_raw_parts(
        base: NonNull<u8>,
        committed: usize,
        reserved: usize,
        options: MapOptions,
    ) -> Self {
        // M1 to M4 held when the parts were given out.
        Self { base, committed, reserved, options }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: M1, and nothing can use the value after its drop.
        unsafe { discard(self.base, self.reserved) };
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
            .field("base", &self.base)
            .field("committed", &self.committed)
            .field("reserved", &self.reserved)
            .finish()
    }
}

/// `len` rounded up to whole pages, if that is a size a mapping can have.
fn whole_pages(operation: Operation, len: usize) -> Result<usize> {
    match checked_round_up(len, page_size()) {
        Some(rounded) if rounded > 0 && rounded <= isize::MAX as usize => Ok(rounded),
        _ => Err(Error::capacity(operation, len)),
    }
}

/// The alignment that a mapping of `len` bytes is tried with first. Whole huge units start on one: page tables then move as
/// a whole, and huge pages fit. It is a preference, which must not cost addresses where they are scarce.
fn preferred_align(align: usize, len: usize) -> usize {
    if len >= HUGE_UNIT { align.max(HUGE_UNIT) } else { align }
}

/// Moves the pages of a range to a multiple of `align` with room for `room` bytes behind that start, all of it one area of
/// the kernel's; returns the start. The source stays mapped and reads zero. On failure its contents are as they were.
///
/// # Safety
/// `source..source + len` is whole pages, readable and writable, mapped by this room; no reference into it is used again;
/// and `0 < len <= room`, also whole pages.
unsafe fn move_to_room(source: NonNull<u8>, len: usize, room: usize, align: usize) -> Result<NonNull<u8>, Errno> {
    let preferred = preferred_align(align, room);
    // A place where the room fits, usable and so charged: if the system refuses so much, it does so before anything has
    // moved. It is let go and named as a hint: if another thread's mapping gets there first, the kernel finds another place.
    let hint = sys::map(room, preferred, false)?;
    // SAFETY: mapped just now; nothing refers to it. The caller's contract for the source.
    let moved = unsafe {
        sys::unmap(hint, room)?;
        sys::move_pages(source, len, hint)?
    };
    let is_at = |align: usize| moved.addr().get() & (align - 1) == 0;
    if len == room && is_at(align) {
        return Ok(moved);
    }
    // SAFETY: the pages are at `moved`, one area of `len` bytes, which only this call knows of; the source is mapped, reads
    // zero, and is the caller's.
    unsafe {
        let mut widened = if is_at(preferred) { sys::remap(moved, len, room, false) } else { Err(libc::EFAULT) };
        if widened.is_err() && align <= page_size() {
            widened = sys::remap(moved, len, room, true);
        }
        widened.map_err(|_| {
            // The place was lost to another thread, which says nothing of the memory that there is.
            core::ptr::copy_nonoverlapping(moved.as_ptr(), source.as_ptr(), len);
            discard(moved, len);
            libc::EAGAIN
        })
    }
}

/// Unmaps a range for good. At the kernel's limit of mappings, where a split is refused, the memory goes back all the same
/// and only the addresses stay taken.
///
/// # Safety
/// The range belongs to the caller (M1) and is not used again.
unsafe fn discard(base: NonNull<u8>, len: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        if sys::unmap(base, len).is_err() {
            // Without memory behind it the range is as good as gone; a failure here leaves no further remedy.
            let _ = sys::advise(base, len, sys::PageAdvice::DontNeed);
        }
    }
}

#[cfg(test)]
mod tests;
