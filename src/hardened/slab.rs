//! Slots for small blocks: slabs of one size class in an address range of its class, each behind a gap that faults.
//!
//! An address alone says which class it belongs to, which slab, and which slot; what is known of the slot lies elsewhere, in
//! tables between pages that nobody can touch. A slot is picked at random among the free ones of a slab. A freed slot is
//! zeroed, waits in quarantine, and is looked at when it is used again: whatever is not zero then was written after the free.
//!
//! The classes exist a few times over, in *shards*: a thread takes from the first that no other thread is at, and a slot goes
//! back to where it came from.
//!
//! # Invariants, under the lock of the class
//! * **V1** slab `n` of a class is the upper half of stride `skip + n` of its range; the lower half is closed. Slabs below
//!   `opened` have an entry in the table; one that is `closed` cannot be touched.
//! * **V2** of a slot at most one bit is set among `live` and `waiting`; it is free if neither is. Bits behind the last slot are
//!   set in `live`.
//! * **V3** `free` is the number of free slots; a slab is in the list of those with room if and only if it has some and is
//!   not closed.
//! * **V4** a slot that is not live is zero, unless it was written to after its free.
//! * **V5** a slot whose bit in `used` is clear has not been touched since its slab was opened, and is zero.

use super::canary;
use super::quarantine::Quarantine;
use super::random::Random;
use crate::error::Result;
use crate::heap::misuse;
use crate::heap::{CLASSES, MAX_CLASS_SIZE, object_at, size_of_class, slab_bytes};
use crate::lock::{Guard, Mutex, RawLock};
use crate::map::{Closed, Zone};
use crate::page::{page_size, round_up};
use crate::stats::RouteStats;
use core::sync::atomic::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Shards at the most.
const SHARDS: usize = 4;

/// Addresses of a class in a shard, where they are plenty; where they are not, what must be left of them.
const MOST_CLASS_BYTES: usize = 16 << 30;
const LEAST_CLASS_BYTES: usize = 2 << 20;

/// All classes together take at most one part in this many of a limited address space.
const LIMITED_SHARE: usize = 4;

/// How many strides at the start of a class may stay unused, by chance, as one part in this many of all.
const SKIPPED_SHARE: usize = 4;

/// The longest slab has the longest stride.
const STRIDE_ALIGN: usize = 2 * slab_bytes(MAX_CLASS_SIZE);

/// So many bytes of slabs all of whose slots are free stay open, over all classes.
const EMPTY_BYTES: usize = 4 << 20;

/// A table grows by so much at least.
const TABLE_STEP: usize = 16 << 10;

/// What is kept of a slab, before its three bitmaps. Lists are of slab numbers plus one.
#[repr(C)]
struct Header {
    free: AtomicU32,
    next: AtomicU32,
    previous: AtomicU32,
    /// How it was closed, plus one; zero if it is open.
    closed: AtomicU32,
}

/// The bitmaps of a slab.
#[derive(Clone, Copy)]
struct Entry<'a> {
    header: &'a Header,
    live: &'a [AtomicU64],
    waiting: &'a [AtomicU64],
    used: &'a [AtomicU64],
}

fn is_set(bits: &[AtomicU64], slot: usize) -> bool {
    bits[slot / 64].load(Relaxed) & (1 << (slot % 64)) != 0
}

fn set(bits: &[AtomicU64], slot: usize, value: bool) {
    let (word, bit) = (&bits[slot / 64], 1 << (slot % 64));
    let old = word.load(Relaxed);
    word.store(if value { old | bit } else { old & !bit }, Relaxed);
}

/// The slots of a slab of a class.
fn slots_of(class: usize) -> usize {
    object_at(class, slab_bytes(size_of_class(class)))
}

fn words_of(class: usize) -> usize {
    slots_of(class).div_ceil(64)
}

fn entry_bytes(class: usize) -> usize {
    size_of::<Header>() + 3 * words_of(class) * size_of::<u64>()
}

fn stride_of(class: usize) -> usize {
    2 * slab_bytes(size_of_class(class))
}

