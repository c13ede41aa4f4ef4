//! Large blocks: a mapping each, kept for reuse when freed, and grown by moving pages instead of copying them.
//!
//! A table by address remembers what a `Layout` does not say: how long the mapping is, and how far it may be other than
//! zero. Free mappings stay in a small cache, resident, within the engine's budget. Where zeros are asked for, only the
//! pages of a cached mapping that are resident are cleared.
//!
//! # Invariants, under the lock
//! * **L1** every large block has one entry in the table, but for the moment in which its owner moves it; every cached
//!   mapping is in the cache and not in the table. The one that was freed last is in neither: its entry stays in the table
//!   and `last` says so, since it is the likeliest to be asked for again.
//! * **L2** the table has room for as many more entries as were promised.

use super::extent::Extent;
use super::gauge::Gauge;
use super::misuse;
use super::options::{self, HugePages};
use crate::lock::{Mutex, RawLock};
use crate::map::{ByAddress, MapOptions, Mapping, zero_pages};
use crate::page::{DENSE_HUGE_MIN, HUGE_UNIT, page_size, round_up};
use crate::sys::{poison, unpoison};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Free mappings that are kept at the most.
const CACHE: usize = 64;

/// A block that grows out of its mapping gets room for this many times its new size, as addresses only.
const ROOM_FACTOR: usize = 4;

/// And at least this much.
const MIN_ROOM: usize = 64 << 20;

/// A block that has become smaller gives its end back from this many bytes on: enough to be worth a system call, and in
/// proportion, so that shrinking in steps stays cheap.
pub(super) fn worth_trimming(left: usize) -> usize {
    (left / 8).clamp(64 << 10, 4 << 20)
}

/// The length of a mapping for a dense block: a huge page at its end that is used by half is faster and little larger than
/// small pages there.
fn room_for(size: usize) -> usize {
    let tail = size % HUGE_UNIT;
    let huge = size >= DENSE_HUGE_MIN && tail >= HUGE_UNIT / 2 && options::huge_pages() != HugePages::Never;
    if huge { size.checked_add(HUGE_UNIT - tail).unwrap_or(size) } else { size }
}

struct State {
    live: ByAddress<Extent>,
    /// The mapping that was freed last, and the size that its block had.
    last: Option<(Extent, usize)>,
    /// Bytes of live blocks, as asked for.
    live_bytes: usize,
    /// Bytes of the mappings of live blocks.
    live_mapped: usize,
    cache: [Option<Extent>; CACHE],
    cached: usize,
    /// Bytes of free mappings, and how many of them may be resident.
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
    resident: Gauge,
    live: AtomicUsize,
}

impl State {
    /// The cached mapping that fits best: long enough, best not resident far beyond the request, aligned.
    fn find_cached(&self, size: usize, align: usize, zeroed: bool) -> Option<usize> {
        let fits = |extent: &Extent| extent.len >= size && extent.base.addr().get() & (align - 1) == 0;
        let close = |extent: &Extent| extent.high <= size + size / 4;
        let candidates = self.cache[..self.cached].iter().enumerate();
        let fitting = candidates.filter_map(|(at, slot)| slot.filter(fits).map(|extent| (at, extent)));
        // Zeros cost a memset for what is resident: only of what is needed. Other blocks are better off with too much
        // that is resident than with faults for all.
        let usable = fitting.filter(|(_, extent)| !zeroed || close(extent));
        usable.min_by_key(|(_, extent)| (!close(extent), extent.len)).map(|(at, _)| at)
    }

