//! Slabs: runs of pages cut into objects of one size class, with every bit of metadata outside of them.
//!
//! The central level of the size classes: whole batches of objects go out to magazines and come back. Objects are taken
//! from the lowest slab with room, and from its lowest free bits, so that live objects gather at low addresses. A slab
//! without live objects goes back to the runs at once.
//!
//! The slabs of a class are on as many *shelves* as the process has processors, up to a few, each with a lock of its own,
//! and a thread takes from the shelf that it was given: what one thread allocates is not mixed with what another does, in
//! cache lines that they would then contend for. Objects come back to the shelf of their slab, whoever frees them.
//!
//! # Invariants, under the lock of the shelf
//! * **S1** a slab starts at a multiple of 64 KiB; all its descriptors have the class, and the distance to the first; the
//!   first has the number of its shelf.
//! * **S2** a bit of the bitmap is set if and only if that object is in the slab: neither live nor in a magazine.
//! * **S3** `free` is the number of set bits; a slab is in the order of its shelf if and only if `free > 0`.
//! * **S4** the descriptors of units that are in no slab have class 0 (classes are stored plus one).

use super::arena::{Arenas, UNIT, UNITS_PER_SLAB, UnitId};
use super::class::{CLASSES, SLAB_UNIT, object_at, size_of_class, slab_bytes};
use super::descriptor::{BITMAP_BYTES, INLINE_WORDS};
use super::magazine::SLOTS;
use super::misuse;
use super::order::AddressOrder;
use super::run::Runs;
use crate::lock::{Mutex, RawLock};
use crate::page::{page_size, round_up};
use crate::sys::poison;
use core::mem::MaybeUninit;
use core::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// The objects of a slab of a class.
#[inline(always)]
fn objects_of(class: usize) -> usize {
    let size = size_of_class(class);
    object_at(class, slab_bytes(size))
}

/// The bitmap of a slab, in its descriptor or out of line.
fn bitmap(arenas: &Arenas, slab: UnitId, class: usize) -> &[AtomicU64] {
    let words = objects_of(class).div_ceil(64);
    if words <= INLINE_WORDS {
        return &arenas.slab(slab).bits[..words];
    }
    debug_assert!(words * 8 <= BITMAP_BYTES);
    // SAFETY: the out-of-line bitmap of the slab's unit is committed with the unit (A2 of `arena`), never unmapped, has
    // `BITMAP_BYTES` bytes, and is only used as atomics.
    unsafe { core::slice::from_raw_parts(arenas.bitmap(slab).cast::<AtomicU64>(), words) }
}

const DOUBLE_FREE: &[u8] = b"mapalloc: double free of a slab object\n";

/// The lowest `count` set bits of a word, or all of them.
#[inline(always)]
fn lowest_bits(set: u64, count: usize) -> u64 {
    let all = set.count_ones() as usize;
    let (mut low, mut rest) = (set, set);
    if count * 2 < all {
        (0..count).for_each(|_| rest &= rest - 1);
        low = set & !rest;
    } else {
        // Of a whole word a magazine takes nearly all.
        (count..all).for_each(|_| low ^= 1 << low.ilog2());
    }
    low
}

struct Stock {
    order: AddressOrder,
    /// Objects that are out: live, in a magazine or in the depot.
    out: usize,
    /// Slabs on the shelf.
    slabs: usize,
}

/// A part of the slabs of a class.
struct Shelf {
    stock: Mutex<Stock>,
    /// Objects in its slabs; changed under the lock.
    free: AtomicUsize,
}

impl Shelf {
    const fn new() -> Self {
        let stock = Stock { order: AddressOrder::new(), out: 0, slabs: 0 };
        Self { stock: Mutex::new(stock), free: AtomicUsize::new(0) }
    }

    /// Notes that so many objects have come, or gone. The lock is held, so a load and a store are enough; but others read it
    /// at any time, so it never passes through a number that is not one.
    fn add_free(&self, objects: isize) {
        let free = self.free.load(Relaxed).wrapping_add_signed(objects);
        debug_assert!(free <= isize::MAX as usize, "fewer objects than none");
        self.free.store(free, Relaxed);
    }
}

/// Shelves of a class at the most.
const SHELVES: usize = 8;

