//! The front end: what each thread keeps to allocate and free without a lock or an atomic read-modify-write.
//!
//! For every size class a thread has a loaded magazine, whose slots the fast path pops and pushes, and a previous one that
//! is either full or empty, so that no sequence of allocations and frees goes to the depot at every step. Freed page runs
//! wait in a small table by length. The thread-local pointer starts at a cache that is always both empty and full, so that
//! the fast path tests nothing else.
//!
//! # Invariants
//! * **K1** an attached cache is used by its thread alone; others only read its counters, and may take its previous
//!   magazines and its runs out, each by one exchange.
//! * **K2** in a bin `floor <= top <= limit`, all in one magazine; the slots above `floor` to `top` are free objects of the
//!   class, none of them null, and `*floor` is null. A bin without a magazine has all three at one null that is nobody's.
//! * **K3** the idle cache is never written: no bin of it has a magazine, so every fast path gives up on them.
//! * **K4** `busy` is set while a slow path changes what `fork` must not see half-changed.

use super::Heap;
use super::arena::UNIT;
use super::class::{CLASSES, SCALE, size_of_class};
use super::handover::{NumberPlace, PointerPlace};
use super::magazine::{MagazineId, SLOTS, capacity_of};
use super::roster::Member;
use super::route::MAX_RUN_SIZE;
use super::table::ZeroInit;
use crate::stats::RouteStats;
use core::cell::Cell;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// A value that the owner of the cache alone reads and writes: nobody else looks at it, so it need not be atomic.
struct Owned<T>(Cell<T>);

// SAFETY: by K1 one thread uses it, the cache's owner; a new owner gets the cache through a lock.
unsafe impl<T> Sync for Owned<T> {}

impl<T: Copy> Owned<T> {
    const fn new(value: T) -> Self {
        Self(Cell::new(value))
    }

    #[inline(always)]
    fn get(&self) -> T {
        self.0.get()
    }

    #[inline(always)]
    fn set(&self, value: T) {
        self.0.set(value);
    }
}

/// The bin of a size class.
#[repr(C, align(32))]
pub(super) struct Bin {
    /// The slot of the last object; the null below the slots if there is none.
    top: AtomicPtr<*mut u8>,
    /// The slot that is the last to be filled.
    limit: Owned<*mut *mut u8>,
    /// The slot below the first one.
    floor: AtomicPtr<*mut u8>,
    loaded: AtomicU32,
    previous: NumberPlace,
}

const _: () = assert!(size_of::<Bin>() == SCALE);

/// Freed runs that a thread keeps: eight of up to 64 KiB, four of up to 256 KiB and one longer one.
const RUN_SLOTS: usize = 13;

/// The slot of a length; where pages are larger than units, the low bits of all lengths are zero.
#[inline(always)]
fn run_slot(units: u32) -> usize {
    let mixed = (units ^ (units >> 4)) as usize;
    if units <= 16 {
        mixed % 8
    } else if units <= 64 {
        8 + mixed % 4
    } else {
        12
    }
}

/// A freed run: its address, and below the bits of a page its length in units; null for none. Others may take it out.
struct RunSlot(PointerPlace);

/// The bits of the length.
const UNITS_MASK: usize = UNIT - 1;

const _: () = assert!(MAX_RUN_SIZE / UNIT <= UNITS_MASK);

impl RunSlot {
    fn pack(address: NonNull<u8>, units: u32) -> *mut u8 {
        address.as_ptr().wrapping_add(units as usize)
    }

    fn unpack(packed: *mut u8) -> Option<(NonNull<u8>, u32)> {
        let units = packed.addr() & UNITS_MASK;
        NonNull::new(packed.wrapping_sub(units)).map(|address| (address, units as u32))
    }
}

/// A thread that frees more than it allocates keeps one part in this many of a magazine.
const DRAINING_SHARE: usize = 4;

/// Calls to the fallback heap by one thread, which alone writes them: no read-modify-write is needed.
#[repr(C)]
pub(crate) struct FallbackCounts {
    allocations: AtomicUsize,
    frees: AtomicUsize,
    reallocations: AtomicUsize,
    /// Bytes allocated and bytes freed: two sums, so that neither waits for the other's last addition. Wrapping.
    bytes_allocated: AtomicUsize,
    bytes_freed: AtomicUsize,
}

