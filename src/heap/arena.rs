//! Arenas: large reservations that page runs and slabs are carved from, and the numbering of their pages.
//!
//! The engine counts in *units* of 4 KiB whatever the page size is; where pages are larger, runs are multiples of them.
//! A [`UnitId`] names a unit in any arena with 32 bits, so that the metadata of a run links to others in 4 bytes.
//!
//! # Invariants
//! * **A1** arenas are only added, never removed; `count` is raised after an arena is complete.
//! * **A2** the first `frontier` units of an arena are committed, and so is the metadata of each of them.
//! * **A3** every arena starts at a multiple of the largest slab, so that unit numbers and addresses have the same
//!   alignment.
//! * **A4** `huge` is whether huge pages are asked for anywhere, `huge_to` the end of the last range for which they were,
//!   `dense_to` up to where they will be without another look. They only decide what the kernel is asked.

use super::class::SLAB_UNIT;
use super::descriptor::{BITMAP_BYTES, Slab, Tag};
use super::options::{self, HugePages};
use super::table::Table;
use crate::error::{Error, Operation, Result};
use crate::map::Region;
use crate::page::{HUGE_UNIT, page_size, round_down, round_up};
use crate::sys;
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// The bytes of a unit.
pub(super) const UNIT: usize = 4 << 10;

/// The first bytes of an arena are in small pages unless asked otherwise: part of a huge page is much of so small a heap.
const DENSE_FROM: usize = 16 << 20;

/// How much of an arena is looked at to find out whether it is written: not less, and not more.
const MIN_SAMPLE: usize = 4 << 20;
const MAX_SAMPLE: usize = 8 << 20;

/// So much is added in huge pages after one look at the most.
const MAX_TRUST: usize = 256 << 20;

/// Units to a slab unit.
pub(super) const UNITS_PER_SLAB: u32 = (SLAB_UNIT / UNIT) as u32;

/// Unit numbers leave room for 64 GiB in an arena.
const ARENA_SHIFT: u32 = 24;
const MAX_ARENA_UNITS: usize = 1 << ARENA_SHIFT;

/// The largest arena: a little less than its numbers allow, so that no run reaches the first number of the next arena.
const MAX_ARENA_BYTES: usize = MAX_ARENA_UNITS * UNIT - HUGE_UNIT;

/// The smallest arena worth having.
const MIN_ARENA_BYTES: usize = 1 << 20;

/// As many arenas of 64 GiB as today's machines can fill; where the address space is limited they are smaller.
const MAX_ARENAS: usize = 128;

/// The number of a unit in all arenas: one more than the arena's above bit 24, the unit in it below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UnitId(pub(super) u32);

impl UnitId {
    /// No unit. It is zero so that the engine, before it is used, is zeros too and no part of the program's file.
    pub(super) const NONE: Self = Self(0);

    #[inline(always)]
    fn new(arena: usize, index: usize) -> Self {
        Self((((arena + 1) << ARENA_SHIFT) + index) as u32)
    }

    #[inline(always)]
    fn arena(self) -> usize {
        (self.0 >> ARENA_SHIFT).wrapping_sub(1) as usize
    }

    #[inline(always)]
    fn index(self) -> usize {
        (self.0 & (MAX_ARENA_UNITS as u32 - 1)) as usize
    }

    /// The unit `count` further on; the caller knows that both are in one run.
    #[inline(always)]
    pub(super) fn offset(self, count: u32) -> Self {
        Self(self.0 + count)
    }

    /// The unit before this one, if it is in the same arena.
    pub(super) fn previous(self) -> Option<Self> {
        (self.index() > 0).then(|| Self(self.0 - 1))
    }
}

struct Arena {
    data: Region,
    tags: Table<Tag>,
    slabs: Table<Slab>,
    bitmaps: Region,
    frontier: AtomicUsize,
    huge: AtomicBool,
    huge_to: AtomicUsize,
    dense_to: AtomicUsize,
}