/// A shelf with so many free bytes is taken from by other threads too before they add slabs to their own.
const SHARED_FROM: usize = 16 << 10;

/// How recently a slab was used: what a look of the background thread makes of it.
const FRESH: u8 = 1;
/// Not since the last look.
const IDLE: u8 = 2;
/// No whole free page of it is resident.
const PURGED: u8 = 0;

/// Objects of one word of a slab's bitmap.
#[derive(Clone, Copy)]
struct Group {
    slab: UnitId,
    word: u16,
    shelf: u8,
    mask: u64,
}

impl Group {
    const NONE: Self = Self { slab: UnitId::NONE, word: 0, shelf: 0, mask: 0 };
}

/// Groups of objects that go out or come back together: the lock is held to change bits only, a word at a time, and not to
/// turn bits into addresses or back.
///
/// Invariant: the first `len` are initialised.
struct Groups {
    len: usize,
    groups: [MaybeUninit<Group>; Self::MAX],
}

impl Groups {
    /// Also the most objects at a time, as each may be a group of its own.
    const MAX: usize = SLOTS;

    #[inline(always)]
    fn new() -> Self {
        Self { len: 0, groups: [const { MaybeUninit::uninit() }; Self::MAX] }
    }

    /// Adds a group, unless it is empty.
    #[inline(always)]
    fn push(&mut self, group: Group) {
        if group.mask != 0 {
            self.groups[self.len].write(group);
            self.len += 1;
        }
    }

    #[inline(always)]
    fn as_slice(&self) -> &[Group] {
        // SAFETY: the invariant.
        unsafe { self.groups[..self.len].assume_init_ref() }
    }
}

/// The slabs of every class.
pub(super) struct Slabs {
    shelves: [[Shelf; CLASSES]; SHELVES],
    /// Shelves of each class in use, besides the first.
    further: AtomicUsize,
    /// Bytes of free objects that the last purge left: what lies among live objects.
    left: AtomicUsize,
}

impl Slabs {
    pub(super) const fn new() -> Self {
        Self {
            shelves: [const { [const { Shelf::new() }; CLASSES] }; SHELVES],
            further: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
        }
    }

    /// Has as many shelves as there may be threads at work at the same time; once, before any other use.
    pub(super) fn set_up(&self, processors: usize) {
        self.further.store(processors.clamp(1, SHELVES) - 1, Relaxed);
    }

    /// The shelves in use.
    fn shelves(&self) -> &[[Shelf; CLASSES]] {
        &self.shelves[..(1 + self.further.load(Relaxed)).min(SHELVES)]
    }

    /// Fills `batch`, a magazine at the most, with objects, from its end, so that a magazine hands them out by rising
    /// address; best from the shelf of that number. Returns how many there are: fewer than asked for, or none, where the
    /// system has no more memory.
    pub(super) fn take(&self, runs: &Runs, class: usize, shelf: usize, batch: &mut [*mut u8]) -> usize {
        let size = size_of_class(class);
        let own = shelf % self.shelves().len();
        let mut wanted = batch.len();
        let mut groups = Groups::new();
        wanted -= self.take_from(own, runs, class, wanted, &mut groups, false);
        if wanted > 0 {
            for (other, shelves) in self.shelves().iter().enumerate() {
                if other != own && wanted > 0 && shelves[class].free.load(Relaxed) * size >= SHARED_FROM {
                    wanted -= self.take_from(other, runs, class, wanted, &mut groups, false);
                }
            }
        }
        if wanted > 0 {
            wanted -= self.take_from(own, runs, class, wanted, &mut groups, true);
        }
        let taken = batch.len() - wanted;
        runs.add_idle(-((taken * size) as isize));
        let mut at = taken;
        for group in groups.as_slice() {
            let base = runs.arenas.address(group.slab).as_ptr().wrapping_add(usize::from(group.word) * 64 * size);
            let mut mask = group.mask;
            while mask != 0 {
                at -= 1;
                batch[at] = base.wrapping_add(mask.trailing_zeros() as usize * size);
                mask &= mask - 1;
            }
        }
        taken
    }