impl FallbackCounts {
    pub(super) const fn new() -> Self {
        Self {
            allocations: AtomicUsize::new(0),
            frees: AtomicUsize::new(0),
            reallocations: AtomicUsize::new(0),
            bytes_allocated: AtomicUsize::new(0),
            bytes_freed: AtomicUsize::new(0),
        }
    }

    #[inline(always)]
    fn add(counter: &AtomicUsize, n: usize) {
        counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Counts a new allocation.
    #[inline(always)]
    pub(crate) fn allocated(&self, bytes: usize) {
        Self::add(&self.allocations, 1);
        Self::add(&self.bytes_allocated, bytes);
    }

    /// Counts a free.
    #[inline(always)]
    pub(crate) fn freed(&self, bytes: usize) {
        Self::add(&self.frees, 1);
        Self::add(&self.bytes_freed, bytes);
    }

    /// Counts a change of size.
    #[inline(always)]
    pub(crate) fn reallocated(&self, bytes: usize, new_bytes: usize) {
        Self::add(&self.reallocations, 1);
        Self::add(&self.bytes_allocated, new_bytes);
        Self::add(&self.bytes_freed, bytes);
    }

    /// Adds the counts of one call to these, which threads share: without a lock, of which a fork would have to know.
    pub(super) fn share(&self, call: &Self) {
        let pairs = [
            (&self.allocations, &call.allocations),
            (&self.frees, &call.frees),
            (&self.reallocations, &call.reallocations),
            (&self.bytes_allocated, &call.bytes_allocated),
            (&self.bytes_freed, &call.bytes_freed),
        ];
        for (sum, counter) in pairs {
            sum.fetch_add(counter.load(Relaxed), Relaxed);
        }
    }

    /// Adds these counts to a sum over threads.
    pub(super) fn add_to(&self, live: &mut RouteStats, calls: &mut u64) {
        let (allocations, frees) = (self.allocations.load(Relaxed), self.frees.load(Relaxed));
        live.live = live.live.wrapping_add(allocations.wrapping_sub(frees));
        let bytes = self.bytes_allocated.load(Relaxed).wrapping_sub(self.bytes_freed.load(Relaxed));
        live.live_bytes = live.live_bytes.wrapping_add(bytes);
        *calls += (allocations + frees + self.reallocations.load(Relaxed)) as u64;
    }
}

/// What one thread keeps.
#[repr(C, align(64))]
pub(super) struct ThreadCache {
    fallback: FallbackCounts,
    /// Whether a thread owns this cache; never for the idle one.
    attached: AtomicBool,
    busy: AtomicBool,
    /// Where slabs are shared out among threads, which part is this one's: see `slab`.
    shelf: AtomicU32,
    registered: AtomicPtr<ThreadCache>,
    next_free: AtomicPtr<ThreadCache>,
    bins: [Bin; CLASSES],
    runs: [RunSlot; RUN_SLOTS],
}

// SAFETY: atomics and pointers only, for which zero is a value; `prepare` follows.
unsafe impl ZeroInit for ThreadCache {}

impl Member for ThreadCache {
    fn registered(&self) -> &AtomicPtr<Self> {
        &self.registered
    }

    fn next_free(&self) -> &AtomicPtr<Self> {
        &self.next_free
    }
}

/// The slots of a bin without a magazine: none, and the null below them.
struct Nothing(AtomicPtr<u8>);

static NOTHING: Nothing = Nothing(AtomicPtr::new(null_mut()));

impl Nothing {
    const fn slot(&'static self) -> *mut *mut u8 {
        self.0.as_ptr()
    }
}

/// The cache of threads that have none (K3).
static IDLE: ThreadCache = ThreadCache {
    fallback: FallbackCounts::new(),
    attached: AtomicBool::new(false),
    busy: AtomicBool::new(false),
    shelf: AtomicU32::new(0),
    registered: AtomicPtr::new(null_mut()),
    next_free: AtomicPtr::new(null_mut()),
    bins: [const {
        Bin {
            top: AtomicPtr::new(NOTHING.slot()),
            limit: Owned::new(NOTHING.slot()),
            floor: AtomicPtr::new(NOTHING.slot()),
            loaded: AtomicU32::new(0),
            previous: NumberPlace::new(),
        }
    }; CLASSES],
    runs: [const { RunSlot(PointerPlace::new()) }; RUN_SLOTS],
};

/// How a thread stands to its cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not asked for one yet.
    Fresh,
    /// It has one, or it cannot have one any more: it is ending, or there was no memory for it.
    Settled,
}