impl Arena {
    const fn empty() -> Self {
        Self {
            data: Region::empty(),
            tags: Table::empty(),
            slabs: Table::empty(),
            bitmaps: Region::empty(),
            frontier: AtomicUsize::new(0),
            huge: AtomicBool::new(false),
            huge_to: AtomicUsize::new(0),
            dense_to: AtomicUsize::new(0),
        }
    }
}

/// What came of extending an arena.
pub(super) enum Extension {
    /// So many new units from this one on, all reading zero.
    Added(UnitId, u32),
    /// No arena has that many left: a new one is needed.
    NoRoom,
    /// The system refused memory.
    Refused,
}

/// All arenas of the process.
pub(super) struct Arenas {
    arenas: [Arena; MAX_ARENAS],
    count: AtomicUsize,
    /// Whether huge pages have been refused since somebody last asked.
    refused: AtomicBool,
}

impl Arenas {
    pub(super) const fn new() -> Self {
        Self {
            arenas: [const { Arena::empty() }; MAX_ARENAS],
            count: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
        }
    }

    fn live(&self) -> &[Arena] {
        &self.arenas[..self.count.load(Acquire).min(MAX_ARENAS)]
    }

    /// Adds an arena, as large as the system grants. Calls must not overlap.
    pub(super) fn add(&self) -> Result<()> {
        let number = self.count.load(Relaxed);
        let Some(arena) = self.arenas.get(number) else {
            return Err(Error::capacity(Operation::Map, MAX_ARENA_BYTES));
        };
        let mut bytes = MAX_ARENA_BYTES;
        if let Some(limit) = sys::address_space_limit() {
            // Most of a limited address space belongs to the program: stacks, libraries, large blocks.
            bytes = bytes.min(round_down(limit / 8, HUGE_UNIT).max(MIN_ARENA_BYTES));
        }
        loop {
            match arena.data.reserve(bytes, HUGE_UNIT) {
                Ok(()) => break,
                Err(error) if bytes <= MIN_ARENA_BYTES => return Err(error),
                Err(_) => bytes = round_up(bytes / 4, MIN_ARENA_BYTES),
            }
        }
        let units = bytes / UNIT;
        let slab_units = bytes / SLAB_UNIT;
        let metadata = arena
            .tags
            .reserve(units, units)
            .and_then(|()| arena.slabs.reserve(slab_units, slab_units))
            .and_then(|()| arena.bitmaps.reserve(round_up(slab_units * BITMAP_BYTES, page_size()), 1));
        if metadata.is_err() {
            arena.data.cancel();
            arena.tags.cancel();
            arena.slabs.cancel();
            arena.bitmaps.cancel();
            return metadata;
        }
        self.count.store(number + 1, Release);
        Ok(())
    }

    /// Commits at least `units` more units of an arena that has room, and about `ahead` more; returns the first and how
    /// many there are. Calls must not overlap.
    pub(super) fn extend(&self, units: u32, ahead: u32) -> Extension {
        for (number, arena) in self.live().iter().enumerate().rev() {
            let frontier = arena.frontier.load(Relaxed);
            let room = arena.data.len() / UNIT - frontier;
            if room < units as usize {
                continue;
            }
            // Ends at a whole huge page: one that is half handed out as small pages stays so.
            let end = round_up((frontier + (units + ahead) as usize) * UNIT, HUGE_UNIT) / UNIT;
            let generous = room.min(end - frontier);
            let grown = Self::commit(arena, frontier + generous).map(|()| generous).or_else(|_| {
                let exact = units as usize;
                Self::commit(arena, frontier + exact).map(|()| exact)
            });
            let Ok(grown) = grown else { return Extension::Refused };
            Self::ask_for_huge_pages(arena, frontier * UNIT, (frontier + grown) * UNIT);
            arena.frontier.store(frontier + grown, Release);
            let first = UnitId::new(number, frontier);
            return Extension::Added(first, grown as u32);
        }
        Extension::NoRoom
    }

