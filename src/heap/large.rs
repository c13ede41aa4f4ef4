//! Large blocks: a mapping each, kept for reuse when freed, and grown by moving pages instead of copying them.
//!
//! A table by address remembers what a `Layout` does not say: how long the mapping is, and how far it may be other than
//! zero. Free mappings stay in a small cache, resident, within the engine's budget.
//!
//! # Invariants, under the lock
//! * **L1** every large block has one entry in the table; every cached mapping is in the cache and not in the table.
//! * **L2** an entry's mapping is readable and writable over its whole length, and one area of the kernel's.
//! * **L3** bytes of a mapping from `high` on read zero and hold no memory.

use super::lock::Mutex;
use super::misuse;
use crate::error::Result;
use crate::map::{Advice, MapOptions, Mapping};
use crate::page::{HUGE_UNIT, page_size, round_up};
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Free mappings that are kept at the most.
const CACHE: usize = 64;

/// Ask for huge pages in mappings of at least this many bytes that are not asked for as zeros: such blocks are about to
/// be written whole, and then 512 faults become one.
const HUGE_MIN: usize = 8 << 20;

/// A block that grows out of its mapping gets room for this many times its new size, as addresses only.
const ROOM_FACTOR: usize = 4;

/// And at least this much.
const MIN_ROOM: usize = 64 << 20;

/// From this many dirty bytes on, zeros come cheaper from the kernel than from a memset of pages that may not even be
/// resident.
const MAX_CLEAR: usize = 1 << 20;

/// A block that has become smaller gives its end back from this many bytes on: enough to be worth a system call, and in
/// proportion, so that shrinking in steps stays cheap.
pub(super) fn worth_trimming(left: usize) -> usize {
    (left / 8).clamp(64 << 10, 4 << 20)
}

/// What is known of a mapping beyond its address.
#[derive(Clone, Copy)]
struct Extent {
    base: NonNull<u8>,
    len: usize,
    high: usize,
    huge: bool,
}

impl Extent {
    /// # Safety
    /// The extent is used once for this: the mapping it describes becomes the result's.
    unsafe fn into_mapping(self) -> Mapping {
        // SAFETY: an extent holds the parts of a mapping that was committed whole (L2); used once, by the contract.
        unsafe { Mapping::from_raw_parts(self.base, self.len, self.len, MapOptions::new()) }
    }

    fn from_mapping(mapping: Mapping, high: usize, huge: bool) -> Self {
        let (base, len, _, _) = mapping.into_raw_parts();
        Self { base, len, high, huge }
    }

