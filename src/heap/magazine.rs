//! Magazines: arrays of free objects that move between threads whole (Bonwick and Adams, Magazines and Vmem, USENIX 2001).
//!
//! The objects themselves are never read or written while they are free.
//!
//! # Invariants
//! * **G1** a magazine is at any time in exactly one place: loaded or previous in one bin, or in one stack.
//! * **G2** its first `count` slots are objects of one class that are out of their slabs and not live; for a loaded magazine
//!   the bin's `top` says how many there are instead.

use super::class::{CLASSES, size_of_class};
use super::stack::{Counted, Links, Stack};
use super::table::{Table, ZeroInit};
use crate::error::Result;
use crate::lock::{Mutex, RawLock};
use crate::sync::{AtomicU32, Ordering::Relaxed};
use core::cell::UnsafeCell;

/// The bytes of a magazine with its header.
const MAGAZINE_BYTES: usize = 512;

/// The slots of a magazine.
pub(super) const SLOTS: usize = MAGAZINE_BYTES / size_of::<*mut u8>() - 16 / size_of::<*mut u8>();

/// A magazine of a large class holds at most this many bytes of objects, if that is at least two of them.
const MAX_LOAD: usize = 32 << 10;

/// How many magazines there can be at the same time, where addresses are plenty: as many as would hold 64 million objects.
const MAX_MAGAZINES: usize = 1 << 20;

/// And where they are not: two of every class for one thread.
const MIN_MAGAZINES: usize = 256;

const fn capacities() -> [u8; CLASSES] {
    let mut capacities = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let fit = MAX_LOAD / super::class::SIZES[class] as usize;
        capacities[class] = if fit > SLOTS {
            SLOTS as u8
        } else if fit < 2 {
            2
        } else {
            fit as u8
        };
        class += 1;
    }
    capacities
}

static CAPACITIES: [u8; CLASSES] = capacities();

/// The number of objects in a full magazine of a class.
#[inline(always)]
pub(super) fn capacity_of(class: usize) -> usize {
    usize::from(CAPACITIES[class])
}

/// The depot's share of what is live, for each class, and its bounds in bytes: more than that waits for nobody.
const DEPOT_SHARE: usize = 512;
const MIN_DEPOT: usize = 64 << 10;
const MAX_DEPOT: usize = 128 << 10;

/// How many full magazines of a class wait for a taker at most, while `live` bytes are in use in all.
pub(super) fn depot_limit(class: usize, live: usize) -> usize {
    (live / DEPOT_SHARE).clamp(MIN_DEPOT, MAX_DEPOT) / (capacity_of(class) * size_of_class(class)) + 1
}

/// A magazine. It is never unmapped, so that the link of one that somebody else has can be read.
#[repr(C, align(512))]
pub(super) struct Magazine {
    next: AtomicU32,
    /// Objects in it while it is not loaded.
    count: AtomicU32,
    /// Always null: what lies below the first slot, for a bin whose magazine is empty.
    floor: UnsafeCell<*mut u8>,
    slots: UnsafeCell<[*mut u8; SLOTS]>,
}

const _: () = assert!(size_of::<Magazine>() == MAGAZINE_BYTES);

// SAFETY: by G1 the slots are used by one thread at a time, handed over with acquire and release.
unsafe impl Sync for Magazine {}
// SAFETY: zero is a value of every field, and the slots change through an `UnsafeCell`.
unsafe impl ZeroInit for Magazine {}

/// The number of a magazine; 0 is none.
pub(super) type MagazineId = u32;

impl Magazine {
    /// The first slot.
    #[inline(always)]
    pub(super) fn slots(&self) -> *mut *mut u8 {
        self.slots.get().cast()
    }

    /// Objects in it, while it is not loaded.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// Notes how many objects are in it.
    #[inline(always)]
    pub(super) fn set_count(&self, count: usize) {
        self.count.store(count as u32, Relaxed);
    }
}

impl Links for Table<Magazine> {
    fn next(&self, id: u32) -> &AtomicU32 {
        &self.at(id as usize).next
    }
}

/// All magazines, the empty ones, and per class the full ones that wait for a thread: the depot.
pub(super) struct Depot {
    table: Table<Magazine>,
    made: Mutex<usize>,
    empty: Stack,
    full: [Counted; CLASSES],
}

impl Depot {
    pub(super) const fn new() -> Self {
        Self {
            table: Table::empty(),
            made: Mutex::new(0),
            empty: Stack::new(),
            full: [const { Counted::new() }; CLASSES],
        }
    }