    /// Takes up to `wanted` objects out of the slabs of a shelf, to which slabs may be added.
    fn take_from(
        &self,
        number: usize,
        runs: &Runs,
        class: usize,
        wanted: usize,
        groups: &mut Groups,
        may_add: bool,
    ) -> usize {
        let arenas = &runs.arenas;
        let shelf = &self.shelves[number][class];
        let mut taken = 0;
        let mut stock = shelf.stock.lock();
        while taken < wanted {
            let slab = match stock.order.lowest() {
                Some(slab) => slab,
                None if may_add => match self.add(runs, class, number, &mut stock) {
                    Some(slab) => slab,
                    None => break,
                },
                None => break,
            };
            let descriptor = arenas.slab(slab);
            let bits = bitmap(arenas, slab, class);
            let mut word = descriptor.first_word.load(Relaxed) as usize;
            let mut free = descriptor.free.load(Relaxed) as usize;
            while taken < wanted && free > 0 {
                let set = bits[word].load(Relaxed);
                let mask = lowest_bits(set, wanted - taken);
                groups.push(Group { slab, word: word as u16, shelf: number as u8, mask });
                bits[word].store(set & !mask, Relaxed);
                let count = mask.count_ones() as usize;
                taken += count;
                free -= count;
                if set == mask && word + 1 < bits.len() {
                    word += 1;
                }
            }
            descriptor.first_word.store(word as u32, Relaxed);
            descriptor.free.store(free as u32, Relaxed);
            descriptor.use_of.store(FRESH, Relaxed);
            if free == 0 {
                stock.order.remove(arenas, slab);
            }
        }
        stock.out += taken;
        shelf.add_free(-(taken as isize));
        taken
    }

    /// A new slab, all of its objects free.
    #[cold]
    fn add(&self, runs: &Runs, class: usize, shelf: usize, stock: &mut Stock) -> Option<UnitId> {
        let arenas = &runs.arenas;
        let bytes = slab_bytes(size_of_class(class));
        let run = runs.take((bytes / UNIT) as u32, SLAB_UNIT)?;
        let slab = arenas.unit_of(run.address.as_ptr())?;
        poison(run.address.as_ptr(), bytes);
        for distance in 0..bytes / SLAB_UNIT {
            let descriptor = arenas.slab(slab.offset(distance as u32 * UNITS_PER_SLAB));
            descriptor.distance.store(distance as u8, Relaxed);
            descriptor.class.store(class as u8 + 1, Release);
        }
        let objects = objects_of(class);
        for (word, bits) in bitmap(arenas, slab, class).iter().enumerate() {
            let count = (objects - word * 64).min(64);
            bits.store(!0 >> (64 - count), Relaxed);
        }
        let descriptor = arenas.slab(slab);
        descriptor.first_word.store(0, Relaxed);
        descriptor.free.store(objects as u32, Relaxed);
        descriptor.shelf.store(shelf as u8, Relaxed);
        runs.add_idle((objects * size_of_class(class)) as isize);
        self.shelves[shelf][class].add_free(objects as isize);
        stock.order.insert(arenas, slab);
        stock.slabs += 1;
        Some(slab)
    }

    /// Takes objects back. A pointer that is no object of the class, or that is free already, ends the program.
    ///
    /// # Safety
    /// The objects came from [`take`](Self::take) for this class and nothing uses them again.
    pub(super) unsafe fn put(&self, runs: &Runs, class: usize, batch: &[*mut u8]) {
        for batch in batch.chunks(Groups::MAX) {
            let mut groups = Groups::new();
            let mut shelves = Self::group(&runs.arenas, class, batch, &mut groups);
            // First, so that a slab that is released takes away no more than there is.
            runs.add_idle((batch.len() * size_of_class(class)) as isize);
            while shelves != 0 {
                self.put_on(shelves.trailing_zeros() as usize, runs, class, &groups);
                shelves &= shelves - 1;
            }
        }
    }