thread_local! {
    // Both are constant-initialised and have no destructor: a plain access at all times, before, during and after the
    // destructors of the thread's other values.
    static CACHE: Cell<&'static ThreadCache> = const { Cell::new(&IDLE) };
    static PHASE: Cell<Phase> = const { Cell::new(Phase::Fresh) };
}

/// The calling thread's cache, or the idle one.
#[inline(always)]
pub(super) fn current() -> &'static ThreadCache {
    CACHE.get()
}

/// How the calling thread stands to its cache.
pub(super) fn phase() -> Phase {
    PHASE.get()
}

/// Gives the calling thread its cache.
pub(super) fn attach(cache: &'static ThreadCache) {
    cache.attached.store(true, Release);
    CACHE.set(cache);
    PHASE.set(Phase::Settled);
}

/// Leaves the calling thread without a cache, for good.
pub(super) fn detach() {
    CACHE.set(&IDLE);
    PHASE.set(Phase::Settled);
}

/// Sets `busy` for a scope (K4).
struct Busy<'a>(&'a ThreadCache);

impl<'a> Busy<'a> {
    fn new(cache: &'a ThreadCache) -> Self {
        cache.busy.store(true, Relaxed);
        core::sync::atomic::fence(Release);
        Self(cache)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Release);
    }
}

impl Bin {
    /// Takes the last object, if there is one.
    #[inline(always)]
    fn pop(&self) -> Option<*mut u8> {
        // SAFETY: K2: `top` is a slot with an object, which is the caller's from here on, or the null below the slots.
        let object = unsafe { *self.top.load(Relaxed) };
        if object.is_null() {
            return None;
        }
        // Loaded again, which makes it one instruction that changes memory in place.
        self.top.store(self.top.load(Relaxed).wrapping_sub(1), Relaxed);
        Some(object)
    }

    /// Whether an object is the last that was added.
    #[inline(always)]
    fn is_last(&self, object: *mut u8) -> bool {
        // SAFETY: K2: a slot with an object, or the null below the slots.
        unsafe { *self.top.load(Relaxed) == object }
    }

    /// Adds an object, if there is room.
    #[inline(always)]
    fn push(&self, object: *mut u8) -> bool {
        let top = self.top.load(Relaxed);
        if top == self.limit.get() {
            return false;
        }
        // SAFETY: K2: `top < limit`, so the slot above is in the loaded magazine, and free.
        unsafe { *top.add(1) = object };
        // The release keeps the slot's value before its count, for a child of `fork`.
        self.top.store(self.top.load(Relaxed).wrapping_add(1), Release);
        true
    }

    /// Leaves the bin without a loaded magazine.
    fn clear(&self) {
        self.top.store(NOTHING.slot(), Relaxed);
        self.floor.store(NOTHING.slot(), Relaxed);
        self.limit.set(NOTHING.slot());
        self.loaded.store(0, Relaxed);
    }

    /// Objects in the loaded magazine.
    fn loaded_count(&self) -> usize {
        let bytes = self.top.load(Relaxed).addr().wrapping_sub(self.floor.load(Relaxed).addr());
        // Another thread's view may mix two magazines; its own never exceeds one.
        (bytes / size_of::<*mut u8>()).min(SLOTS)
    }

    /// Makes a magazine the loaded one.
    fn load(&self, heap: &Heap, class: usize, id: MagazineId) {
        let magazine = heap.depot.magazine(id);
        let floor = magazine.slots().wrapping_sub(1);
        self.loaded.store(id, Relaxed);
        self.floor.store(floor, Relaxed);
        // Within the magazine: a capacity is at most its slots.
        self.limit.set(floor.wrapping_add(capacity_of(class)));
        self.top.store(floor.wrapping_add(magazine.count()), Release);
    }