    /// Reserves the table of magazines; once, before any other use.
    pub(super) fn reserve(&self) -> Result<()> {
        self.table.reserve(MAX_MAGAZINES, MIN_MAGAZINES)
    }

    /// The magazine of that number.
    #[inline(always)]
    pub(super) fn magazine(&self, id: MagazineId) -> &Magazine {
        self.table.at(id as usize)
    }

    /// An empty magazine; `None` if the system has no memory for one more.
    pub(super) fn take_empty(&self) -> Option<MagazineId> {
        self.empty.pop(&self.table).or_else(|| {
            let mut made = self.made.lock();
            let id = *made + 1;
            self.table.commit(id + 1).ok()?;
            *made = id;
            Some(id as MagazineId)
        })
    }

    /// Takes an empty magazine back.
    pub(super) fn put_empty(&self, id: MagazineId) {
        self.magazine(id).set_count(0);
        self.empty.push(&self.table, id);
    }

    /// A full magazine of a class.
    pub(super) fn take_full(&self, class: usize) -> Option<MagazineId> {
        self.full[class].take(&self.table)
    }

    /// Takes a full magazine, unless as many wait as may.
    pub(super) fn put_full(&self, class: usize, id: MagazineId, live: usize) -> bool {
        self.full[class].put(&self.table, id, depot_limit(class, live))
    }

    /// Full magazines of a class that nobody has needed since the last call.
    pub(super) fn idle(&self, class: usize) -> usize {
        self.full[class].idle()
    }

    /// Whether as many full magazines of a class wait as may.
    pub(super) fn is_full(&self, class: usize, live: usize) -> bool {
        self.full[class].count() >= depot_limit(class, live)
    }

    /// Objects of a class in full magazines.
    pub(super) fn objects(&self, class: usize) -> usize {
        self.full[class].count() * capacity_of(class)
    }

    /// Committed bytes of the table.
    pub(super) fn metadata_bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Calls `each` with every lock of this room, for `fork`.
    pub(super) fn locks(&self, each: &mut dyn FnMut(&RawLock)) {
        each(self.made.raw());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_are_bounded_in_slots_and_bytes() {
        for class in 0..CLASSES {
            let (capacity, size) = (capacity_of(class), size_of_class(class));
            assert!((2..=SLOTS).contains(&capacity));
            assert!(capacity == 2 || capacity * size <= MAX_LOAD);
        }
    }

    #[test]
    fn every_magazine_is_in_one_place_under_contention() {
        static DEPOT: Depot = Depot::new();
        DEPOT.reserve().unwrap();
        const HELD: usize = 8;
        const ROUNDS: usize = if cfg!(miri) { 50 } else { 20_000 };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        let ids: [_; HELD] = core::array::from_fn(|_| DEPOT.take_empty().unwrap());
                        for id in ids {
                            // Nobody else may hold it: a mark left by another holder would be seen.
                            let count = DEPOT.magazine(id).count.fetch_add(1, Relaxed);
                            assert_eq!(count, 0, "round {round}");
                        }
                        for id in ids {
                            assert_eq!(DEPOT.magazine(id).count.load(Relaxed), 1);
                            DEPOT.put_empty(id);
                        }
                    }
                });
            }
        });
        assert!(*DEPOT.made.lock() <= 4 * HELD);
    }

    #[test]
    fn the_depot_is_bounded_over_all_classes() {
        let bytes = |class| depot_limit(class, usize::MAX) * capacity_of(class) * size_of_class(class);
        assert!((0..CLASSES).map(bytes).sum::<usize>() <= 14 << 20);
    }

    #[test]
    fn the_depot_is_bounded_per_class() {
        static DEPOT: Depot = Depot::new();
        DEPOT.reserve().unwrap();
        let class = super::super::class::class_of(8 << 10);
        let mut kept = 0;
        for _ in 0..depot_limit(class, 0) + 5 {
            let id = DEPOT.take_empty().unwrap();
            kept += usize::from(DEPOT.put_full(class, id, 0));
        }
        assert_eq!(kept, depot_limit(class, 0));
        assert_eq!(DEPOT.objects(class), kept * capacity_of(class));
        while DEPOT.take_full(class).is_some() {
            kept -= 1;
        }
        assert_eq!((kept, DEPOT.objects(class)), (0, 0));
    }
}