/// The state of a class in a shard. All zero, it is new.
struct Class {
    /// Strides before the first slab, plus one; zero until chosen.
    skip: usize,
    /// Slabs that were ever opened.
    opened: usize,
    /// The lists of slabs with room and of closed slabs.
    with_room: u32,
    closed: u32,
    /// Open bytes of the table.
    table: usize,
    live: usize,
    random: Random,
    quarantine: Quarantine,
}

/// Where a slot is.
#[derive(Clone, Copy)]
struct Place {
    number: usize,
    class: usize,
    slab: usize,
    slot: usize,
}

/// The slots of every class.
pub(super) struct Slabs {
    data: Zone,
    /// A page that is closed, the states of all classes of all shards, and their tables, each behind a closed page.
    metadata: Zone,
    shards: AtomicUsize,
    class_bytes: AtomicUsize,
    table_bytes: AtomicUsize,
    /// Bytes of open slabs all of whose slots are free; changed under the locks of their classes.
    empty_bytes: AtomicUsize,
}

impl Slabs {
    pub(super) const fn new() -> Self {
        Self {
            data: Zone::empty(),
            metadata: Zone::empty(),
            shards: AtomicUsize::new(0),
            class_bytes: AtomicUsize::new(0),
            table_bytes: AtomicUsize::new(0),
            empty_bytes: AtomicUsize::new(0),
        }
    }

    /// Reserves the addresses; once, before any other use. If it fails there are no slots.
    pub(super) fn reserve(&self, processors: usize, limit: Option<usize>) -> Result<()> {
        let mut shards = processors.clamp(1, SHARDS);
        let mut bytes = MOST_CLASS_BYTES;
        while limit.is_some_and(|limit| bytes * CLASSES * shards > limit / LIMITED_SHARE) && bytes > LEAST_CLASS_BYTES {
            bytes /= 2;
            shards = if bytes <= MOST_CLASS_BYTES / 64 { 1 } else { shards };
        }
        let table_bytes = loop {
            // The class of the smallest size has the longest entries and the shortest strides.
            let table = round_up(bytes / stride_of(0) * entry_bytes(0), page_size());
            match self.reserve_for(bytes, table, shards * CLASSES) {
                Ok(()) => break table,
                Err(error) if bytes <= LEAST_CLASS_BYTES => return Err(error),
                Err(_) => {
                    bytes /= 4;
                    shards = 1;
                }
            }
        };
        self.class_bytes.store(bytes, Relaxed);
        self.table_bytes.store(table_bytes, Relaxed);
        // Last: whoever sees it sees the rest.
        self.shards.store(shards, Release);
        Ok(())
    }

    /// Whether the addresses are reserved.
    pub(super) fn is_reserved(&self) -> bool {
        self.shards.load(Relaxed) > 0
    }

    fn reserve_for(&self, class_bytes: usize, table: usize, classes: usize) -> Result<()> {
        let page = page_size();
        let states = round_up(classes * size_of::<Mutex<Class>>(), page);
        // Behind the last class there is a gap too.
        self.data.reserve(classes * class_bytes + page, STRIDE_ALIGN)?;
        let tables = page + states + classes * (page + table) + page;
        // SAFETY: new, and nobody's yet.
        self.metadata
            .reserve(tables, page)
            .and_then(|()| unsafe { self.metadata.open(page, page, states) })
            .inspect_err(|_| {
                self.metadata.cancel();
                self.data.cancel();
            })
    }

    fn states(&self) -> &[Mutex<Class>] {
        let count = self.shards.load(Acquire) * CLASSES;
        if count == 0 {
            return &[];
        }
        // SAFETY: the states were opened as zeros, which are a value, before `shards` was set, and stay open.
        unsafe { core::slice::from_raw_parts(self.metadata.at(page_size()).cast(), count) }
    }

    /// Where the table of a class in a shard begins.
    fn table_at(&self, number: usize) -> usize {
        let page = page_size();
        let states = round_up(size_of_val(self.states()), page);
        page + states + number * (page + self.table_bytes.load(Relaxed)) + page
    }