    /// Asks for huge pages for new memory, by the policy.
    fn ask_for_huge_pages(arena: &Arena, from: usize, to: usize) {
        match options::huge_pages() {
            HugePages::Never => return,
            HugePages::Dense if !Self::is_dense(arena, from) => return,
            HugePages::Dense | HugePages::Always => {}
        }
        // The unit that the frontier was in the middle of is whole now.
        let (from, to) = (round_down(from, HUGE_UNIT), round_down(to, HUGE_UNIT));
        if from < to {
            arena.data.prefer_huge_pages(from, to - from);
            arena.huge_to.store(to, Relaxed);
            arena.huge.store(true, Relaxed);
        }
    }

    /// Whether what is added at the frontier is likely to be written whole, as what lies below it was. That shows in small
    /// pages only, a stretch of which is left before each look.
    fn is_dense(arena: &Arena, frontier: usize) -> bool {
        if frontier < DENSE_FROM {
            return false;
        }
        if frontier < arena.dense_to.load(Relaxed) {
            return true;
        }
        let small = (frontier - arena.huge_to.load(Relaxed).min(frontier)).min(MAX_SAMPLE);
        let mut resident = [0; MAX_SAMPLE / UNIT];
        let resident = &mut resident[..small / page_size()];
        let dense = small >= MIN_SAMPLE && arena.data.residency(frontier - small, resident).is_ok() && {
            resident.iter().filter(|&&page| page & 1 != 0).count() * 2 >= resident.len()
        };
        if dense {
            arena.dense_to.store(frontier + (3 * frontier).min(MAX_TRUST), Relaxed);
        }
        dense
    }

    /// Refuses huge pages where a part of one is to be given back: the kernel would make it whole again by and by
    /// (`khugepaged`), and its memory resident. Those that are whole stay.
    fn refuse_huge_pages(&self, arena: &Arena, offset: usize, len: usize) {
        let parts = !offset.is_multiple_of(HUGE_UNIT) || !len.is_multiple_of(HUGE_UNIT);
        if parts
            && offset + len > DENSE_FROM
            && options::huge_pages() == HugePages::Dense
            && arena.huge.swap(false, Relaxed)
        {
            arena.dense_to.store(0, Relaxed);
            let end = arena.data.committed();
            arena.data.refuse_huge_pages(DENSE_FROM, end.saturating_sub(DENSE_FROM));
            self.refused.store(true, Relaxed);
        }
    }

    fn commit(arena: &Arena, units: usize) -> Result<()> {
        let slab_units = (units * UNIT).div_ceil(SLAB_UNIT);
        arena.tags.commit(units)?;
        arena.slabs.commit(slab_units)?;
        arena.bitmaps.commit(slab_units * BITMAP_BYTES, SLAB_UNIT)?;
        arena.data.commit(units * UNIT, 0)
    }

    /// The address of a unit.
    #[inline(always)]
    pub(super) fn address(&self, unit: UnitId) -> NonNull<u8> {
        let base = self.arenas[unit.arena()].data.base();
        match NonNull::new(base.wrapping_add(unit.index() * UNIT)) {
            Some(address) => address,
            None => super::misuse::abort(b"mapalloc: corrupt page number\n"),
        }
    }

    /// The unit that holds an address, if it is below the frontier of an arena.
    #[inline]
    pub(super) fn unit_of(&self, address: *const u8) -> Option<UnitId> {
        for (number, arena) in self.live().iter().enumerate() {
            let offset = address.addr().wrapping_sub(arena.data.base().addr());
            if offset / UNIT < arena.frontier.load(Acquire) {
                return Some(UnitId::new(number, offset / UNIT));
            }
        }
        None
    }

