//! Page runs: exact lengths of units, split and merged with boundary tags, kept in two pools of free runs.
//!
//! *Dirty* runs were used and are resident, as far as their user touched them; *clean* runs were never used or were
//! purged, so they read zero and hold no memory, but for the rest of a huge page of which another run is used. Only runs of one kind merge, which keeps both facts true. A request takes
//! a dirty run if one fits (its pages need no fault), then a clean one, then new units at an arena's frontier.
//!
//! Every pool is a segregated fit: lists by length, eight to a doubling, and a bitmap of the lists that are not empty.
//! Taking, returning and merging a run are a constant number of steps, however many there are.
//!
//! # Invariants, under the lock
//! * **U1** the units below an arena's frontier are partitioned into runs; the tags of the first and the last unit of each
//!   give its state and, for a free run, its length.
//! * **U2** a free run is in the list of its length in the pool of its state, and in no other.
//! * **U3** the bytes of a clean run read zero.
//! * **U4** no two neighbours are free runs of the same state.
//! * **U5** the start and the length of every run are multiples of the page size.

use super::arena::{Arenas, Extension, UNIT, UnitId};
use super::descriptor::Tag;
use super::gauge::Gauge;
use crate::lock::{Mutex, RawLock};
use crate::page::{page_size, round_up};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

const USED: u32 = 0;
const DIRTY: u32 = 1;
const CLEAN: u32 = 2;

/// How many runs of the best-fitting list are looked at before a longer one is cut.
const CLOSE_LOOK: usize = 8;

/// Commit this much more than a request needs, in units: 4 MiB.
const EXTEND_AHEAD: u32 = 1024;

/// Lists of a pool: exact lengths below 8 units, then eight a doubling to the 2^24 units of an arena.
const LISTS: usize = 8 + 8 * 21 + 1;

/// The list that a free run of `units` is in.
const fn list_of(units: u32) -> usize {
    if units < 8 {
        return units as usize;
    }
    let log = units.ilog2();
    8 + (log as usize - 3) * 8 + ((units >> (log - 3)) & 7) as usize
}

/// The first list all of whose runs have at least `units`.
const fn list_above(units: u32) -> usize {
    if units < 8 {
        return units as usize;
    }
    let step = 1 << (units.ilog2() - 3);
    list_of(units.saturating_add(step - 1))
}

/// The free runs of one state.
struct Pool<const STATE: u32> {
    units: usize,
    occupied: [u64; LISTS.div_ceil(64)],
    heads: [UnitId; LISTS],
}

impl<const STATE: u32> Pool<STATE> {
    const fn new() -> Self {
        Self { units: 0, occupied: [0; LISTS.div_ceil(64)], heads: [UnitId::NONE; LISTS] }
    }

    /// Adds a run at the front of its list.
    fn insert(&mut self, arenas: &Arenas, first: UnitId, units: u32) {
        let list = list_of(units);
        let head = self.heads[list];
        write_ends(arenas, first, units, STATE);
        let tag = arenas.tag(first);
        if head == UnitId::NONE {
            self.occupied[list / 64] |= 1 << (list % 64);
            tag.next.store(first.0, Relaxed);
            tag.previous.store(first.0, Relaxed);
        } else {
            // The lists are rings, so that the oldest run of a list is the head's predecessor.
            let last = UnitId(arenas.tag(head).previous.load(Relaxed));
            tag.next.store(head.0, Relaxed);
            tag.previous.store(last.0, Relaxed);
            arenas.tag(last).next.store(first.0, Relaxed);
            arenas.tag(head).previous.store(first.0, Relaxed);
        }
        self.heads[list] = first;
        self.units += units as usize;
    }

    /// Takes a run out of its list; its tags still name the pool.
    fn remove(&mut self, arenas: &Arenas, first: UnitId) -> u32 {
        let tag = arenas.tag(first);
        let units = tag.units.load(Relaxed);
        let list = list_of(units);
        let (next, previous) = (UnitId(tag.next.load(Relaxed)), UnitId(tag.previous.load(Relaxed)));
        if next == first {
            self.heads[list] = UnitId::NONE;
            self.occupied[list / 64] &= !(1 << (list % 64));
        } else {
            arenas.tag(previous).next.store(next.0, Relaxed);
            arenas.tag(next).previous.store(previous.0, Relaxed);
            if self.heads[list] == first {
                self.heads[list] = next;
            }
        }
        self.units -= units as usize;
        units
    }