    /// Finds out where objects of a class lie; returns a bit for each shelf whose slabs these are.
    fn group(arenas: &Arenas, class: usize, batch: &[*mut u8], groups: &mut Groups) -> u32 {
        let size = size_of_class(class);
        let (objects, bytes) = (objects_of(class), slab_bytes(size));
        let mut shelves = 0;
        let (mut last, mut base) = (Group::NONE, 0);
        for &object in batch {
            let mut offset = object.addr().wrapping_sub(base);
            // What is freed together is often from one slab, which is then looked up once.
            if last.mask == 0 || offset >= bytes {
                groups.push(last);
                let slab = Self::slab_of(arenas, class, object);
                let shelf = arenas.slab(slab).shelf.load(Relaxed) % SHELVES as u8;
                shelves |= 1 << shelf;
                last = Group { slab, shelf, ..Group::NONE };
                base = arenas.address(slab).addr().get();
                offset = object.addr() - base;
            }
            let index = object_at(class, offset);
            if index * size != offset || index >= objects {
                misuse::abort(b"mapalloc: free of a pointer into an object\n");
            }
            let (word, mask) = ((index / 64) as u16, 1 << (index % 64));
            if word != last.word {
                groups.push(last);
                last = Group { word, mask: 0, ..last };
            }
            if last.mask & mask != 0 {
                misuse::abort(DOUBLE_FREE);
            }
            last.mask |= mask;
        }
        groups.push(last);
        shelves
    }

    /// Marks those of the objects free that are of one shelf.
    fn put_on(&self, number: usize, runs: &Runs, class: usize, groups: &Groups) {
        let arenas = &runs.arenas;
        let objects = objects_of(class) as u32;
        let shelf = &self.shelves[number][class];
        // Objects put back, and those of them that `free` does not count yet.
        let (mut put, mut uncounted) = (0, 0);
        let mut stock = shelf.stock.lock();
        for group in groups.as_slice().iter().filter(|group| usize::from(group.shelf) == number) {
            let descriptor = arenas.slab(group.slab);
            let word = &bitmap(arenas, group.slab, class)[usize::from(group.word)];
            let bits = word.load(Relaxed);
            if bits & group.mask != 0 {
                misuse::abort(DOUBLE_FREE);
            }
            word.store(bits | group.mask, Relaxed);
            let first_word = descriptor.first_word.load(Relaxed).min(u32::from(group.word));
            descriptor.first_word.store(first_word, Relaxed);
            let count = group.mask.count_ones();
            let before = descriptor.free.load(Relaxed);
            let free = before + count;
            descriptor.free.store(free, Relaxed);
            descriptor.use_of.store(FRESH, Relaxed);
            put += count as usize;
            uncounted += count as isize;
            if before == 0 {
                stock.order.insert(arenas, group.slab);
            }
            if free == objects {
                stock.order.remove(arenas, group.slab);
                stock.slabs -= 1;
                shelf.add_free(uncounted - objects as isize);
                uncounted = 0;
                self.release(runs, class, group.slab);
            }
        }
        shelf.add_free(uncounted);
        stock.out -= put;
    }

    /// The slab of an object.
    #[inline(always)]
    fn slab_of(arenas: &Arenas, class: usize, object: *mut u8) -> UnitId {
        let Some(unit) = arenas.unit_of(object) else {
            misuse::abort(b"mapalloc: free of a pointer that the allocator does not know\n");
        };
        let descriptor = arenas.slab(unit);
        if descriptor.class.load(Acquire) != class as u8 + 1 {
            misuse::abort(b"mapalloc: free with another size than the allocation's, or of a free object\n");
        }
        let in_unit = unit.0 % UNITS_PER_SLAB;
        UnitId(unit.0 - in_unit - u32::from(descriptor.distance.load(Relaxed)) * UNITS_PER_SLAB)
    }

    /// Returns a slab without live objects to the runs.
    fn release(&self, runs: &Runs, class: usize, slab: UnitId) {
        let bytes = slab_bytes(size_of_class(class));
        runs.add_idle(-((objects_of(class) * size_of_class(class)) as isize));
        for distance in 0..bytes / SLAB_UNIT {
            runs.arenas.slab(slab.offset(distance as u32 * UNITS_PER_SLAB)).class.store(0, Release);
        }
        // SAFETY: `add` took this run, and by S2 no object of it is in use.
        unsafe { runs.put(runs.arenas.address(slab), (bytes / UNIT) as u32) };
    }

    /// Gives back the memory of whole free pages in slabs that have live objects too; returns at most how many bytes.
    pub(super) fn purge(&self, runs: &Runs) -> usize {
        let purged = self.purge_where(runs, |use_of| use_of != PURGED);
        self.left.store(runs.idle_bytes(), Relaxed);
        purged
    }