    /// Takes the loaded magazine out; 0 if there is none.
    fn unload(&self, heap: &Heap) -> MagazineId {
        let id = self.loaded.load(Relaxed);
        if id != 0 {
            heap.depot.magazine(id).set_count(self.loaded_count());
            self.clear();
        }
        id
    }

    /// Whether the loaded magazine may be filled in part only.
    fn is_narrow(&self, class: usize) -> bool {
        let slots = self.limit.get().addr().wrapping_sub(self.floor.load(Relaxed).addr()) / size_of::<*mut u8>();
        self.loaded.load(Relaxed) != 0 && slots < capacity_of(class)
    }

    /// Lets the loaded magazine, which is empty, be filled in part only, until the next one is loaded.
    fn narrow(&self, class: usize) {
        let slots = (capacity_of(class) / DRAINING_SHARE).max(1);
        self.limit.set(self.floor.load(Relaxed).wrapping_add(slots));
    }

    /// Lets the loaded magazine be filled whole.
    fn widen(&self, class: usize) {
        self.limit.set(self.floor.load(Relaxed).wrapping_add(capacity_of(class)));
    }

    /// Objects in both magazines.
    fn count(&self, heap: &Heap) -> usize {
        let previous = match self.previous.peek() {
            0 => 0,
            id => heap.depot.magazine(id).count(),
        };
        self.loaded_count() + previous
    }
}

impl ThreadCache {
    /// An object of a class, if the loaded magazine has one.
    #[inline(always)]
    pub(super) fn pop(&self, class: usize) -> Option<*mut u8> {
        self.bins[class].pop()
    }

    /// Whether an object of a class was freed last, and is free still.
    pub(super) fn is_last(&self, class: usize, object: *mut u8) -> bool {
        self.bins[class].is_last(object)
    }

    /// Keeps an object of a class, unless the loaded magazine is full.
    #[inline(always)]
    pub(super) fn push(&self, class: usize, object: *mut u8) -> bool {
        self.bins[class].push(object)
    }

    /// Whether a thread owns this cache.
    #[inline(always)]
    pub(super) fn is_attached(&self) -> bool {
        self.attached.load(Relaxed)
    }

    /// The counts of this thread's calls to the fallback heap.
    #[inline(always)]
    pub(super) fn fallback(&self) -> &FallbackCounts {
        &self.fallback
    }

    /// Free objects of a class that this cache holds.
    pub(super) fn cached(&self, heap: &Heap, class: usize) -> usize {
        self.bins[class].count(heap)
    }

    /// Free runs that this cache holds, and their bytes.
    pub(super) fn cached_runs(&self) -> RouteStats {
        let runs = self.runs.iter().filter_map(|slot| RunSlot::unpack(slot.0.peek()));
        runs.fold(RouteStats::default(), |sum, (_, units)| RouteStats {
            live: sum.live + 1,
            live_bytes: sum.live_bytes + units as usize * UNIT,
        })
    }

    /// Makes a new cache usable, which is the `number`th.
    pub(super) fn prepare(&self, number: usize) {
        self.shelf.store(number as u32, Relaxed);
        self.bins.iter().for_each(Bin::clear);
    }

    /// An object of a class where the loaded magazine had none: from the previous magazine, the depot, or the slabs.
    pub(super) fn refill(&self, heap: &Heap, class: usize) -> Option<*mut u8> {
        let busy = Busy::new(self);
        let bin = &self.bins[class];
        let previous = bin.previous.take();
        if previous != 0 && heap.depot.magazine(previous).count() > 0 {
            let empty = bin.unload(heap);
            bin.load(heap, class, previous);
            self.keep_empty(heap, bin, empty);
            let object = bin.pop();
            drop(busy);
            return object;
        }
        self.keep_empty(heap, bin, previous);
        if let Some(full) = heap.depot.take_full(class) {
            let empty = bin.unload(heap);
            bin.load(heap, class, full);
            self.keep_empty(heap, bin, empty);
        } else {
            let id = match bin.loaded.load(Relaxed) {
                0 => match heap.depot.take_empty() {
                    Some(id) => id,
                    None => return heap.take_one(class),
                },
                id => id,
            };
            let magazine = heap.depot.magazine(id);
            // SAFETY: the magazine is this bin's, empty, and has at least the class's capacity in slots.
            let slots = unsafe { core::slice::from_raw_parts_mut(magazine.slots(), capacity_of(class)) };
            let count = heap.slabs.take(&heap.runs, class, self.shelf(), slots);
            magazine.set_count(count);
            bin.load(heap, class, id);
        }
        let object = bin.pop();
        drop(busy);
        object
    }