    /// Takes the first `wanted` units of a free run, if it has as many.
    fn take_first(&mut self, arenas: &Arenas, run: UnitId, wanted: u32) -> bool {
        if arenas.tag(run).units.load(Relaxed) < wanted {
            return false;
        }
        let available = self.remove(arenas, run);
        if available > wanted {
            self.insert(arenas, run.offset(wanted), available - wanted);
        }
        true
    }

    /// The first list at or after `from` that is not empty.
    fn occupied_from(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = *self.occupied.get(word)? & (!0 << (from % 64));
        loop {
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
            word += 1;
            bits = *self.occupied.get(word)?;
        }
    }

    /// A run that holds `units` at a multiple of `align` units.
    fn find(&self, arenas: &Arenas, units: u32, align: u32) -> Option<UnitId> {
        let list = list_of(units);
        let head = self.heads[list];
        if head != UnitId::NONE {
            let mut run = head;
            for _ in 0..CLOSE_LOOK {
                let tag = arenas.tag(run);
                if tag.units.load(Relaxed) >= units + slack(run, align) {
                    return Some(run);
                }
                run = UnitId(tag.next.load(Relaxed));
                if run == head {
                    break;
                }
            }
        }
        let wide = self.occupied_from(list_above(units + align - 1).max(list + 1))?;
        Some(self.heads[wide])
    }

    /// The oldest run of the longest lengths.
    fn largest(&self, arenas: &Arenas) -> Option<UnitId> {
        let word = (0..self.occupied.len()).rev().find(|&word| self.occupied[word] != 0)?;
        let list = word * 64 + 63 - self.occupied[word].leading_zeros() as usize;
        Some(UnitId(arenas.tag(self.heads[list]).previous.load(Relaxed)))
    }
}

/// The units from `first` to the next multiple of `align`, a power of two.
fn slack(first: UnitId, align: u32) -> u32 {
    first.0.wrapping_neg() & (align - 1)
}

/// Writes the tags of a run's ends (U1).
fn write_ends(arenas: &Arenas, first: UnitId, units: u32, state: u32) {
    let write = |tag: &Tag| {
        tag.units.store(units, Relaxed);
        tag.state.store(state, Relaxed);
    };
    write(arenas.tag(first));
    write(arenas.tag(first.offset(units - 1)));
}

/// A run that was taken.
pub(super) struct Run {
    pub(super) address: NonNull<u8>,
    /// Whether every byte reads zero.
    pub(super) zero: bool,
}

struct Pools {
    dirty: Pool<DIRTY>,
    clean: Pool<CLEAN>,
    /// Used runs.
    used: usize,
}

/// All page runs of the process.
pub(super) struct Runs {
    pub(super) arenas: Arenas,
    pools: Mutex<Pools>,
    /// Bytes of dirty runs and of used runs, for those who do not hold the lock.
    dirty: Gauge,
    used_bytes: AtomicUsize,
    /// Bytes of used runs that hold nothing, as their users say: free objects in slabs.
    idle_bytes: AtomicUsize,
    /// Whether arenas have become longer since somebody last asked.
    grown: AtomicBool,
}

/// Units that hold `bytes` in whole pages.
#[inline(always)]
pub(super) fn units_for(bytes: usize) -> u32 {
    (round_up(bytes, page_size()) / UNIT) as u32
}

impl Runs {
    pub(super) const fn new() -> Self {
        let pools = Pools { dirty: Pool::new(), clean: Pool::new(), used: 0 };
        Self {
            arenas: Arenas::new(),
            pools: Mutex::new(pools),
            dirty: Gauge::new(),
            used_bytes: AtomicUsize::new(0),
            idle_bytes: AtomicUsize::new(0),
            grown: AtomicBool::new(false),
        }
    }

    /// Publishes the sums after a change that makes `used` more units used, or fewer.
    fn publish(&self, pools: &Pools, used: isize) {
        self.dirty.set(pools.dirty.units * UNIT);
        // The lock is held, so a load and a store are enough.
        let bytes = self.used_bytes.load(Relaxed).wrapping_add_signed(used * UNIT as isize);
        self.used_bytes.store(bytes, Relaxed);
    }