    /// The boundary tag of a unit below the frontier.
    #[inline(always)]
    pub(super) fn tag(&self, unit: UnitId) -> &Tag {
        self.arenas[unit.arena()].tags.at(unit.index())
    }

    /// What `ask` says of the boundary tag of the unit that starts at an address; `false` where none does that is below the
    /// frontier of an arena. Best of the first one, which is the only one of all but huge heaps.
    #[inline(always)]
    pub(super) fn with_tag_at(&self, address: *const u8, ask: impl Fn(&Tag) -> bool) -> bool {
        let arena = &self.arenas[0];
        // Within a unit this is more than any number of one.
        let unit = address.addr().wrapping_sub(arena.data.base().addr()).rotate_right(UNIT.ilog2());
        if unit < arena.frontier.load(Acquire) {
            // SAFETY: A2: below the frontier, where tags are committed.
            return ask(unsafe { arena.tags.at_unchecked(unit) });
        }
        let elsewhere = self.unit_elsewhere(address);
        elsewhere != UnitId::NONE && ask(self.tag(elsewhere))
    }

    #[cold]
    #[inline(never)]
    fn unit_elsewhere(&self, address: *const u8) -> UnitId {
        self.unit_of(address).filter(|_| address.addr().is_multiple_of(UNIT)).unwrap_or(UnitId::NONE)
    }

    /// Whether a unit is below the frontier of its arena.
    pub(super) fn is_committed(&self, unit: UnitId) -> bool {
        unit.arena() < MAX_ARENAS && unit.index() < self.arenas[unit.arena()].frontier.load(Acquire)
    }

    /// The descriptor of the slab unit that a unit lies in.
    #[inline(always)]
    pub(super) fn slab(&self, unit: UnitId) -> &Slab {
        self.arenas[unit.arena()].slabs.at(unit.index() / UNITS_PER_SLAB as usize)
    }

    /// The out-of-line bitmap of the slab unit that a unit lies in.
    #[inline(always)]
    pub(super) fn bitmap(&self, unit: UnitId) -> *mut u8 {
        let slab_unit = unit.index() / UNITS_PER_SLAB as usize;
        self.arenas[unit.arena()].bitmaps.base().wrapping_add(slab_unit * BITMAP_BYTES)
    }

    /// The first unit of every slab unit below the frontiers.
    pub(super) fn slab_units(&self) -> impl Iterator<Item = UnitId> {
        self.live().iter().enumerate().flat_map(|(number, arena)| {
            let slab_units = arena.frontier.load(Acquire) / UNITS_PER_SLAB as usize;
            (0..slab_units).map(move |unit| UnitId::new(number, unit * UNITS_PER_SLAB as usize))
        })
    }

    /// Gives the memory of a range of units back; they read zero from then on.
    ///
    /// # Safety
    /// The units belong to the caller, are whole pages, and nothing in them is used.
    pub(super) unsafe fn purge(&self, first: UnitId, units: u32) -> Result<()> {
        let arena = &self.arenas[first.arena()];
        let (offset, len) = (first.index() * UNIT, units as usize * UNIT);
        self.refuse_huge_pages(arena, offset, len);
        // SAFETY: the caller's contract; the range lies in the arena's committed part (A2).
        unsafe { arena.data.purge(offset, len) }
    }

    /// Whether huge pages have been refused since the last call: until then, what was never used may be resident, as a
    /// part of a huge page of which another was.
    pub(super) fn has_refused(&self) -> bool {
        self.refused.load(Relaxed) && self.refused.swap(false, Relaxed)
    }

    /// Committed bytes of the arenas.
    pub(super) fn bytes(&self) -> usize {
        self.live().iter().map(|arena| arena.data.committed()).sum()
    }

    /// Committed bytes of the arenas' metadata.
    pub(super) fn metadata_bytes(&self) -> usize {
        self.live().iter().map(|arena| arena.tags.bytes() + arena.slabs.bytes() + arena.bitmaps.committed()).sum()
    }
}