    fn shelf(&self) -> usize {
        self.shelf.load(Relaxed) as usize
    }

    /// Makes an empty magazine the previous one, or gives it back if there is one already.
    fn keep_empty(&self, heap: &Heap, bin: &Bin, empty: MagazineId) {
        if empty == 0 {
            return;
        }
        heap.depot.magazine(empty).set_count(0);
        if bin.previous.peek() == 0 {
            bin.previous.put(empty);
        } else {
            heap.depot.put_empty(empty);
        }
    }

    /// Keeps an object of a class where the loaded magazine was full: the full one goes to the depot, or, if enough wait
    /// there, back to the slabs.
    ///
    /// # Safety
    /// The object is of this class and nothing uses it again.
    pub(super) unsafe fn spill(&self, heap: &Heap, class: usize, object: *mut u8) {
        let busy = Busy::new(self);
        let bin = &self.bins[class];
        let narrow = bin.is_narrow(class);
        let live = heap.runs.filled_bytes();
        let full = heap.depot.is_full(class, live);
        if narrow && !full {
            bin.widen(class);
            let kept = bin.push(object);
            debug_assert!(kept);
            return;
        }
        let previous = bin.previous.take();
        let loaded = bin.unload(heap);
        let mut draining = false;
        let empty = if previous != 0 && heap.depot.magazine(previous).count() == 0 {
            bin.previous.put(loaded);
            Some(previous)
        } else if (previous == 0 && !full) || (previous != 0 && !narrow && heap.depot.put_full(class, previous, live)) {
            bin.previous.put(loaded);
            heap.depot.take_empty()
        } else {
            // More is freed than allocated: all goes home, and less is kept while this lasts, so that few objects keep
            // few pages from going further.
            draining = true;
            for id in [previous, loaded].into_iter().filter(|&id| id != 0) {
                // SAFETY: by G2 the magazines' objects are free objects of this class.
                unsafe { empty_magazine(heap, class, id) };
            }
            if previous != 0 && loaded != 0 {
                heap.depot.put_empty(previous);
            }
            if loaded != 0 { Some(loaded) } else { heap.depot.take_empty() }
        };
        if let Some(id) = empty {
            heap.depot.magazine(id).set_count(0);
            bin.load(heap, class, id);
            if draining {
                bin.narrow(class);
            }
        }
        if !bin.push(object) {
            // No memory for a magazine: the object goes home directly.
            // SAFETY: the caller's contract.
            unsafe { heap.slabs.put(&heap.runs, class, &[object]) };
        }
        drop(busy);
    }

    /// A run of exactly so many units, if one was kept.
    #[inline(always)]
    pub(super) fn pop_run(&self, units: u32, align: usize) -> Option<NonNull<u8>> {
        self.runs[run_slot(units)].0.take_if(|kept| {
            let (address, kept_units) = RunSlot::unpack(kept)?;
            (kept_units == units && address.addr().get() & (align - 1) == 0).then_some(address)
        })
    }

    /// Keeps a freed run, if its slot is empty.
    ///
    /// # Safety
    /// The cache is the calling thread's; as for [`push_run`](Self::push_run), if this is `true`.
    #[inline(always)]
    pub(super) unsafe fn keep_run(&self, address: NonNull<u8>, units: u32) -> bool {
        let slot = &self.runs[run_slot(units)].0;
        let keeps = slot.peek().is_null();
        if keeps {
            slot.put(RunSlot::pack(address, units));
        }
        keeps
    }