    /// Takes a run of exactly `units` at a multiple of `align` bytes, at most 2 MiB; `None` if the system has no more.
    pub(super) fn take(&self, units: u32, align: usize) -> Option<Run> {
        let align = (align.max(page_size()) / UNIT) as u32;
        let mut pools = self.pools.lock();
        let Pools { dirty, clean, .. } = &mut *pools;
        let arenas = &self.arenas;
        let (first, zero) = match dirty.find(arenas, units, align) {
            Some(run) => (Self::cut(arenas, dirty, run, units, align), false),
            None => {
                let run = match clean.find(arenas, units, align) {
                    Some(run) => run,
                    None => self.extend(clean, units + align - 1)?,
                };
                (Self::cut(arenas, clean, run, units, align), true)
            }
        };
        pools.used += 1;
        self.publish(&pools, units as isize);
        Some(Run { address: arenas.address(first), zero })
    }

    /// Takes `units` out of a free run, at a multiple of `align`, and returns what lies before and behind to its pool.
    fn cut<const STATE: u32>(arenas: &Arenas, pool: &mut Pool<STATE>, run: UnitId, units: u32, align: u32) -> UnitId {
        let total = pool.remove(arenas, run);
        let before = slack(run, align);
        let behind = total - before - units;
        let first = run.offset(before);
        // The neighbours of a free run are not free runs of its state (U4), so the rests need no merging.
        if before > 0 {
            pool.insert(arenas, run, before);
        }
        if behind > 0 {
            pool.insert(arenas, first.offset(units), behind);
        }
        write_ends(arenas, first, units, USED);
        first
    }

    /// Adds at least `units` new ones to the clean pool, from an arena's frontier or from a new arena; returns the run that
    /// they are in.
    fn extend(&self, clean: &mut Pool<CLEAN>, units: u32) -> Option<UnitId> {
        // Frontiers stay multiples of the page size and of a slab unit (U5).
        let units = round_up(units as usize, units_for(super::class::SLAB_UNIT) as usize) as u32;
        let extension = match self.arenas.extend(units, EXTEND_AHEAD) {
            Extension::NoRoom if self.arenas.add().is_ok() => self.arenas.extend(units, EXTEND_AHEAD),
            other => other,
        };
        let Extension::Added(first, units) = extension else { return None };
        self.grown.store(true, Relaxed);
        // U1: the new units are one run, used until it is returned.
        write_ends(&self.arenas, first, units, USED);
        Some(Self::put_back(&self.arenas, clean, first, units))
    }

    /// Whether arenas have become longer since the last call.
    pub(super) fn have_grown(&self) -> bool {
        self.grown.load(Relaxed) && self.grown.swap(false, Relaxed)
    }

    /// Adds a run to a pool, merged with its neighbours of the same state; returns the run that it is part of.
    fn put_back<const STATE: u32>(arenas: &Arenas, pool: &mut Pool<STATE>, first: UnitId, units: u32) -> UnitId {
        let (mut first, mut units) = (first, units);
        if let Some(last_before) = first.previous() {
            let tag = arenas.tag(last_before);
            if tag.state.load(Relaxed) == STATE {
                let before = tag.units.load(Relaxed);
                first = UnitId(first.0 - before);
                units += before;
                pool.remove(arenas, first);
            }
        }
        let behind = first.offset(units);
        if arenas.is_committed(behind) && arenas.tag(behind).state.load(Relaxed) == STATE {
            units += pool.remove(arenas, behind);
        }
        pool.insert(arenas, first, units);
        first
    }

    /// Whether a used run of so many units may begin at an address; `false` is certain. Without the lock: the tag of a run
    /// changes only by way of its owner.
    #[inline(always)]
    pub(super) fn may_be(&self, address: NonNull<u8>, units: u32) -> bool {
        let is_run = |tag: &Tag| tag.units.load(Relaxed) == units && tag.state.load(Relaxed) == USED;
        self.arenas.with_tag_at(address.as_ptr(), is_run)
    }

    /// Returns a run that was used.
    ///
    /// # Safety
    /// `address` and `units` are a run from [`take`](Self::take), and nothing in it is used again.
    pub(super) unsafe fn put(&self, address: NonNull<u8>, units: u32) {
        let Some(first) = self.arenas.unit_of(address.as_ptr()) else {
            super::misuse::abort(b"mapalloc: free of a pointer that is no page run\n");
        };
        let arenas = &self.arenas;
        let mut pools = self.pools.lock();
        if arenas.tag(first).state.load(Relaxed) != USED
            || arenas.tag(first.offset(units - 1)).state.load(Relaxed) != USED
        {
            super::misuse::abort(b"mapalloc: double free of a page run\n");
        }
        Self::put_back(arenas, &mut pools.dirty, first, units);
        pools.used -= 1;
        self.publish(&pools, -(units as isize));
    }