    /// Bytes of objects that have become free since the last purge: so much may be worth another one.
    pub(super) fn purgeable_bytes(&self, runs: &Runs) -> usize {
        let (idle, left) = (runs.idle_bytes(), self.left.load(Relaxed));
        if idle < left {
            self.left.store(idle, Relaxed);
        }
        idle.saturating_sub(left)
    }

    /// The same for slabs that have not been used since the last call but one; counts as work what the next call will do.
    pub(super) fn purge_idle(&self, runs: &Runs) -> usize {
        let mut ageing = 0;
        let purged = self.purge_where(runs, |use_of| {
            ageing += usize::from(use_of == FRESH);
            use_of == IDLE
        });
        purged + ageing
    }

    /// Purges the slabs that are to be, by how recently they were used; the others age.
    fn purge_where(&self, runs: &Runs, mut is_due: impl FnMut(u8) -> bool) -> usize {
        let arenas = &runs.arenas;
        let mut purged = 0;
        for slab in arenas.slab_units() {
            let descriptor = arenas.slab(slab);
            let Some(class) = usize::from(descriptor.class.load(Acquire)).checked_sub(1) else { continue };
            let use_of = descriptor.use_of.load(Relaxed);
            if descriptor.distance.load(Relaxed) != 0 || use_of == PURGED || descriptor.free.load(Relaxed) == 0 {
                continue;
            }
            let due = is_due(use_of);
            let shelf = descriptor.shelf.load(Relaxed);
            let _stock = self.shelves[usize::from(shelf) % SHELVES][class].stock.lock();
            // The slab may have been released, and even taken by another shelf or class, before the lock was.
            if usize::from(descriptor.class.load(Acquire)) != class + 1
                || descriptor.distance.load(Relaxed) != 0
                || descriptor.shelf.load(Relaxed) != shelf
            {
                continue;
            }
            if due {
                descriptor.use_of.store(PURGED, Relaxed);
                purged += Self::purge_free_pages(arenas, slab, class);
            } else {
                descriptor.use_of.store(IDLE, Relaxed);
            }
        }
        purged
    }

    /// Gives back the pages of a slab in which every object is free.
    fn purge_free_pages(arenas: &Arenas, slab: UnitId, class: usize) -> usize {
        let (size, page) = (size_of_class(class), page_size());
        let bits = bitmap(arenas, slab, class);
        let is_free = |object: usize| bits[object / 64].load(Relaxed) & (1 << (object % 64)) != 0;
        let mut purged = 0;
        let mut purge = |from: usize, to: usize| {
            let (start, end) = (round_up(from, page), to & !(page - 1));
            if start < end {
                let first = slab.offset((start / UNIT) as u32);
                // SAFETY: whole pages of the slab in which every object is free (S2), and the shelf is locked.
                if unsafe { arenas.purge(first, ((end - start) / UNIT) as u32) }.is_ok() {
                    purged += end - start;
                }
            }
        };
        let mut free_from = 0;
        for object in 0..objects_of(class) {
            if !is_free(object) {
                purge(free_from, object * size);
                free_from = (object + 1) * size;
            }
        }
        purge(free_from, slab_bytes(size));
        purged
    }

    /// Objects of a class that are out, and its slabs.
    pub(super) fn out(&self, class: usize) -> (usize, usize) {
        self.shelves().iter().fold((0, 0), |(out, slabs), shelves| {
            let stock = shelves[class].stock.lock();
            (out + stock.out, slabs + stock.slabs)
        })
    }

    /// Calls `each` with every lock of this room, for `fork`.
    pub(super) fn locks(&self, each: &mut dyn FnMut(&RawLock)) {
        self.shelves().iter().flatten().for_each(|shelf| each(shelf.stock.raw()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bits_are_so_many_and_the_lowest() {
        let sets = [0, 1, u64::MAX, 0x8000_0000_0000_0000, 0xF0F0_1234_5678_9ABC, 0x5555_5555_5555_5555];
        for set in sets {
            for count in 0..=SLOTS {
                let low = lowest_bits(set, count);
                assert_eq!(low.count_ones() as usize, count.min(set.count_ones() as usize), "{count} of {set:x}");
                let rest = set & !low;
                assert!(low & set == low && (low == 0 || rest == 0 || low.ilog2() < rest.trailing_zeros()));
            }
        }
    }
}