    /// The entry of a slab that was opened once.
    fn entry(&self, number: usize, slab: usize) -> Entry<'_> {
        let class = number % CLASSES;
        let words = words_of(class);
        let start = self.metadata.at(self.table_at(number) + slab * entry_bytes(class));
        // SAFETY: V1: the table is open up to the entry of the last slab that was ever opened, was zeros then, and is used by
        // way of atomics alone. A header is two words.
        unsafe {
            let bits = start.add(size_of::<Header>()).cast::<AtomicU64>();
            let map = |n| core::slice::from_raw_parts(bits.add(n * words), words);
            Entry { header: &*start.cast(), live: map(0), waiting: map(1), used: map(2) }
        }
    }

    /// The offset of a slab of a class from the start of the zone.
    fn slab_at(&self, number: usize, skip: usize, slab: usize) -> usize {
        let stride = stride_of(number % CLASSES);
        number * self.class_bytes.load(Relaxed) + (skip - 1 + slab) * stride + stride / 2
    }

    /// Takes a slot of a class, which reads zero: `None` if there is no memory or no room for one.
    pub(super) fn take(&self, class: usize) -> Option<*mut u8> {
        let shards = self.shards.load(Acquire);
        if shards == 0 {
            return None;
        }
        let first = here() % shards;
        let mut numbers = (0..shards).map(|n| (first + n) % shards * CLASSES + class);
        let states = self.states();
        let idle = numbers.find_map(|number| Some((number, states[number].try_lock()?)));
        let (number, mut state) = idle.unwrap_or_else(|| {
            let number = first * CLASSES + class;
            (number, states[number].lock())
        });
        let slab = match state.with_room.checked_sub(1) {
            Some(slab) => slab as usize,
            None => self.add(number, &mut state)?,
        };
        let entry = self.entry(number, slab);
        let slots = slots_of(class);
        let slot = pick(&entry, state.random.below(slots));
        let free = entry.header.free.load(Relaxed);
        if free as usize == slots {
            self.empty_bytes.fetch_sub(slab_bytes(size_of_class(class)), Relaxed);
        }
        set(entry.live, slot, true);
        let was_used = is_set(entry.used, slot);
        set(entry.used, slot, true);
        entry.header.free.store(free - 1, Relaxed);
        if free == 1 {
            self.unlink(number, &mut state, slab);
        }
        state.live += 1;
        let size = size_of_class(class);
        let block = self.data.at(self.slab_at(number, state.skip, slab) + slot * size);
        drop(state);
        // SAFETY: the slot is open (V1) and this call's, all of it initialised.
        if was_used && !canary::is_zero(unsafe { core::slice::from_raw_parts(block, size) }) {
            misuse::abort_at(b"write to a freed block", block);
        }
        Some(block)
    }

    /// Opens a slab: one that was closed, or a new one.
    #[cold]
    fn add(&self, number: usize, state: &mut Class) -> Option<usize> {
        let class = number % CLASSES;
        let bytes = slab_bytes(size_of_class(class));
        let slab = if let Some(slab) = state.closed.checked_sub(1) {
            let slab = slab as usize;
            let entry = self.entry(number, slab);
            let closed = if entry.header.closed.load(Relaxed) == Closed::Guarded as u32 + 1 {
                Closed::Guarded
            } else {
                Closed::Protected
            };
            // SAFETY: closed in that way by `let_go`, and this class's.
            unsafe { self.data.reopen(self.slab_at(number, state.skip, slab), bytes, closed) }.ok()?;
            state.closed = entry.header.next.load(Relaxed);
            entry.header.closed.store(0, Relaxed);
            slab
        } else {
            let stride = stride_of(class);
            let strides = self.class_bytes.load(Relaxed) / stride;
            if state.skip == 0 {
                state.skip = 1 + state.random.below((strides / SKIPPED_SHARE).clamp(1, 1 << 16));
            }
            let slab = state.opened;
            if state.skip + slab > strides {
                return None;
            }
            self.extend_table(number, state, (slab + 1) * entry_bytes(class)).ok()?;
            let offset = self.slab_at(number, state.skip, slab);
            // SAFETY: V1: neither the slab nor the gap before it was ever open.
            unsafe { self.data.open(stride / 2, offset, bytes) }.ok()?;
            let entry = self.entry(number, slab);
            let slots = slots_of(class);
            entry.header.free.store(slots as u32, Relaxed);
            if !slots.is_multiple_of(64) {
                entry.live[slots / 64].store(!0 << (slots % 64), Relaxed);
            }
            state.opened += 1;
            slab
        };
        self.empty_bytes.fetch_add(bytes, Relaxed);
        self.link(number, state, slab);
        Some(slab)
    }

    fn extend_table(&self, number: usize, state: &mut Class, needed: usize) -> Result<()> {
        if needed > state.table {
            let step = round_up((needed - state.table).max(TABLE_STEP), page_size());
            let step = step.min(self.table_bytes.load(Relaxed) - state.table);
            // SAFETY: the table's own place behind what of it is open.
            unsafe { self.metadata.open(0, self.table_at(number) + state.table, step) }?;
            state.table += step;
        }
        Ok(())
    }

    fn link(&self, number: usize, state: &mut Class, slab: usize) {
        let header = self.entry(number, slab).header;
        header.next.store(state.with_room, Relaxed);
        header.previous.store(0, Relaxed);
        if let Some(next) = state.with_room.checked_sub(1) {
            self.entry(number, next as usize).header.previous.store(slab as u32 + 1, Relaxed);
        }
        state.with_room = slab as u32 + 1;
    }

    fn unlink(&self, number: usize, state: &mut Class, slab: usize) {
        let header = self.entry(number, slab).header;
        let (next, previous) = (header.next.load(Relaxed), header.previous.load(Relaxed));
        match previous.checked_sub(1) {
            Some(previous) => self.entry(number, previous as usize).header.next.store(next, Relaxed),
            None => state.with_room = next,
        }
        if let Some(next) = next.checked_sub(1) {
            self.entry(number, next as usize).header.previous.store(previous, Relaxed);
        }
    }

    /// How far an address is from the start of the slots' addresses, if it is one of them.
    pub(super) fn offset_of(&self, block: *const u8) -> Option<usize> {
        self.data.offset_of(block)
    }

    /// The live slot at an offset, whose block was asked for with that class and `size` bytes, with the lock of its class.
    /// Anything else ends the program.
    fn live_slot(&self, offset: usize, class: Option<usize>, size: usize) -> (Guard<'_, Class>, Place) {
        let block = self.data.at(offset);
        let class_bytes = self.class_bytes.load(Relaxed);
        let number = offset / class_bytes;
        let Some(lock) = self.states().get(number) else {
            misuse::abort_at(b"free of an address between all blocks", block);
        };
        let state = lock.lock();
        let own = number % CLASSES;
        let stride = stride_of(own);
        let within = offset % class_bytes;
        let slab = (within / stride).checked_sub(state.skip.wrapping_sub(1)).filter(|&slab| slab < state.opened);
        let (Some(slab), Some(at)) = (slab, (within % stride).checked_sub(stride / 2)) else {
            misuse::abort_at(b"free of an address between all blocks", block);
        };
        let slot = object_at(own, at);
        if slot * size_of_class(own) != at || slot >= slots_of(own) {
            misuse::abort_at(b"free of a pointer into a block", block);
        }
        let entry = self.entry(number, slab);
        if is_set(entry.waiting, slot) || (!is_set(entry.live, slot) && is_set(entry.used, slot)) {
            misuse::abort_at(b"double free", block);
        }
        if !is_set(entry.live, slot) {
            misuse::abort_at(b"free of an address that is not given out", block);
        }
        if class != Some(own) {
            misuse::abort_at(b"free with another size than the allocation's", block);
        }
        // SAFETY: V2: a live slot, which is open.
        unsafe { canary::check(block, size, size_of_class(own)) };
        (state, Place { number, class: own, slab, slot })
    }

    /// Takes the block at an offset back, of that class and `size` bytes.
    pub(super) fn put(&self, offset: usize, class: Option<usize>, size: usize) {
        let (mut state, Place { number, class, slab, slot }) = self.live_slot(offset, class, size);
        let slot_size = size_of_class(class);
        let entry = self.entry(number, slab);
        let block = self.data.at(offset);
        // SAFETY: the slot before, if there is one, is of the same slab, and open.
        let before = || unsafe { core::slice::from_raw_parts(block.wrapping_sub(size_of::<u64>()), size_of::<u64>()) };
        // What is written before a block shows in the slot before: in its canary if it is live, and here if it is not.
        if slot > 0 && !is_set(entry.live, slot - 1) && !canary::is_zero(before()) {
            misuse::abort_at(b"write before the start of a block, or to a freed one,", block);
        }
        // SAFETY: a live slot, which nobody may use any more. What lies behind the canary is zero.
        unsafe { block.write_bytes(0, (size + canary::CANARY).min(slot_size)) };
        set(entry.live, slot, false);
        set(entry.waiting, slot, true);
        state.live -= 1;
        let Class { quarantine, random, .. } = &mut *state;
        let ended = quarantine.exchange(random, slot_size, (slab * slots_of(class) + slot) as u32);
        if let Some(ended) = ended {
            self.release(number, &mut state, ended as usize);
        }
    }

    /// Changes the size of the block at an offset in place, if the class stays the same.
    pub(super) fn resize(
        &self,
        offset: usize,
        class: Option<usize>,
        size: usize,
        new: Option<usize>,
        new_size: usize,
    ) -> bool {
        let (state, place) = self.live_slot(offset, class, size);
        drop(state);
        let stays = new == Some(place.class);
        if stays {
            // SAFETY: the block is the caller's, and its end was found intact.
            unsafe { canary::move_end(self.data.at(offset), size, new_size, size_of_class(place.class)) };
        }
        stays
    }

    /// Makes a slot free whose time in quarantine is over.
    fn release(&self, number: usize, state: &mut Class, slot: usize) {
        let slots = slots_of(number % CLASSES);
        let (slab, slot) = (slot / slots, slot % slots);
        let entry = self.entry(number, slab);
        set(entry.waiting, slot, false);
        let free = entry.header.free.load(Relaxed) as usize + 1;
        entry.header.free.store(free as u32, Relaxed);
        if free == 1 {
            self.link(number, state, slab);
        }
        if free == slots {
            let bytes = slab_bytes(size_of_class(number % CLASSES));
            if self.empty_bytes.fetch_add(bytes, Relaxed) + bytes > EMPTY_BYTES {
                self.let_go(number, state, slab);
            }
        }
    }

    /// Closes a slab with room all of whose slots are free; returns the bytes that went back.
    fn let_go(&self, number: usize, state: &mut Class, slab: usize) -> usize {
        let bytes = slab_bytes(size_of_class(number % CLASSES));
        // SAFETY: V1: the slab is open; none of its slots is in use.
        let Some(closed) = (unsafe { self.data.close(self.slab_at(number, state.skip, slab), bytes) }) else {
            return 0;
        };
        self.unlink(number, state, slab);
        self.empty_bytes.fetch_sub(bytes, Relaxed);
        let entry = self.entry(number, slab);
        entry.used.iter().for_each(|word| word.store(0, Relaxed));
        entry.header.closed.store(closed as u32 + 1, Relaxed);
        entry.header.next.store(state.closed, Relaxed);
        state.closed = slab as u32 + 1;
        bytes
    }

    /// Closes every slab all of whose slots are free; returns how many bytes went back at the most.
    pub(super) fn purge(&self) -> usize {
        let mut purged = 0;
        for (number, lock) in self.states().iter().enumerate() {
            let mut state = lock.lock();
            let mut next = state.with_room;
            while let Some(slab) = next.checked_sub(1) {
                let header = self.entry(number, slab as usize).header;
                next = header.next.load(Relaxed);
                if header.free.load(Relaxed) as usize == slots_of(number % CLASSES) {
                    purged += self.let_go(number, &mut state, slab as usize);
                }
            }
        }
        purged
    }

    /// Live blocks and their slots' bytes; bytes of the slabs; bytes of the tables.
    pub(super) fn stats(&self) -> (RouteStats, usize, usize) {
        let mut live = RouteStats::default();
        let states = self.states();
        let (mut slabs, mut tables) = (0, size_of_val(states));
        for (number, lock) in states.iter().enumerate() {
            let state = lock.lock();
            let size = size_of_class(number % CLASSES);
            live.live += state.live;
            live.live_bytes += state.live * size;
            slabs += state.opened * slab_bytes(size);
            tables += state.table;
        }
        (live, slabs, tables)
    }

    /// Calls `each` with every lock of this room, for `fork`.
    pub(super) fn locks(&self, each: &mut dyn FnMut(&RawLock)) {
        self.states().iter().for_each(|state| each(state.raw()));
    }

    /// In a child of `fork`: chooses otherwise than the parent.
    pub(super) fn forget_choices(&self) {
        self.states().iter().for_each(|state| state.lock().random.forget());
    }
}