    /// Moves the mapping that was freed last to the cache, and takes out what must make room for it.
    fn cache_last(&mut self) -> Option<Extent> {
        let (extent, _) = self.last.take()?;
        self.live.remove(extent.base);
        let evicted = if self.cached == CACHE { self.take_cached_at(0) } else { None };
        self.cache[self.cached] = Some(extent);
        self.cached += 1;
        evicted
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
            last: None,
            live_bytes: 0,
            live_mapped: 0,
            cache: [None; CACHE],
            cached: 0,
            cached_mapped: 0,
            cached_resident: 0,
        };
        Self { state: Mutex::new(state), resident: Gauge::new(), live: AtomicUsize::new(0) }
    }

    /// The block that was freed last, if one of its size is asked for.
    pub(super) fn take_last(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let mut state = self.state.lock();
        let (extent, last_size) = state.last?;
        if last_size != size || extent.base.addr().get() & (align - 1) != 0 {
            return None;
        }
        state.last = None;
        state.live_bytes += size;
        state.live_mapped += extent.len;
        state.cached_mapped -= extent.len;
        state.cached_resident -= extent.high;
        self.publish(&state);
        drop(state);
        unpoison(extent.base.as_ptr(), extent.len);
        Some(extent.base)
    }

    /// A block from the cache; `None` if none fits.
    pub(super) fn take_cached(&self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        let end = round_up(size, page_size());
        let mut extent = {
            let mut state = self.state.lock();
            let evicted = state.cache_last();
            if evicted.is_some() {
                drop(state);
                self.give_back(evicted);
                state = self.state.lock();
            }
            let extent = state.find_cached(size, align, zeroed)?;
            if !state.live.promise() {
                return None;
            }
            let mut extent = state.take_cached_at(extent)?;
            unpoison(extent.base.as_ptr(), extent.len);
            if extent.high <= end && !zeroed {
                extent.raise(size);
                self.enter_locked(&mut state, extent, size);
                return Some(extent.base);
            }
            self.publish(&state);
            extent
        };
        if extent.high > end {
            // Memory that the block does not ask for; if the kernel keeps it (locked pages), so does the block.
            let _ = extent.purge(end);
        }
        if zeroed && extent.high >= DENSE_HUGE_MIN && options::huge_pages() != HugePages::Never {
            extent.become_huge();
        }
        if zeroed {
            // SAFETY: the extent left the cache above and is this call's alone; `high <= len` (E1, E2 of `extent`).
            unsafe { zero_pages(extent.base, extent.high.min(end)) };
        }
        extent.raise(size);
        self.enter(extent, size);
        Some(extent.base)
    }

    /// A block of which a part is resident already: the longest cached mapping, grown, if that is at least half of what is
    /// asked for. What its bytes are is not known.
    pub(super) fn grow_cached(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        if align > page_size() {
            return None;
        }
        let extent = {
            let mut state = self.state.lock();
            let cached = state.cache[..state.cached].iter().flatten().enumerate();
            let (at, longest) = cached.max_by_key(|(_, extent)| extent.high)?;
            if longest.len >= size || longest.high < size / 2 || !state.live.promise() {
                return None;
            }
            let extent = state.take_cached_at(at)?;
            self.publish(&state);
            extent
        };
        // SAFETY: it left the cache above; this is its one owner.
        let mut mapping = unsafe { extent.into_mapping() };
        match mapping.grow(room_for(size)) {
            Ok(()) => Some(self.adopt(mapping, size, true)),
            Err(_) => {
                self.break_promise();
                None
            }
        }
    }

    /// A block in a new mapping, which reads zero.
    pub(super) fn map(&self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        if !self.promise() {
            return None;
        }
        match MapOptions::new().align(align).map(if zeroed { size } else { room_for(size) }) {
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
        self.enter_locked(&mut self.state.lock(), extent, size);
    }

    fn enter_locked(&self, state: &mut State, extent: Extent, size: usize) {
        state.live.insert(extent.base, extent);
        state.live_bytes += size;
        state.live_mapped += extent.len;
        self.publish(state);
    }

    /// Gives a promise up.
    pub(super) fn break_promise(&self) {
        self.state.lock().live.break_promise();
    }

    /// Makes a committed mapping the home of a block of `size` bytes, which was promised; `dense` if the block is going to
    /// be written whole.
    pub(super) fn adopt(&self, mut mapping: Mapping, size: usize, dense: bool) -> NonNull<u8> {
        let huge = match options::huge_pages() {
            HugePages::Never => false,
            HugePages::Dense => dense && size >= DENSE_HUGE_MIN,
            HugePages::Always => true,
        };
        if huge {
            // The whole mapping, so that it stays one area (E1 of `extent`).
            mapping.prefer_huge_pages();
        }
        let mut extent = Extent::from_mapping(mapping, huge);
        extent.raise(size);
        self.enter(extent, size);
        extent.base
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
        let known = state.live.get(base).copied();
        let Some(extent) = known.filter(|_| state.last.is_none_or(|(last, _)| last.base != base)) else {
            misuse::abort(b"mapalloc: free of a large block that the allocator does not know, or double free\n");
        };
        poison(extent.base.as_ptr(), extent.len);
        let evicted = state.cache_last();
        state.last = Some((extent, size));
        state.live_bytes -= size;
        state.live_mapped -= extent.len;
        state.cached_mapped += extent.len;
        state.cached_resident += extent.high;
        self.publish(&state);
        drop(state);
        self.give_back(evicted);
    }

    /// Unmaps a free mapping that has left the cache.
    fn give_back(&self, extent: Option<Extent>) {
        if let Some(extent) = extent {
            // SAFETY: it left the cache; this is its one owner.
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
        let is_free = state.last.is_some_and(|(last, _)| last.base == base);
        let Some(known) = state.live.get(base).filter(|_| !is_free) else {
            misuse::abort(b"mapalloc: reallocation of a large block that the allocator does not know\n");
        };
        if new_size <= known.len {
            let mut purged = 0;
            known.raise(new_size);
            if new_size < size && known.high - end >= worth_trimming(end) {
                purged = known.purge(end).unwrap_or(0);
            }
            state.live_bytes = state.live_bytes - size + new_size;
            self.publish(&state);
            return Some((base, purged));
        }
        let old = *known;
        // While the pages move, another thread may get the old address: the block is out of the table meanwhile.
        state.live.take_out(base);
        state.live_bytes -= size;
        state.live_mapped -= old.len;
        drop(state);
        // SAFETY: the block is the caller's, so this is the only use of its extent.
        let mut mapping = unsafe { Mapping::plain(old.base, old.len, align) };
        if Self::rooms(new_size).into_iter().any(|room| mapping.grow(room).is_ok()) {
            return Some((self.adopt(mapping, new_size, true), 0));
        }
        let _ = mapping.into_raw();
        self.enter(old, size);
        None
    }

    /// Unmaps free mappings, largest and oldest first, until at most `keep` resident bytes of them are left; returns how
    /// many bytes went back.
    pub(super) fn purge(&self, keep: usize) -> usize {
        let mut purged = 0;
        loop {
            let mut state = self.state.lock();
            let evicted = state.cache_last();
            purged += evicted.map_or(0, |extent| extent.high);
            self.publish(&state);
            if evicted.is_some() {
                drop(state);
                self.give_back(evicted);
                continue;
            }
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
            self.give_back(Some(extent));
        }
    }

    /// Publishes the sums after a change.
    fn publish(&self, state: &State) {
        self.resident.set(state.cached_resident);
        self.live.store(state.live_bytes, Relaxed);
    }

    /// Bytes of cached mappings that may be resident.
    pub(super) fn resident_bytes(&self) -> usize {
        self.resident.get()
    }

    /// The gauge of [`resident_bytes`](Self::resident_bytes).
    pub(super) fn resident(&self) -> &Gauge {
        &self.resident
    }

    /// Bytes of cached mappings, resident or not.
    pub(super) fn cached_bytes(&self) -> usize {
        self.state.lock().cached_mapped
    }

    /// Bytes of live blocks.
    pub(super) fn live_bytes(&self) -> usize {
        self.live.load(Relaxed)
    }

    /// A snapshot of the counts.
    pub(super) fn stats(&self) -> LargeStats {
        let state = self.state.lock();
        LargeStats {
            live: state.live.len() - usize::from(state.last.is_some()),
            live_bytes: state.live_bytes,
            mapped: state.live_mapped + state.cached_mapped,
            free_resident: state.cached_resident,
            metadata: state.live.bytes(),
        }
    }

    /// Calls `each` with every lock of this room, for `fork`.
    pub(super) fn locks(&self, each: &mut dyn FnMut(&RawLock)) {
        each(self.state.raw());
    }
}
