//! A table that finds what is known of the thing at an address, for owners who keep the address alone.

use super::Mapping;
use crate::error::Result;
use crate::page::page_size;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};

/// An open-addressed table of values by address, in a mapping of its own.
///
/// Room is promised before the thing at an address is made or moved, so that its insertion afterwards cannot fail.
///
/// Invariant **A1**: `slots` is the start of a mapping of `bytes`, of which this value has the only right, unless `bytes` is
/// zero; a slot with a key was written whole, and a zero key marks one whose value is not initialised.
pub(crate) struct ByAddress<V> {
    slots: *mut (usize, Slot<V>),
    bytes: usize,
    len: usize,
    promised: usize,
}

// SAFETY: the table is the right to a mapping (A1), which can move to another thread.
unsafe impl<V: Send> Send for ByAddress<V> {}

type Slot<V> = MaybeUninit<V>;

impl<V: Copy> ByAddress<V> {
    pub(crate) const fn new() -> Self {
        Self { slots: null_mut(), bytes: 0, len: 0, promised: 0 }
    }

    fn slots(&self) -> &[(usize, Slot<V>)] {
        if self.bytes == 0 {
            return &[];
        }
        // SAFETY: A1; a mapping is page-aligned, zero where not written, and lives as long as the borrow.
        unsafe { core::slice::from_raw_parts(self.slots, Self::count(self.bytes)) }
    }

    fn slots_mut(&mut self) -> &mut [(usize, Slot<V>)] {
        if self.bytes == 0 {
            return &mut [];
        }
        // SAFETY: as in `slots`, and the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.slots, Self::count(self.bytes)) }
    }

    /// Slots in a table of so many bytes: a power of two.
    fn count(bytes: usize) -> usize {
        1 << (bytes / size_of::<(usize, Slot<V>)>()).ilog2()
    }

    fn home(key: usize, count: usize) -> usize {
        // Multiplicative hashing (Knuth, TAOCP 6.4) of the page number; the high bits are the mixed ones.
        ((key >> 12) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32) as usize & (count - 1)
    }

    /// The slot of a key, or the empty slot where it belongs.
    fn find(slots: &[(usize, Slot<V>)], key: usize) -> usize {
        let mask = slots.len() - 1;
        let mut at = Self::home(key, slots.len());
        while slots[at].0 != 0 && slots[at].0 != key {
            at = (at + 1) & mask;
        }
        at
    }

    /// Entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the table.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Promises room for one more.
    pub(crate) fn promise(&mut self) -> bool {
        if (self.len + self.promised + 1) * 2 > self.slots().len() && self.enlarge().is_err() {
            return false;
        }
        self.promised += 1;
        true
    }

    /// Gives a promise up.
    pub(crate) fn break_promise(&mut self) {
        self.promised -= 1;
    }

    /// Takes a value out that will come back, under another address perhaps: its room stays promised.
    pub(crate) fn take_out(&mut self, base: NonNull<u8>) -> Option<V> {
        let value = self.remove(base)?;
        self.promised += 1;
        Some(value)
    }

    #[cold]
    fn enlarge(&mut self) -> Result<()> {
        let mapping = Mapping::new((self.bytes * 2).max(page_size()))?;
        let raw = mapping.into_raw();
        let (base, bytes) = (raw.base(), raw.committed());
        let mut larger = Self { slots: base.as_ptr().cast(), bytes, len: self.len, promised: self.promised };
        for &(key, value) in self.slots() {
            if key != 0 {
                let at = Self::find(larger.slots(), key);
                larger.slots_mut()[at] = (key, value);
            }
        }
        core::mem::swap(self, &mut larger);
        if let Some(base) = NonNull::new(larger.slots.cast()) {
            // SAFETY: the old table's mapping, made here, which nothing else knows of (A1).
            drop(unsafe { Mapping::plain(base, larger.bytes, 1) });
        }
        Ok(())
    }

    /// Adds a value for which room was promised.
    pub(crate) fn insert(&mut self, base: NonNull<u8>, value: V) {
        let key = base.addr().get();
        let at = Self::find(self.slots(), key);
        self.slots_mut()[at] = (key, MaybeUninit::new(value));
        self.len += 1;
        self.promised -= 1;
    }

    /// The value at an address.
    pub(crate) fn get(&mut self, base: NonNull<u8>) -> Option<&mut V> {
        let key = base.addr().get();
        if self.len == 0 {
            return None;
        }
        let at = Self::find(self.slots(), key);
        match &mut self.slots_mut()[at] {
            // SAFETY: a slot with a key was written by `insert`, `enlarge` or `remove` with its value.
            (found, value) if *found == key => Some(unsafe { value.assume_init_mut() }),
            _ => None,
        }
    }

    /// All values, in no order.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        // SAFETY: as in `get`.
        self.slots_mut().iter_mut().filter(|slot| slot.0 != 0).map(|(_, value)| unsafe { value.assume_init_mut() })
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, base: NonNull<u8>) -> Option<V> {
        let value = *self.get(base)?;
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
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Mutex;

    #[test]
    fn the_table_finds_what_was_entered_through_growth_and_removal() {
        // As all tables, for the life of the process: none has a drop.
        static TABLE: Mutex<ByAddress<usize>> = Mutex::new(ByAddress::new());
        let mut table = TABLE.lock();
        let address = |n: usize| NonNull::without_provenance((n * 7 * 4096).try_into().unwrap());
        for n in 1..=3000 {
            assert!(table.promise());
            table.insert(address(n), n);
        }
        for n in (1..=3000).step_by(3) {
            assert_eq!(table.remove(address(n)).unwrap(), n);
            assert!(table.remove(address(n)).is_none());
        }
        assert_eq!(table.len(), 2000);
        for n in 1..=3000 {
            assert_eq!(table.get(address(n)).copied(), (n % 3 != 1).then_some(n), "{n}");
        }
        assert!(table.get(address(4000)).is_none());
        table.values_mut().for_each(|value| *value += 1);
        assert_eq!(table.values_mut().count(), 2000);
        assert_eq!(table.get(address(2)).copied(), Some(3));
    }
}
