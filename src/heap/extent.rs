//! What the engine knows of a large mapping, and the table that finds it by address.
//!
//! # Invariants of an [`Extent`]
//! * **E1** its mapping is readable and writable over `len` bytes, and one area of the kernel's.
//! * **E2** bytes from `high` on read zero and hold no memory; `high <= len`, in whole pages.

use crate::error::Result;
use crate::map::{Advice, MapOptions, Mapping, looks_resident};
use crate::page::{HUGE_UNIT, page_size, round_up};
use crate::sys::unpoison;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};

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
        unsafe { Mapping::from_raw_parts(self.base, self.len, self.len, MapOptions::new()) }
    }

    /// What is known of a mapping that was committed whole.
    pub(super) fn from_mapping(mapping: Mapping, huge: bool) -> Self {
        let (base, len, _, _) = mapping.into_raw_parts();
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

/// An open-addressed table of extents by address, in a mapping of its own.
///
/// Room is promised before a mapping is made or moved, so that its insertion afterwards cannot fail.
///
/// Invariant **E3**: `slots` is the start of a mapping of `bytes`, of which this value has the only right, unless `bytes` is
/// zero; a slot with a key was written whole, and a zero key marks one whose extent is not initialised.
pub(super) struct ByAddress {
    slots: *mut (usize, Slot),
    bytes: usize,
    len: usize,
    promised: usize,
}

// SAFETY: the table is the right to a mapping (E3), which can move to another thread.
unsafe impl Send for ByAddress {}

type Slot = MaybeUninit<Extent>;

impl ByAddress {
    pub(super) const fn new() -> Self {
        Self { slots: null_mut(), bytes: 0, len: 0, promised: 0 }
    }

    fn slots(&self) -> &[(usize, Slot)] {
        if self.bytes == 0 {
            return &[];
        }
        // SAFETY: E3; a mapping is page-aligned, zero where not written, and lives as long as the borrow.
        unsafe { core::slice::from_raw_parts(self.slots, Self::count(self.bytes)) }
    }

    fn slots_mut(&mut self) -> &mut [(usize, Slot)] {
        if self.bytes == 0 {
            return &mut [];
        }
        // SAFETY: as in `slots`, and the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.slots, Self::count(self.bytes)) }
    }

    /// Slots in a table of so many bytes: a power of two.
    fn count(bytes: usize) -> usize {
        1 << (bytes / size_of::<(usize, Slot)>()).ilog2()
    }

    fn home(key: usize, count: usize) -> usize {
        // Multiplicative hashing (Knuth, TAOCP 6.4) of the page number; the high bits are the mixed ones.
        ((key >> 12) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32) as usize & (count - 1)
    }

    /// The slot of a key, or the empty slot where it belongs.
    fn find(slots: &[(usize, Slot)], key: usize) -> usize {
        let mask = slots.len() - 1;
        let mut at = Self::home(key, slots.len());
        while slots[at].0 != 0 && slots[at].0 != key {
            at = (at + 1) & mask;
        }
        at
    }

    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the table.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Promises room for one more.
    pub(super) fn promise(&mut self) -> bool {
        if (self.len + self.promised + 1) * 2 > self.slots().len() && self.enlarge().is_err() {
            return false;
        }
        self.promised += 1;
        true
    }

    /// Gives a promise up.
    pub(super) fn break_promise(&mut self) {
        self.promised -= 1;
    }

    /// Takes an extent out that will come back, under another address perhaps: its room stays promised.
    pub(super) fn take_out(&mut self, base: NonNull<u8>) -> Option<Extent> {
        let extent = self.remove(base)?;
        self.promised += 1;
        Some(extent)
    }

    #[cold]
    fn enlarge(&mut self) -> Result<()> {
        let mapping = Mapping::new((self.bytes * 2).max(page_size()))?;
        let (base, bytes, _, _) = mapping.into_raw_parts();
        let mut larger = Self { slots: base.as_ptr().cast(), bytes, len: self.len, promised: self.promised };
        for &(key, extent) in self.slots() {
            if key != 0 {
                let at = Self::find(larger.slots(), key);
                larger.slots_mut()[at] = (key, extent);
            }
        }
        core::mem::swap(self, &mut larger);
        if let Some(base) = NonNull::new(larger.slots.cast()) {
            // SAFETY: the old table's mapping, made here, which nothing else knows of (E3).
            drop(unsafe { Mapping::from_raw_parts(base, larger.bytes, larger.bytes, MapOptions::new()) });
        }
        Ok(())
    }

    /// Adds an extent for which room was promised.
    pub(super) fn insert(&mut self, extent: Extent) {
        let key = extent.base.addr().get();
        let at = Self::find(self.slots(), key);
        self.slots_mut()[at] = (key, MaybeUninit::new(extent));
        self.len += 1;
        self.promised -= 1;
    }

    /// The extent at an address.
    pub(super) fn get(&mut self, base: NonNull<u8>) -> Option<&mut Extent> {
        let key = base.addr().get();
        if self.len == 0 {
            return None;
        }
        let at = Self::find(self.slots(), key);
        match &mut self.slots_mut()[at] {
            // SAFETY: a slot with a key was written by `insert`, `enlarge` or `remove` with its extent.
            (found, extent) if *found == key => Some(unsafe { extent.assume_init_mut() }),
            _ => None,
        }
    }

    /// Takes an extent out.
    pub(super) fn remove(&mut self, base: NonNull<u8>) -> Option<Extent> {
        let extent = *self.get(base)?;
        let key = base.addr().get();
        let slots = self.slots_mut();
        let mask = slots.len() - 1;
        let mut hole = Self::find(slots, key);
        let mut at = hole;
        // Close the gap: move back every later entry of the cluster that may stand in the hole.
        loop {
            at = (at + 1) & mask;
            if slots[at].0 == 0 {
                break;
            }
            let home = Self::home(slots[at].0, slots.len());
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                slots[hole] = slots[at];
                hole = at;
            }
        }
        slots[hole].0 = 0;
        self.len -= 1;
        Some(extent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_finds_what_was_entered_through_growth_and_removal() {
        let mut table = ByAddress::new();
        let extent = |n: usize| Extent {
            base: NonNull::without_provenance((n * 4096).try_into().unwrap()),
            len: n,
            high: 0,
            unit: 4096,
        };
        for n in 1..=3000 {
            assert!(table.promise());
            table.insert(extent(n * 7));
        }
        for n in (1..=3000).step_by(3) {
            assert_eq!(table.remove(extent(n * 7).base).unwrap().len, n * 7);
            assert!(table.remove(extent(n * 7).base).is_none());
        }
        assert_eq!(table.len(), 2000);
        for n in 1..=3000 {
            let found = table.get(extent(n * 7).base).map(|extent| extent.len);
            assert_eq!(found, (n % 3 != 1).then_some(n * 7), "{n}");
        }
        assert!(table.get(extent(5).base).is_none());
    }
}
