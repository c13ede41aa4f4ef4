//! Growth slots: reserved address space in which a block grows without a system call and without moving.
//!
//! A block that is reallocated to [`GROWTH_MIN`](super::route::GROWTH_MIN) bytes or more moves here, into a slot of
//! 16 MiB. From then on growth is free until the slot is full; then the pages move, uncopied, to a mapping of their own.
//! All slots lie in one reservation, so that a slot is recognised by its address, and used slots are one area of the
//! kernel's however many there are.
//!
//! # Invariants
//! * **W1** slots below `fresh` are committed; each is used by one block or in the list of free ones.
//! * **W2** bytes of a slot from `high` on read zero and hold no memory; the owner of a used slot alone changes its `high`.

use super::gauge::Gauge;
use super::misuse;
use super::table::{Table, ZeroInit};
use crate::error::Result;
use crate::lock::{Mutex, RawLock};
use crate::map::{Mapping, Region};
use crate::page::{page_size, round_down, round_up};
use crate::stats::RouteStats;
use crate::sys::{self, poison, unpoison};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The bytes of a slot.
pub(super) const SLOT: usize = 16 << 20;

/// Slots at the most: 64 GiB of addresses.
const MAX_SLOTS: usize = 4096;

#[repr(C)]
struct SlotState {
    /// Bytes from the start that may be resident or other than zero, in whole pages.
    high: AtomicUsize,
    /// The next free slot plus one, while this one is free.
    next: AtomicUsize,
    /// The size of the block in the slot, 0 while it is free; for statistics.
    size: AtomicUsize,
}

// SAFETY: atomics only, for which zero is a value.
unsafe impl ZeroInit for SlotState {}

struct Slots {
    /// The first free slot plus one, or zero.
    free: usize,
    fresh: usize,
    capacity: usize,
    /// The sum of `high` over the free slots.
    resident: usize,
}

/// What a change of size did to the memory of a slot.
pub(super) enum Change {
    /// So many bytes more may become resident.
    Raised(usize),
    /// So many bytes were given back.
    Purged(usize),
}

/// All growth slots of the process.
pub(super) struct Growth {
    region: Region,
    states: Table<SlotState>,
    slots: Mutex<Slots>,
    /// `Slots::resident`, for those who do not hold the lock.
    resident: Gauge,
    /// The sum of `high` over the used slots.
    used: AtomicUsize,
}

impl Growth {
    pub(super) const fn new() -> Self {
        Self {
            region: Region::empty(),
            states: Table::empty(),
            slots: Mutex::new(Slots { free: 0, fresh: 0, capacity: 0, resident: 0 }),
            resident: Gauge::new(),
            used: AtomicUsize::new(0),
        }
    }

    /// Reserves the slots, as many as the address space has room for; once, before any other use. Without any, blocks grow
    /// elsewhere.
    pub(super) fn reserve(&self) {
        let limit = sys::address_space_limit().map_or(usize::MAX, |limit| limit / 16);
        let mut count = MAX_SLOTS.min(limit / SLOT);
        // A slot's untouched pages must be free of charge.
        if count == 0 || sys::overcommit_is_strict() || self.states.reserve(count, count).is_err() {
            return;
        }
        while count > 0 && self.region.reserve(count * SLOT, SLOT).is_err() {
            count /= 4;
        }
        // A huge page would be resident past what a block of a few hundred KiB has.
        self.region.refuse_huge_pages(0, self.region.len());
        self.slots.lock().capacity = count;
    }

    /// The slot that holds an address.
    #[inline(always)]
    fn slot_of(&self, address: *const u8) -> Option<usize> {
        let offset = address.addr().wrapping_sub(self.region.base().addr());
        (offset < self.region.len()).then_some(offset / SLOT)
    }

    /// Whether a block lies in a slot.
    #[inline(always)]
    pub(super) fn contains(&self, address: *const u8) -> bool {
        self.slot_of(address).is_some()
    }

    fn state(&self, address: NonNull<u8>) -> (usize, &SlotState) {
        match self.slot_of(address.as_ptr()) {
            Some(slot) => (slot, self.states.at(slot)),
            None => misuse::abort(b"mapalloc: corrupt growth slot\n"),
        }
    }

    /// A slot for a block of `size` bytes, at most [`SLOT`]: the one freed last, whose pages are warm. Also returns how
    /// many bytes of the block are not resident.
    pub(super) fn take(&self, size: usize) -> Option<(NonNull<u8>, usize)> {
        let mut slots = self.slots.lock();
        let slot = if slots.free != 0 {
            let slot = slots.free - 1;
            let state = self.states.at(slot);
            slots.free = state.next.load(Relaxed);
            slots.resident -= state.high.load(Relaxed);
            self.resident.set(slots.resident);
            slot
        } else {
            let slot = slots.fresh;
            // A limit on untouched memory may have been set since the start.
            if slot == slots.capacity || sys::data_limit().is_some() {
                return None;
            }
            self.states.commit(slot + 1).ok()?;
            self.region.commit((slot + 1) * SLOT, 0).ok()?;
            slots.fresh = slot + 1;
            if self.region.is_resident((slot + 1) * SLOT - page_size()) {
                // The process locks all future memory (mlockall): a slot is not free of charge, so this is the last.
                self.states.at(slot).high.store(SLOT, Relaxed);
                slots.capacity = slot + 1;
            }
            slot
        };
        drop(slots);
        let state = self.states.at(slot);
        self.used.fetch_add(state.high.load(Relaxed), Relaxed);
        let raised = self.raise(state, size);
        let address = NonNull::new(self.region.base().wrapping_add(slot * SLOT))?;
        unpoison(address.as_ptr(), SLOT);
        Some((address, raised))
    }