    /// Cuts a used run to its first `units` and returns the rest of its `old_units`.
    ///
    /// # Safety
    /// `address` and `old_units` are a run from [`take`](Self::take), `0 < units < old_units`, and nothing behind the
    /// first `units` is used again.
    pub(super) unsafe fn shrink(&self, address: NonNull<u8>, old_units: u32, units: u32) {
        let Some(first) = self.arenas.unit_of(address.as_ptr()) else {
            super::misuse::abort(b"mapalloc: reallocation of a pointer that is no page run\n");
        };
        let arenas = &self.arenas;
        let mut pools = self.pools.lock();
        write_ends(arenas, first, units, USED);
        Self::put_back(arenas, &mut pools.dirty, first.offset(units), old_units - units);
        self.publish(&pools, units as isize - old_units as isize);
    }

    /// Lengthens a used run in place, if the units behind it are free.
    ///
    /// # Safety
    /// `address` and `old_units` are a run from [`take`](Self::take), and `units > old_units`.
    pub(super) unsafe fn grow(&self, address: NonNull<u8>, old_units: u32, units: u32) -> bool {
        let Some(first) = self.arenas.unit_of(address.as_ptr()) else {
            super::misuse::abort(b"mapalloc: reallocation of a pointer that is no page run\n");
        };
        let arenas = &self.arenas;
        let mut pools = self.pools.lock();
        let behind = first.offset(old_units);
        let wanted = units - old_units;
        if !arenas.is_committed(behind) {
            return false;
        }
        let taken = match arenas.tag(behind).state.load(Relaxed) {
            DIRTY => pools.dirty.take_first(arenas, behind, wanted),
            CLEAN => pools.clean.take_first(arenas, behind, wanted),
            _ => false,
        };
        if !taken {
            return false;
        }
        write_ends(arenas, first, units, USED);
        self.publish(&pools, wanted as isize);
        true
    }

    /// Gives the memory of dirty runs back, longest first, until at most `keep` bytes of them are left; returns how many
    /// bytes went back. The lock is not held during the system calls.
    pub(super) fn purge(&self, keep: usize) -> usize {
        let arenas = &self.arenas;
        let mut purged = 0;
        loop {
            let mut pools = self.pools.lock();
            let excess = (pools.dirty.units * UNIT).saturating_sub(keep);
            if excess == 0 {
                return purged;
            }
            let Some(first) = pools.dirty.largest(arenas) else { return purged };
            let total = pools.dirty.remove(arenas, first);
            // Only as much as is too much: the rest of a long run stays ready for use.
            let granule = (page_size() / UNIT).max(16);
            let units = total.min(round_up(excess.div_ceil(UNIT), granule) as u32);
            if units < total {
                pools.dirty.insert(arenas, first, total - units);
            }
            let first = first.offset(total - units);
            write_ends(arenas, first, units, USED);
            self.publish(&pools, 0);
            drop(pools);
            // SAFETY: the run is whole pages (U5) and, marked used, belongs to this call alone.
            let result = unsafe { arenas.purge(first, units) };
            let mut pools = self.pools.lock();
            if result.is_err() {
                // Locked pages cannot be given back: they stay dirty, and so would the next.
                Self::put_back(arenas, &mut pools.dirty, first, units);
                self.publish(&pools, 0);
                return purged;
            }
            // U3: purged pages read zero.
            Self::put_back(arenas, &mut pools.clean, first, units);
            purged += units as usize * UNIT;
        }
    }

    /// Makes dirty what is clean and may be resident all the same: the rest of a huge page of which a part was used. Done
    /// once after huge pages were refused; returns how many bytes these are.
    pub(super) fn find_resident(&self) -> usize {
        if !self.arenas.has_refused() {
            return 0;
        }
        let mut pools = self.pools.lock();
        let Pools { dirty, clean, .. } = &mut *pools;
        let arenas = &self.arenas;
        let mut found = 0;
        while let Some(first) = clean.largest(arenas) {
            let units = clean.remove(arenas, first);
            write_ends(arenas, first, units, USED);
            Self::put_back(arenas, dirty, first, units);
            found += units as usize * UNIT;
        }
        self.publish(&pools, 0);
        found
    }