    fn purge(&mut self, from: usize) -> Result<usize> {
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
struct ByAddress {
    slots: Option<Mapping>,
    len: usize,
    promised: usize,
}

type Slot = MaybeUninit<Extent>;

impl ByAddress {
    const fn new() -> Self {
        Self { slots: None, len: 0, promised: 0 }
    }

    fn slots(&self) -> &[(usize, Slot)] {
        match &self.slots {
            // SAFETY: the mapping is page-aligned, zero or written by this room, and lives as long as the borrow; a zero
            // key marks a slot whose extent is not initialised.
            Some(mapping) => unsafe {
                let count = Self::count(mapping.len());
                core::slice::from_raw_parts(mapping.as_ptr().cast(), count)
            },
            None => &[],
        }
    }

    fn slots_mut(&mut self) -> &mut [(usize, Slot)] {
        match &mut self.slots {
            // SAFETY: as in `slots`, and the borrow is exclusive.
            Some(mapping) => unsafe {
                let count = Self::count(mapping.len());
                core::slice::from_raw_parts_mut(mapping.as_mut_ptr().cast(), count)
            },
            None => &mut [],
        }
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

    /// Promises room for one more.
    fn promise(&mut self) -> bool {
        if (self.len + self.promised + 1) * 2 > self.slots().len() && self.enlarge().is_err() {
            return false;
        }
        self.promised += 1;
        true
    }

    #[cold]
    fn enlarge(&mut self) -> Result<()> {
        let bytes = self.slots.as_ref().map_or(page_size(), |mapping| mapping.len() * 2);
        let mut larger = Self { slots: Some(Mapping::new(bytes)?), len: self.len, promised: self.promised };
        for &(key, extent) in self.slots() {
            if key != 0 {
                let at = Self::find(larger.slots(), key);
                larger.slots_mut()[at] = (key, extent);
            }
        }
        *self = larger;
        Ok(())
    }

    /// Adds an extent for which room was promised.
    fn insert(&mut self, extent: Extent) {
        let key = extent.base.addr().get();
        let at = Self::find(self.slots(), key);
        self.slots_mut()[at] = (key, MaybeUninit::new(extent));
        self.len += 1;
        self.promised -= 1;
    }

    fn get(&mut self, base: NonNull<u8>) -> Option<&mut Extent> {
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

    fn remove(&mut self, base: NonNull<u8>) -> Option<Extent> {
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

struct State {
    live: ByAddress,
    /// Bytes of live blocks, as asked for.
    live_bytes: usize,
    /// Bytes of the mappings of live blocks.
    live_mapped: usize,
    cache: [Option<Extent>; CACHE],
    cached: usize,
    /// Bytes of cached mappings, and how many of them may be resident.
    cached_mapped: usize,
    cached_resident: usize,
}

/// Counts of the large blocks.
pub(super) struct LargeStats {
    pub(super) live: usize,
    pub(super) live_bytes: usize,
    pub(super) mapped: usize,
    pub(super) free_resident: usize,
    pub(super) metadata: usize,
}

/// All large blocks of the process.
pub(super) struct Large {
    state: Mutex<State>,
    /// `cached_resident` and `live_bytes`, for those who do not hold the lock.
    resident: AtomicUsize,
    live: AtomicUsize,
}

// SAFETY: the extents' addresses are owned by the table and the cache; the lock orders all access.
unsafe impl Send for State {}

impl State {
    /// The cached mapping that fits best: long enough, not resident far beyond the request, aligned. Zeros, which may be
    /// used sparsely, never come from a mapping with huge pages.
    fn find_cached(&self, size: usize, align: usize, zeroed: bool) -> Option<usize> {
        let fits = |extent: &Extent| {
            extent.len >= size
                && extent.high <= size + size / 4
                && extent.base.addr().get() & (align - 1) == 0
                && !(zeroed && extent.huge)
        };
        let candidates = self.cache[..self.cached].iter().enumerate();
        let lengths = candidates.filter_map(|(at, slot)| slot.filter(fits).map(|extent| (at, extent.len)));
        lengths.min_by_key(|&(_, len)| len).map(|(at, _)| at)
    }

    fn take_cached_at(&mut self, at: usize) -> Option<Extent> {
        let extent = self.cache[at].take()?;
        // The order of the cache is its order of age.
        self.cache[at..self.cached].rotate_left(1);
        self.cached -= 1;
        self.cached_mapped -= extent.len;
        self.cached_resident -= extent.high;
        Some(extent)
    }
}

impl Large {
    pub(super) const fn new() -> Self {
        let state = State {
            live: ByAddress::new(),
            live_bytes: 0,
            live_mapped: 0,
            cache: [None; CACHE],
            cached: 0,
            cached_mapped: 0,
            cached_resident: 0,
        };
        Self { state: Mutex::new(state), resident: AtomicUsize::new(0), live: AtomicUsize::new(0) }
    }

    /// A block from the cache; `None` if none fits.
    pub(super) fn take_cached(&self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        let mut extent = {
            let mut state = self.state.lock();
            let extent = state.find_cached(size, align, zeroed)?;
            if !state.live.promise() {
                return None;
            }
            let extent = state.take_cached_at(extent)?;
            self.publish(&state);
            extent
        };
        let end = round_up(size, page_size());
        if extent.high > end {
            // Memory that the block does not ask for; if the kernel keeps it (locked pages), so does the block.
            let _ = extent.purge(end);
        }
        if zeroed {
            Self::clear(&mut extent, size);
        }
        extent.high = extent.high.max(end);
        self.enter(extent, size);
        Some(extent.base)
    }

    /// Makes the first `size` bytes of an extent zero.
    fn clear(extent: &mut Extent, size: usize) {
        let dirty = extent.high.min(size);
        if dirty > MAX_CLEAR && extent.purge(0).is_ok() {
            return;
        }
        // SAFETY: the extent is the caller's alone, and `dirty <= len` (L2).
        unsafe { extent.base.write_bytes(0, dirty) };
    }

    /// A block in a new mapping, which reads zero.
    pub(super) fn map(&self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        if !self.promise() {
            return None;
        }
        match MapOptions::new().align(align).map(size) {
            Ok(mapping) => Some(self.adopt(mapping, size, !zeroed)),
            Err(_) => {
                self.break_promise();
                None
            }
        }
    }

    /// Promises that [`adopt`](Self::adopt) will have room; to be kept or broken.
    pub(super) fn promise(&self) -> bool {
        self.state.lock().live.promise()
    }

    /// Enters a block for which room was promised.
    fn enter(&self, extent: Extent, size: usize) {
        let mut state = self.state.lock();
        state.live.insert(extent);
        state.live_bytes += size;
        state.live_mapped += extent.len;
        self.publish(&state);
    }

    /// Gives a promise up.
    pub(super) fn break_promise(&self) {
        self.state.lock().live.promised -= 1;
    }

    /// Makes a committed mapping the home of a block of `size` bytes, which was promised; `dense` if the block is going to
    /// be written whole.
    pub(super) fn adopt(&self, mut mapping: Mapping, size: usize, dense: bool) -> NonNull<u8> {
        let huge = dense && size >= HUGE_MIN;
        if huge {
            Self::ask_for_huge_pages(&mut mapping);
        }
        let extent = Extent::from_mapping(mapping, round_up(size, page_size()), huge);
        self.enter(extent, size);
        extent.base
    }

    /// Advice on the whole mapping, so that it stays one area (L2). Refusal is no loss: the pages are then small ones.
    fn ask_for_huge_pages(mapping: &mut Mapping) {
        let whole = 0..mapping.len();
        let _ = mapping.advise(whole, Advice::HugePage);
    }

    /// How much room a block that grows to `size` bytes should get, in descending order of preference.
    pub(super) fn rooms(size: usize) -> [usize; 3] {
        let exact = round_up(size, page_size());
        let room = |factor: usize| round_up(exact.saturating_mul(factor).min(isize::MAX as usize / 2), HUGE_UNIT);
        [room(ROOM_FACTOR).max(MIN_ROOM).max(exact), room(2).max(exact), exact]
    }

    /// Frees a block: its mapping goes to the cache.
    ///
    /// # Safety
    /// The block at `base` has `size` bytes, is the caller's, and is not used again.
    pub(super) unsafe fn put(&self, base: NonNull<u8>, size: usize) {
        let mut state = self.state.lock();
        let Some(extent) = state.live.remove(base) else {
            misuse::abort(b"mapalloc: free of a large block that the allocator does not know\n");
        };
        state.live_bytes -= size;
        state.live_mapped -= extent.len;
        let evicted = if state.cached == CACHE { state.take_cached_at(0) } else { None };
        let at = state.cached;
        state.cache[at] = Some(extent);
        state.cached += 1;
        state.cached_mapped += extent.len;
        state.cached_resident += extent.high;
        self.publish(&state);
        drop(state);
        if let Some(extent) = evicted {
            // SAFETY: it left the cache above; this is its one owner.
            drop(unsafe { extent.into_mapping() });
        }
    }

    /// Changes the size of a block in place or by moving its pages; `None` if that cannot be, and the block is as it was.
    ///
    /// # Safety
    /// The block at `base` has `size` bytes at a multiple of `align`, and is the caller's; the old address is not used
    /// again if another one is returned.
    pub(super) unsafe fn resize(
        &self,
        base: NonNull<u8>,
        size: usize,
        align: usize,
        new_size: usize,
    ) -> Option<(NonNull<u8>, usize)> {
        let end = round_up(new_size, page_size());
        let mut state = self.state.lock();
        let Some(known) = state.live.get(base) else {
            misuse::abort(b"mapalloc: reallocation of a large block that the allocator does not know\n");
        };
        if new_size <= known.len {
            let mut purged = 0;
            if known.high < end {
                known.high = end;
            } else if known.high - end >= worth_trimming(end) {
                purged = known.purge(end).unwrap_or(0);
            }
            state.live_bytes = state.live_bytes - size + new_size;
            self.publish(&state);
            return Some((base, purged));
        }
        let old = *known;
        // While the pages move, another thread may get the old address: the block is out of the table meanwhile.
        state.live.remove(base);
        state.live.promised += 1;
        state.live_bytes -= size;
        state.live_mapped -= old.len;
        drop(state);
        let options = MapOptions::new().align(align);
        // SAFETY: the block is the caller's, so this is the only use of its extent.
        let mut mapping = unsafe { Mapping::from_raw_parts(old.base, old.len, old.len, options) };
        if Self::rooms(new_size).into_iter().any(|room| mapping.grow(room).is_ok()) {
            return Some((self.adopt(mapping, new_size, true), 0));
        }
        let _ = mapping.into_raw_parts();
        self.enter(old, size);
        None
    }

    /// Unmaps free mappings, largest and oldest first, until at most `keep` resident bytes of them are left; returns how
    /// many bytes went back.
    pub(super) fn purge(&self, keep: usize) -> usize {
        let mut purged = 0;
        loop {
            let mut state = self.state.lock();
            if state.cached == 0 || (keep > 0 && state.cached_resident <= keep) {
                return purged;
            }
            let cached = state.cached;
            let resident = |slot: &Option<Extent>| slot.map_or(0, |extent| extent.high);
            // `max_by_key` prefers the last of equals: look from the youngest to the oldest.
            let largest = (0..cached).rev().max_by_key(|&at| resident(&state.cache[at]));
            let Some(extent) = largest.and_then(|at| state.take_cached_at(at)) else { return purged };
            self.publish(&state);
            drop(state);
            purged += extent.high;
            // SAFETY: it left the cache above; this is its one owner.
            drop(unsafe { extent.into_mapping() });
        }
    }

    /// Publishes the sums after a change.
    fn publish(&self, state: &State) {
        self.resident.store(state.cached_resident, Relaxed);
        self.live.store(state.live_bytes, Relaxed);
    }

    /// Bytes of cached mappings that may be resident.
    pub(super) fn resident_bytes(&self) -> usize {
        self.resident.load(Relaxed)
    }

    /// Bytes of live blocks.
    pub(super) fn live_bytes(&self) -> usize {
        self.live.load(Relaxed)
    }

    /// A snapshot of the counts.
    pub(super) fn stats(&self) -> LargeStats {
        let state = self.state.lock();
        LargeStats {
            live: state.live.len,
            live_bytes: state.live_bytes,
            mapped: state.live_mapped + state.cached_mapped,
            free_resident: state.cached_resident,
            metadata: state.live.slots.as_ref().map_or(0, |mapping| mapping.len()),
        }
    }

    /// Takes the lock for `fork`.
    pub(super) fn acquire(&self) {
        self.state.acquire();
    }

    /// Releases the lock after `fork`.
    ///
    /// # Safety
    /// [`acquire`](Self::acquire) took it.
    pub(super) unsafe fn release(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.state.release() }
    }
}