    /// Notes the size of a block; returns by how many bytes it is past what may be resident.
    fn raise(&self, state: &SlotState, size: usize) -> usize {
        state.size.store(size, Relaxed);
        let high = state.high.load(Relaxed);
        if size <= high {
            return 0;
        }
        let end = round_up(size, page_size());
        state.high.store(end, Relaxed);
        self.used.fetch_add(end - high, Relaxed);
        end - high
    }

    /// Notes that a block now has `size` bytes, at most [`SLOT`]. A block that has become much smaller gives the memory of
    /// its end back.
    ///
    /// # Safety
    /// The block at `address` is the caller's and lies in a slot; nothing behind its first `size` bytes is used again.
    pub(super) unsafe fn resize(&self, address: NonNull<u8>, size: usize) -> Change {
        let (slot, state) = self.state(address);
        let shrinks = size < state.size.load(Relaxed);
        let raised = self.raise(state, size);
        let (end, high) = (round_up(size, page_size()), state.high.load(Relaxed));
        if !shrinks || high - end < super::large::worth_trimming(end) {
            return Change::Raised(raised);
        }
        // SAFETY: the end of the slot, committed (W1) and not used again by the caller's contract.
        if unsafe { self.region.purge(slot * SLOT + end, high - end) }.is_err() {
            return Change::Raised(0);
        }
        state.high.store(end, Relaxed);
        self.used.fetch_sub(high - end, Relaxed);
        Change::Purged(high - end)
    }

    /// Frees a slot. Its pages stay for the next block.
    ///
    /// # Safety
    /// The block at `address` is the caller's, lies in a slot, and is not used again.
    pub(super) unsafe fn put(&self, address: NonNull<u8>) {
        let (slot, state) = self.state(address);
        poison(address.as_ptr(), SLOT);
        let mut slots = self.slots.lock();
        if state.size.load(Relaxed) == 0 || address.as_ptr() != self.region.base().wrapping_add(slot * SLOT) {
            misuse::abort(b"mapalloc: free of a pointer into a block, or double free of a large block\n");
        }
        state.next.store(slots.free, Relaxed);
        slots.free = slot + 1;
        let high = state.high.load(Relaxed);
        self.used.fetch_sub(high, Relaxed);
        slots.resident += high;
        self.resident.set(slots.resident);
        state.size.store(0, Relaxed);
    }

    /// Moves a block of `size` bytes out of its slot, uncopied, into a mapping with room for `room` bytes, and frees the
    /// slot. On failure the block stays as it is.
    ///
    /// # Safety
    /// The block at `address` is the caller's and lies in a slot; on success it is not used again.
    pub(super) unsafe fn move_out(&self, address: NonNull<u8>, size: usize, room: usize) -> Result<Mapping> {
        let (slot, state) = self.state(address);
        let len = round_up(size, page_size());
        // SAFETY: the slot is committed (W1), `len` lies in it, and the block is the caller's.
        let mapping = unsafe { self.region.move_out(slot * SLOT, len, room) }?;
        if state.high.load(Relaxed) <= len {
            // The moved pages left zeros behind, and nothing else of the slot was ever touched.
            self.used.fetch_sub(state.high.swap(0, Relaxed), Relaxed);
        }
        // SAFETY: the block is in the mapping now.
        unsafe { self.put(address) };
        Ok(mapping)
    }

    /// Gives the memory of free slots back until at most `keep` bytes of it are left; returns how many bytes went back.
    pub(super) fn purge(&self, keep: usize) -> usize {
        let mut purged = 0;
        let mut slots = self.slots.lock();
        let mut next = slots.free;
        while next != 0 && slots.resident > keep {
            let state = self.states.at(next - 1);
            let high = state.high.load(Relaxed);
            let len = high.min(round_up(slots.resident - keep, page_size()));
            let from = round_down(high - len, page_size());
            if high > from {
                // SAFETY: the end of a free slot, committed (W1), whole pages.
                if unsafe { self.region.purge((next - 1) * SLOT + from, high - from) }.is_err() {
                    // Locked pages stay; the others are likely to be locked too.
                    break;
                }
                state.high.store(from, Relaxed);
                slots.resident -= high - from;
                purged += high - from;
            }
            next = state.next.load(Relaxed);
        }
        self.resident.set(slots.resident);
        purged
    }

    /// Bytes of free slots that may be resident.
    pub(super) fn resident_bytes(&self) -> usize {
        self.resident.get()
    }

    /// The gauge of [`resident_bytes`](Self::resident_bytes).
    pub(super) fn resident(&self) -> &Gauge {
        &self.resident
    }

    /// Bytes of used slots that may be resident.
    pub(super) fn used_bytes(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Blocks in slots, and their bytes.
    pub(super) fn live(&self) -> RouteStats {
        let fresh = self.slots.lock().fresh;
        let mut live = RouteStats::default();
        for slot in 0..fresh {
            let size = self.states.at(slot).size.load(Relaxed);
            live.live += usize::from(size > 0);
            live.live_bytes += size;
        }
        live
    }

    /// Committed bytes of the slots.
    pub(super) fn bytes(&self) -> usize {
        self.region.committed()
    }

    /// Committed bytes of the slots' table.
    pub(super) fn metadata_bytes(&self) -> usize {
        self.states.bytes()
    }

    /// Calls `each` with every lock of this room, for `fork`.
    pub(super) fn locks(&self, each: &mut dyn FnMut(&RawLock)) {
        each(self.slots.raw());
    }
}