    /// Keeps a freed run of at most [`MAX_RUN_SIZE`] bytes. Returns what it replaces, if anything, or the run itself if
    /// the cache is nobody's.
    ///
    /// # Safety
    /// The run is free, of this length, and nothing uses it again.
    #[inline(always)]
    pub(super) unsafe fn push_run(&self, address: NonNull<u8>, units: u32) -> Option<(NonNull<u8>, u32)> {
        if !self.is_attached() {
            return Some((address, units));
        }
        let slot = &self.runs[run_slot(units)].0;
        let packed = RunSlot::pack(address, units);
        RunSlot::unpack(slot.replace(packed))
    }

    /// Returns the runs that this cache holds to the pools. Any thread may.
    pub(super) fn evict_runs(&self, heap: &Heap) {
        for slot in self.runs.iter().filter(|slot| !slot.0.peek().is_null()) {
            if let Some((address, units)) = RunSlot::unpack(slot.0.take()) {
                // SAFETY: a kept run is a whole free run, by the contract of `push_run`, and has just left the cache.
                unsafe { heap.runs.put(address, units) };
            }
        }
    }

    /// Returns the objects of previous magazines to their slabs; returns how many bytes. Any thread may.
    pub(super) fn evict_previous(&self, heap: &Heap) -> usize {
        let mut bytes = 0;
        for (class, bin) in self.bins.iter().enumerate().filter(|(_, bin)| bin.previous.peek() != 0) {
            let previous = bin.previous.take();
            if previous != 0 {
                bytes += heap.depot.magazine(previous).count() * size_of_class(class);
                // SAFETY: by G2 the magazine's objects are free objects of this class, and it has just left the bin.
                unsafe { empty_magazine(heap, class, previous) };
                heap.depot.put_empty(previous);
            }
        }
        bytes
    }

    /// Gives everything that the cache holds back: full magazines to the depot, the rest to the slabs and the runs.
    ///
    /// # Safety
    /// The caller owns the cache: it is the thread's, or the thread is gone.
    pub(super) unsafe fn flush(&self, heap: &Heap) {
        let busy = Busy::new(self);
        for (class, bin) in self.bins.iter().enumerate() {
            let previous = bin.previous.take();
            for id in [bin.unload(heap), previous] {
                if id == 0 {
                    continue;
                }
                let count = heap.depot.magazine(id).count();
                if count == capacity_of(class) && heap.depot.put_full(class, id, heap.runs.filled_bytes()) {
                    continue;
                }
                // SAFETY: by G2 the magazine's objects are free objects of this class.
                unsafe { empty_magazine(heap, class, id) };
                heap.depot.put_empty(id);
            }
        }
        self.evict_runs(heap);
        drop(busy);
    }

    /// Ends the ownership of the cache by its thread.
    pub(super) fn release(&self) {
        self.attached.store(false, Release);
    }

    /// Whether a thread that did not survive `fork` owned this cache and left it whole.
    pub(super) fn is_orphaned_whole(&self) -> bool {
        self.attached.load(Acquire) && !self.busy.load(Acquire)
    }

    /// Bytes of objects that a cache can hold at the most, for the documentation's sake checked against the figure there.
    #[cfg(test)]
    pub(super) fn worst_case_bytes() -> usize {
        (0..CLASSES).map(|class| 2 * capacity_of(class) * size_of_class(class)).sum::<usize>()
            + ((8 * 64 + 4 * 256 + 4096) << 10)
    }
}

/// Returns the objects of a magazine to their slabs.
///
/// # Safety
/// They are free objects of this class, and the magazine is the caller's.
pub(super) unsafe fn empty_magazine(heap: &Heap, class: usize, id: MagazineId) {
    let magazine = heap.depot.magazine(id);
    // SAFETY: by G2 the first `count` slots are initialised; the magazine is the caller's.
    unsafe {
        let objects = core::slice::from_raw_parts(magazine.slots(), magazine.count());
        heap.slabs.put(&heap.runs, class, objects);
    }
    magazine.set_count(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_cache_is_bounded() {
        assert!(ThreadCache::worst_case_bytes() <= 11 << 20);
        assert!(size_of::<ThreadCache>() <= 4096);
    }
}