/// A number that is another one for most threads: where their stacks lie.
fn here() -> usize {
    let on_stack = 0_u8;
    ((&raw const on_stack).addr() >> 20).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56
}

/// The first free slot of a slab from one on, and around. There is one.
fn pick(entry: &Entry<'_>, from: usize) -> usize {
    let words = entry.live.len();
    let free = |word: usize| !(entry.live[word].load(Relaxed) | entry.waiting[word].load(Relaxed));
    let first = from / 64;
    let ahead = free(first) & (!0 << (from % 64));
    if ahead != 0 {
        return first * 64 + ahead.trailing_zeros() as usize;
    }
    let next = (1..=words)
        .map(|n| (first + n) % words)
        .find_map(|word| Some((word, Some(free(word)).filter(|&set| set != 0)?)));
    match next {
        Some((word, set)) => word * 64 + set.trailing_zeros() as usize,
        // V3 does not hold: somebody has written to the tables.
        None => misuse::abort(b"mapalloc: corrupt metadata of a slab\n"),
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    /// The area of the kernel's that an address lies in, and whether it can be written to.
    fn area(address: *const u8) -> Option<(usize, usize, bool)> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().find_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (start, end) = range.split_once('-')?;
            let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
            (start..end).contains(&address.addr()).then_some((start, end, rest.starts_with("rw")))
        })
    }

    #[test]
    fn metadata_lies_between_closed_pages_and_apart_from_blocks() {
        static SLABS: Slabs = Slabs::new();
        SLABS.reserve(2, None).unwrap();
        let block = SLABS.take(3).unwrap();
        let offset = SLABS.offset_of(block).unwrap();
        let number = offset / SLABS.class_bytes.load(Relaxed);
        let table = SLABS.metadata.at(SLABS.table_at(number));
        for metadata in [table.cast_const(), (&raw const SLABS.states()[number]).cast()] {
            let (start, end, open) = area(metadata).unwrap();
            assert!(open && SLABS.offset_of(metadata).is_none());
            for (before, at) in [(true, start - 1), (false, end)] {
                let closed = area(core::ptr::without_provenance(at));
                assert!(closed.is_none_or(|(.., open)| !open), "{before}");
            }
        }
        // SAFETY: a slot of its class, which was taken above.
        unsafe { canary::seal(block, 10, size_of_class(3)) };
        SLABS.put(offset, Some(3), 10);
    }

    #[test]
    fn every_slot_of_a_slab_is_picked_once() {
        static SLABS: Slabs = Slabs::new();
        SLABS.reserve(1, None).unwrap();
        for class in [0, 20, CLASSES - 1] {
            let slots = slots_of(class);
            let size = size_of_class(class);
            let mut taken: Vec<_> = (0..slots).map(|_| SLABS.take(class).unwrap().addr()).collect();
            taken.sort_unstable();
            assert!(taken.windows(2).all(|pair| pair[1] == pair[0] + size), "one after the other, without a gap");
            // The next one is in another slab, behind a gap.
            let next = SLABS.take(class).unwrap().addr();
            assert!(next >= taken[slots - 1] + size + slab_bytes(size));
        }
    }

    #[test]
    fn tables_hold_the_entries_of_every_class() {
        for class in 0..CLASSES {
            let slabs = |class| LEAST_CLASS_BYTES / stride_of(class);
            assert!(slabs(class) * entry_bytes(class) <= slabs(0) * entry_bytes(0));
            assert!(slots_of(class) <= 1 << 16, "a choice has 16 bits");
        }
        assert!(MOST_CLASS_BYTES / stride_of(0) * slots_of(0) < u32::MAX as usize, "a slot has a number of 32 bits");
    }
}