    /// Bytes in dirty runs.
    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty.get()
    }

    /// The gauge of [`dirty_bytes`](Self::dirty_bytes).
    pub(super) fn dirty(&self) -> &Gauge {
        &self.dirty
    }

    /// Bytes in used runs.
    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Relaxed)
    }

    /// Bytes in used runs that hold nothing.
    pub(super) fn idle_bytes(&self) -> usize {
        self.idle_bytes.load(Relaxed)
    }

    /// Bytes in used runs that hold something.
    pub(super) fn filled_bytes(&self) -> usize {
        // The two change one after the other.
        self.used_bytes().saturating_sub(self.idle_bytes())
    }

    /// Notes that so many bytes more of the used runs hold nothing, or fewer.
    pub(super) fn add_idle(&self, bytes: isize) {
        self.idle_bytes.fetch_add(bytes as usize, Relaxed);
    }

    /// Used runs.
    pub(super) fn used(&self) -> usize {
        self.pools.lock().used
    }

    /// Calls `each` with every lock of this room, for `fork`.
    pub(super) fn locks(&self, each: &mut dyn FnMut(&RawLock)) {
        each(self.pools.raw());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_hold_what_a_search_expects() {
        for units in 1..200_000u32 {
            let list = list_of(units);
            assert!(list < LISTS);
            assert!(list_above(units) >= list);
            assert!(list == 0 || list_of(units - 1) <= list);
            // A run in any list from `list_above` on is long enough: the shortest of a list is the first that maps to it.
            if units > 1 && list_of(units - 1) != list {
                assert_eq!(list_above(units), list, "the shortest run of its list fits itself");
            }
        }
        assert!(list_of((1 << 24) - 1) < LISTS);
    }

    #[test]
    fn runs_are_exact_aligned_merged_and_known_to_be_zero() {
        static RUNS: Runs = Runs::new();
        let page = page_size();
        let a = RUNS.take(units_for(3 * page), page).unwrap();
        let b = RUNS.take(units_for(5 * page), 64 << 10).unwrap();
        assert!(a.zero && b.zero);
        assert_eq!(b.address.addr().get() % (64 << 10), 0);
        // SAFETY: both runs are ours, and this long.
        unsafe {
            a.address.write_bytes(1, 3 * page);
            b.address.write_bytes(2, 5 * page);
            RUNS.put(a.address, units_for(3 * page));
        }
        // The dirty run is reused, and said to be dirty.
        let again = RUNS.take(units_for(3 * page), page).unwrap();
        assert!(again.address == a.address && !again.zero);
        // SAFETY: nothing is used again.
        unsafe {
            RUNS.put(again.address, units_for(3 * page));
            RUNS.put(b.address, units_for(5 * page));
        }
        assert_eq!(RUNS.used_bytes(), 0);
        assert_eq!(RUNS.dirty_bytes(), 8 * page);
        assert_eq!(RUNS.purge(0), 8 * page);
        assert_eq!(RUNS.dirty_bytes(), 0);
        let zero = RUNS.take(units_for(64 * page), page).unwrap();
        assert!(zero.zero);
        // SAFETY: the run is ours, and this long.
        assert!(unsafe { core::slice::from_raw_parts(zero.address.as_ptr(), 64 * page) }.iter().all(|&byte| byte == 0));
        // SAFETY: the run is ours; what is cut off is not used again.
        unsafe {
            RUNS.shrink(zero.address, units_for(64 * page), units_for(4 * page));
            assert!(RUNS.grow(zero.address, units_for(4 * page), units_for(30 * page)));
            RUNS.put(zero.address, units_for(30 * page));
        }
        assert_eq!(RUNS.used_bytes(), 0);
    }

    #[test]
    fn neighbours_become_one_run_in_whatever_order_they_come_back() {
        static RUNS: Runs = Runs::new();
        let units = units_for(2 * page_size());
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let parts = [(); 3].map(|()| RUNS.take(units, page_size()).unwrap().address);
            assert!(parts.windows(2).all(|pair| pair[1].addr().get() - pair[0].addr().get() == 2 * page_size()));
            for part in order {
                // SAFETY: the run is ours and not used again.
                unsafe { RUNS.put(parts[part], units) };
            }
            // Warm pages come first, so these do if they are one run.
            let whole = RUNS.take(3 * units, page_size()).unwrap();
            assert!(whole.address == parts[0] && !whole.zero, "{order:?}");
            // SAFETY: as above.
            unsafe { RUNS.put(whole.address, 3 * units) };
        }
    }
}
