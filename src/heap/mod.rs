//! The engine: one per process, shared by every `PageAlloc`.
//!
//! A request above the fallback's limit takes one of three routes, by its layout alone (`route`):
//!
//! * **size classes** to 32 KiB: a magazine of the thread (`cache`), then the depot of full magazines (`magazine`), then
//!   slabs (`slab`), which are page runs;
//! * **page runs** to 4 MiB: a run that the thread has just freed (`cache`), then the exact fit among all runs (`run`) in
//!   the arenas (`arena`);
//! * **large**: a mapping of its own, kept for reuse when freed (`large`).
//!
//! A block of the latter two that is reallocated upwards moves to a growth slot (`growth`). How much free memory stays
//! resident is `budget`'s to say and [`Heap::settle`]'s to see to. The engine makes no system call itself, allocates
//! nothing from any heap, and never panics or unwinds; where memory is known to be corrupt it ends the program (`misuse`).
//!
//! Locks nest in one order: setting up, then the growth slots; a shelf of slabs, then the runs. Every other lock is taken with no
//! lock held.

mod arena;
mod background;
mod budget;
mod cache;
mod class;
mod descriptor;
mod extent;
mod fork;
mod gauge;
mod growth;
mod handover;
mod large;
mod magazine;
pub(crate) mod misuse;
mod options;
mod order;
mod roster;
mod route;
mod run;
pub(crate) mod setup;
mod slab;
mod stack;
mod table;
mod threads;
mod watch;

pub(crate) use class::{CLASSES, MAX_CLASS_SIZE, class_of, object_at, size_of_class, slab_bytes};
pub use options::HugePages;
pub(crate) use options::{Options, obey};
pub(crate) use route::{is_class, routed_size};

use crate::map::zero_pages;
use crate::page::{page_size, round_up};
use crate::stats::{RouteStats, Stats};
use crate::sys::{self, poison, unpoison};
use arena::UNIT;
use cache::{FallbackCounts, Phase};
use core::ptr::{NonNull, null_mut};
use growth::Change;
use route::{GROWTH_MIN, PageRoute, page_route};
use run::units_for;

/// The engine of the process.
static HEAP: Heap = Heap::new();

struct Heap {
    /// If the engine cannot be set up, the fallback heap serves everything, for ever.
    setup: setup::SetUp,
    threads: threads::Threads,
    depot: magazine::Depot,
    slabs: slab::Slabs,
    runs: run::Runs,
    large: large::Large,
    growth: growth::Growth,
    budget: budget::Budget,
    background: background::Background,
    /// Counts of the fallback heap for threads without a cache.
    uncached: FallbackCounts,
}

/// The answer to a request: a block, no memory, or no engine at all.
pub(crate) enum Answer {
    /// The block, or null.
    Block(*mut u8),
    /// The engine could not be set up: the fallback heap is to serve the request.
    Unavailable,
}

// ---- The size classes ----

/// An object of a class, if the thread's loaded magazine has one: the fast path.
#[inline(always)]
pub(crate) fn pop_class(class: usize) -> Option<*mut u8> {
    let object = cache::current().pop(class)?;
    unpoison(object, size_of_class(class));
    Some(object)
}

/// An object of a class, where the fast path found none.
#[inline(never)]
pub(crate) fn alloc_class(class: usize) -> Answer {
    match pop_class(class) {
        Some(object) => Answer::Block(object),
        None => HEAP.alloc_class_slow(class),
    }
}

/// Keeps a freed object of a class, if the thread's loaded magazine has room: the fast path.
///
/// # Safety
/// The object was allocated for this class, and nothing uses it again if this is `true`.
#[inline(always)]
pub(crate) unsafe fn push_class(object: *mut u8, class: usize) -> bool {
    poison(object, size_of_class(class));
    cache::current().push(class, object)
}

/// Frees an object of a class. `false` if the engine is unavailable and the object is the fallback's.
///
/// # Safety
/// The object was allocated for this class, or by the fallback, and nothing uses it again.
#[inline(never)]
pub(crate) unsafe fn dealloc_class(object: *mut u8, class: usize) -> bool {
    // SAFETY: the caller's contract.
    unsafe { push_class(object, class) || HEAP.dealloc_class_slow(object, class) }
}

/// Reallocates within the size classes, if the thread's magazines allow it: the fast path of what grows in small steps.
///
/// # Safety
/// The block was allocated with this size and an alignment of at most 8 bytes, by the engine unless that is unavailable;
/// nothing uses it again if another address is returned.
#[inline(always)]
pub(crate) unsafe fn realloc_class(block: *mut u8, size: usize, new_size: usize) -> Option<*mut u8> {
    if !is_class(size) || !is_class(new_size) {
        return None;
    }
    let (old_class, new_class) = (class_of(size), class_of(new_size));
    if old_class == new_class {
        // Without an engine the block has only the size that was asked for.
        return HEAP.setup.was_ready().then_some(block);
    }
    let new = pop_class(new_class)?;
    // SAFETY: both hold the smaller size; the thread's magazines have objects only if the engine is available, so the
    // old block is an object of its class.
    unsafe {
        core::ptr::copy_nonoverlapping(block, new, size.min(new_size));
        dealloc_class(block, old_class);
    }
    Some(new)
}

// ---- Pages ----

/// What was freed last and is exactly what a block above the size classes needs: a page run that this thread has freed, or
/// a large block.
#[inline(always)]
pub(crate) fn pop_pages(size: usize, align: usize) -> Option<*mut u8> {
    if page_route(size, align) != PageRoute::Run {
        let block = HEAP.large.take_last(size, align)?;
        HEAP.rose();
        return Some(block.as_ptr());
    }
    let units = units_for(size);
    let address = cache::current().pop_run(units, align)?.as_ptr();
    unpoison(address, units as usize * UNIT);
    Some(address)
}

/// Keeps a freed page run, if the thread has room for it.
///
/// # Safety
/// The block was allocated with this size and alignment, above the size classes, and nothing uses it again if this is
/// `true`.
#[inline(always)]
pub(crate) unsafe fn push_run(block: *mut u8, size: usize, align: usize) -> bool {
    if page_route(size, align) != PageRoute::Run || (size >= GROWTH_MIN && HEAP.growth.contains(block)) {
        return false;
    }
    let cache = cache::current();
    if !cache.is_attached() {
        return false;
    }
    let units = units_for(size);
    // SAFETY: a block is not null.
    let run = unsafe { NonNull::new_unchecked(block) };
    // While the run is the caller's: as soon as it is kept, another thread may take it and return it.
    if !HEAP.runs.may_be(run, units) {
        misuse::abort_at(b"free of what is no page run of that size, or double free,", block);
    }
    poison(block, units as usize * UNIT);
    // SAFETY: the caller's contract; a block of this route outside of the growth slots is a run of these units.
    unsafe { cache.keep_run(run, units) }
}

/// A block above the size classes.
#[inline(never)]
pub(crate) fn alloc_pages(size: usize, align: usize, zeroed: bool) -> Answer {
    if !HEAP.is_ready() {
        return Answer::Unavailable;
    }
    Answer::Block(HEAP.alloc_pages(size, align, zeroed).map_or(null_mut(), NonNull::as_ptr))
}

/// Frees a block above the size classes. `false` if the engine is unavailable and the block is the fallback's.
///
/// # Safety
/// The block was allocated with this size and alignment, and nothing uses it again.
#[inline(never)]
pub(crate) unsafe fn dealloc_pages(block: *mut u8, size: usize, align: usize) -> bool {
    if !HEAP.is_ready() {
        return false;
    }
    if let Some(block) = NonNull::new(block) {
        // SAFETY: the caller's contract.
        unsafe { HEAP.dealloc_pages(block, size, align) };
    }
    true
}

/// Reallocates a block of the engine's to a size that the engine serves too: in place where that can be, else by moving
/// its pages, else by a copy. Null leaves the block as it was.
///
/// # Safety
/// The block was allocated by the engine (or by the fallback, if the engine is unavailable) with this size and alignment;
/// if another address is returned, the old one is not used again.
#[inline(never)]
pub(crate) unsafe fn realloc(block: *mut u8, size: usize, align: usize, new_size: usize) -> Answer {
    if !HEAP.is_ready() {
        return Answer::Unavailable;
    }
    // SAFETY: the caller's contract.
    unsafe { HEAP.realloc(block, size, align, new_size) }
}

// ---- The whole ----

/// Counts a call to the fallback heap.
#[inline(always)]
pub(crate) fn count_fallback(count: impl FnOnce(&FallbackCounts)) {
    let cache = cache::current();
    if cache.is_attached() {
        count(cache.fallback());
    } else {
        HEAP.count_fallback_slow(count);
    }
}

/// A snapshot of the counts.
pub(crate) fn stats() -> Stats {
    HEAP.stats()
}

/// Gives back all free memory that this thread can reach; returns how many bytes.
pub(crate) fn purge() -> usize {
    HEAP.purge()
}

impl Heap {
    const fn new() -> Self {
        Self {
            setup: setup::SetUp::new(),
            threads: threads::Threads::new(),
            depot: magazine::Depot::new(),
            slabs: slab::Slabs::new(),
            runs: run::Runs::new(),
            large: large::Large::new(),
            growth: growth::Growth::new(),
            budget: budget::Budget::new(),
            background: background::Background::new(),
            uncached: FallbackCounts::new(),
        }
    }

    /// Whether the engine was set up: for what has nothing to do before that, as in a process that never needs it.
    fn was_set_up(&self) -> bool {
        self.setup.was_ready()
    }

    /// Whether the engine is set up; the first call sets it up.
    #[inline(always)]
    fn is_ready(&'static self) -> bool {
        self.setup.is_ready(|| self.set_up())
    }

    #[cold]
    fn set_up(&'static self) -> bool {
        // A slab unit is whole pages: systems with larger pages would need larger slabs.
        let ready = page_size() <= class::SLAB_UNIT
            && self.runs.arenas.add().is_ok()
            && self.depot.reserve().is_ok()
            && self.threads.reserve().is_ok()
            && fork::register();
        if ready {
            self.slabs.set_up(sys::processors());
            self.growth.reserve();
        }
        ready
    }

    /// The calling thread's cache, made now if it has none yet; the idle one if it cannot have any.
    fn cache(&'static self) -> &'static cache::ThreadCache {
        match cache::phase() {
            Phase::Fresh => self.threads.attach(),
            Phase::Settled => cache::current(),
        }
    }

    #[cold]
    fn alloc_class_slow(&'static self, class: usize) -> Answer {
        if !self.is_ready() {
            return Answer::Unavailable;
        }
        let cache = self.cache();
        let attempt = || if cache.is_attached() { cache.refill(self, class) } else { self.take_one(class) };
        let object = attempt().or_else(|| {
            let slab = class::slab_bytes(size_of_class(class));
            if self.make_room_for(slab) { attempt() } else { None }
        });
        let object = object.unwrap_or(null_mut());
        if !object.is_null() {
            self.rose();
            unpoison(object, size_of_class(class));
        }
        Answer::Block(object)
    }

    /// One object, straight from the slabs.
    fn take_one(&self, class: usize) -> Option<*mut u8> {
        let mut one = [null_mut()];
        (self.slabs.take(&self.runs, class, 0, &mut one) == 1).then_some(one[0])
    }

    #[cold]
    unsafe fn dealloc_class_slow(&'static self, object: *mut u8, class: usize) -> bool {
        if !self.is_ready() {
            unpoison(object, size_of_class(class));
            return false;
        }
        let cache = self.cache();
        if cache.is_last(class, object) {
            misuse::abort_at(b"double free", object);
        }
        // SAFETY: the caller's contract.
        unsafe {
            if cache.is_attached() {
                cache.spill(self, class, object);
            } else {
                self.slabs.put(&self.runs, class, &[object]);
            }
        }
        self.settle();
        true
    }

    #[cold]
    fn count_fallback_slow(&'static self, count: impl FnOnce(&FallbackCounts)) {
        if self.was_set_up() && self.cache().is_attached() {
            count(cache::current().fallback());
        } else {
            let call = FallbackCounts::new();
            count(&call);
            self.uncached.share(&call);
        }
    }

    fn alloc_pages(&'static self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        let attempt = || match page_route(size, align) {
            PageRoute::Run => self.alloc_run(size, align, zeroed),
            PageRoute::Large => self.alloc_large(size, align, zeroed),
        };
        attempt().or_else(|| if self.make_room_for(size) { attempt() } else { None })
    }

    /// Where the system refuses memory: gives everything free back, if that may be what is missing for `bytes`.
    #[cold]
    fn make_room_for(&'static self, bytes: usize) -> bool {
        let free = self.large.cached_bytes() + self.growth.resident_bytes() + self.runs.dirty_bytes();
        bytes <= free && self.purge() > 0
    }

    fn alloc_run(&'static self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        let units = units_for(size);
        let run = match self.cache().pop_run(units, align) {
            Some(address) => run::Run { address, zero: false },
            None => {
                let run = self.runs.take(units, align)?;
                self.rose();
                if run.zero {
                    self.budget.missed(size);
                }
                run
            }
        };
        unpoison(run.address.as_ptr(), units as usize * UNIT);
        if zeroed && !run.zero {
            // SAFETY: the run is the caller's and holds these pages.
            unsafe { zero_pages(run.address, round_up(size, page_size())) };
        }
        Some(run.address)
    }

    fn alloc_large(&self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        let cached = self.large.take_cached(size, align, zeroed);
        let block = cached.or_else(|| if zeroed { None } else { self.large.grow_cached(size, align) }).or_else(|| {
            self.budget.missed(size);
            self.large.map(size, align, zeroed)
        });
        self.rose();
        block
    }

    /// # Safety
    /// As for [`dealloc_pages`].
    unsafe fn dealloc_pages(&'static self, block: NonNull<u8>, size: usize, align: usize) {
        // SAFETY: the caller's contract, and the route of the block's layout or, for a grown block, its address.
        unsafe {
            if size >= GROWTH_MIN && self.growth.contains(block.as_ptr()) {
                self.growth.put(block);
            } else if page_route(size, align) == PageRoute::Large {
                self.large.put(block, size);
            } else {
                let units = units_for(size);
                if !self.runs.may_be(block, units) {
                    misuse::abort_at(b"free of what is no page run of that size, or double free,", block.as_ptr());
                }
                poison(block.as_ptr(), units as usize * UNIT);
                let cache = self.cache();
                match cache.push_run(block, units) {
                    None => return,
                    Some((replaced, _)) if replaced == block && cache.is_attached() => {
                        misuse::abort_at(b"double free", block.as_ptr())
                    }
                    Some((replaced, units)) => self.runs.put(replaced, units),
                }
            }
        }
        self.settle();
    }

    /// # Safety
    /// As for [`realloc`].
    unsafe fn realloc(&'static self, block: *mut u8, size: usize, align: usize, new_size: usize) -> Answer {
        let (old, routed) = (routed_size(size, align), routed_size(new_size, align));
        let in_class = is_class(old);
        if in_class && is_class(routed) && class_of(old) == class_of(routed) {
            return Answer::Block(block);
        }
        // SAFETY: the caller's contract; the old block is freed only when its contents are in the new one.
        unsafe {
            if !in_class
                && let Some(block) = NonNull::new(block)
                && let Some(resized) = self.resize_pages(block, size, align, new_size)
            {
                return Answer::Block(resized.as_ptr());
            }
            let new = if is_class(routed) {
                alloc_class(class_of(routed))
            } else if new_size > size {
                Answer::Block(self.alloc_grown(new_size, align).map_or(null_mut(), NonNull::as_ptr))
            } else {
                Answer::Block(self.alloc_pages(new_size, align, false).map_or(null_mut(), NonNull::as_ptr))
            };
            if let Answer::Block(new) = new
                && !new.is_null()
            {
                core::ptr::copy_nonoverlapping(block, new, size.min(new_size));
                if in_class {
                    dealloc_class(block, class_of(old));
                } else {
                    dealloc_pages(block, size, align);
                }
            }
            new
        }
    }

    /// A block for one that grows to `new_size` bytes and is likely to grow further.
    fn alloc_grown(&'static self, new_size: usize, align: usize) -> Option<NonNull<u8>> {
        if (GROWTH_MIN..=growth::SLOT).contains(&new_size)
            && align <= page_size()
            && let Some((slot, touched)) = self.growth.take(new_size)
        {
            self.budget.missed(touched);
            self.rose();
            return Some(slot);
        }
        self.alloc_pages(new_size, align, false)
    }

    /// Gives a block above the size classes another size that is above them too, without a copy; `None` if that cannot be,
    /// and the block is as it was.
    ///
    /// # Safety
    /// As for [`realloc`], for a block above the size classes.
    unsafe fn resize_pages(
        &'static self,
        block: NonNull<u8>,
        size: usize,
        align: usize,
        new_size: usize,
    ) -> Option<NonNull<u8>> {
        let was_large = page_route(size, align) == PageRoute::Large;
        // SAFETY: the caller's contract for all of them; the branches follow where the block lies.
        unsafe {
            if size >= GROWTH_MIN && self.growth.contains(block.as_ptr()) {
                if new_size < GROWTH_MIN {
                    // A smaller layout must not name a slot: the caller copies.
                    return None;
                }
                if new_size <= growth::SLOT {
                    match self.growth.resize(block, new_size) {
                        Change::Raised(bytes) => {
                            self.rose();
                            self.budget.missed(bytes);
                        }
                        Change::Purged(bytes) => self.budget.purged(bytes),
                    }
                    return Some(block);
                }
                return self.leave_slot(block, size, new_size);
            }
            if was_large {
                if page_route(new_size, align) != PageRoute::Large {
                    return None;
                }
                let (moved, purged) = self.large.resize(block, size, align, new_size)?;
                self.rose();
                if new_size > size {
                    // What it grew by is new to the process: no free mapping becomes a part of another.
                    self.keep_within_budget();
                }
                self.budget.purged(purged);
                return Some(moved);
            }
            let (old_units, units) = (units_for(size), units_for(new_size));
            if is_class(routed_size(new_size, align)) || page_route(new_size, align) == PageRoute::Large {
                return None;
            }
            if units == old_units {
                return Some(block);
            }
            if units < old_units {
                poison(block.as_ptr().add(units as usize * UNIT), (old_units - units) as usize * UNIT);
                self.runs.shrink(block, old_units, units);
                self.settle();
                return Some(block);
            }
            // A block that grows this far is better off where further growth is free.
            let stays = new_size < GROWTH_MIN || align > page_size();
            if !stays || !self.runs.grow(block, old_units, units) {
                return None;
            }
            unpoison(block.as_ptr(), units as usize * UNIT);
            Some(block)
        }
    }

    /// Moves a block that has outgrown its slot to a mapping of its own.
    ///
    /// # Safety
    /// The block lies in a slot, has `size` bytes, and is the caller's; if an address is returned the old one is not used
    /// again.
    unsafe fn leave_slot(&'static self, block: NonNull<u8>, size: usize, new_size: usize) -> Option<NonNull<u8>> {
        if !self.large.promise() {
            return None;
        }
        for room in large::Large::rooms(new_size) {
            // SAFETY: the caller's contract; a failed move leaves the block as it is.
            if let Ok(mapping) = unsafe { self.growth.move_out(block, size, room) } {
                self.settle();
                let moved = self.large.adopt(mapping, new_size, true);
                self.rose();
                self.keep_within_budget();
                return Some(moved);
            }
        }
        self.large.break_promise();
        None
    }

    /// Bytes in use: objects and what threads keep of them, runs, large blocks, growth slots.
    fn live_bytes(&self) -> usize {
        self.runs.filled_bytes() + self.large.live_bytes() + self.growth.used_bytes()
    }

    /// Notes that more is in use than before. What is new to the process must not come on top of too much that is free.
    fn rose(&self) {
        self.budget.rose(self.live_bytes());
        if self.runs.have_grown() {
            self.keep_within_budget();
        }
    }

    /// Brings the free resident memory back within the budget, and has what is left looked after.
    fn settle(&'static self) {
        self.keep_within_budget();
        self.background.notice(self.free_bytes());
    }

    /// Gives back what exceeds the budget: large mappings first, then growth slots, runs, and free pages of slabs.
    fn keep_within_budget(&self) {
        let large = self.large.resident_bytes();
        let growth = self.growth.resident_bytes();
        let runs = self.runs.dirty_bytes();
        let live = self.live_bytes();
        // So much lies free among live objects that come and go.
        let slabs = self.slabs.purgeable_bytes(&self.runs).saturating_sub(live / 2);
        let mut limit = self.budget.limit(live);
        if self.background.is_available() {
            limit = limit.max(self.budget.limit(0) + self.budget.fallen(live));
        }
        let free = large + growth + runs + slabs;
        let Some(mut excess) = free.checked_sub(limit).filter(|&excess| excess > 0) else { return };
        let mut purged = 0;
        let sources: [(usize, &dyn Fn(usize) -> usize); 3] = [
            (large, &|keep| self.large.purge(keep)),
            (growth, &|keep| self.growth.purge(keep)),
            (runs, &|keep| self.runs.purge(keep)),
        ];
        for (bytes, purge) in sources {
            if excess > 0 && bytes > 0 {
                let returned = purge(bytes.saturating_sub(excess));
                purged += returned;
                excess = excess.saturating_sub(returned);
            }
        }
        self.budget.purged(purged);
        if excess > 0 {
            // Not for regret: other requests than for these objects could not have had these pages.
            self.slabs.purge(&self.runs);
        }
    }

    fn purge(&'static self) -> usize {
        if !self.was_set_up() {
            return 0;
        }
        let cache = cache::current();
        if cache.is_attached() {
            // SAFETY: it is the calling thread's own.
            unsafe { cache.flush(self) };
        }
        for class in 0..CLASSES {
            self.drain_depot(class, usize::MAX);
        }
        let purged = self.large.purge(0) + self.growth.purge(0) + self.slabs.purge(&self.runs) + self.runs.purge(0);
        if self.runs.find_resident() > 0 { purged + self.runs.purge(0) } else { purged }
    }

    /// Returns the objects of full magazines of a class to their slabs; returns how many bytes.
    fn drain_depot(&self, class: usize, magazines: usize) -> usize {
        let taken = (0..magazines).map_while(|_| self.depot.take_full(class)).map(|id| {
            self.depot.magazine(id).set_count(magazine::capacity_of(class));
            // SAFETY: a full magazine from the depot holds free objects of the class, and is this call's now.
            unsafe { cache::empty_magazine(self, class, id) };
            self.depot.put_empty(id);
        });
        taken.count() * magazine::capacity_of(class) * size_of_class(class)
    }

    /// Empties the magazines that have waited in the depot since the last call; returns how many bytes.
    fn depot_idle(&self) -> usize {
        (0..CLASSES).map(|class| self.drain_depot(class, self.depot.idle(class))).sum()
    }

    fn stats(&'static self) -> Stats {
        let mut stats = Stats::default();
        self.uncached.add_to(&mut stats.fallback, &mut stats.fallback_calls);
        if !self.was_set_up() {
            // Nothing else has been counted, and before that no handler sees to the engine's locks when a process forks.
            stats.fallback = stats.fallback.without_negatives();
            return stats;
        }
        let mut slab_bytes = 0;
        let mut not_runs = RouteStats::default();
        for cache in self.threads.all() {
            cache.fallback().add_to(&mut stats.fallback, &mut stats.fallback_calls);
            let kept = cache.cached_runs();
            not_runs.live += kept.live;
            not_runs.live_bytes += kept.live_bytes;
        }
        stats.fallback = stats.fallback.without_negatives();
        for class in 0..CLASSES {
            let kept = self.threads.all().map(|cache| cache.cached(self, class)).sum::<usize>();
            let (out, slabs) = self.slabs.out(class);
            let live = out.saturating_sub(kept + self.depot.objects(class));
            stats.slab.live += live;
            stats.slab.live_bytes += live * size_of_class(class);
            not_runs.live += slabs;
            slab_bytes += slabs * class::slab_bytes(size_of_class(class));
        }
        stats.run.live = self.runs.used().saturating_sub(not_runs.live);
        stats.run.live_bytes = self.runs.used_bytes().saturating_sub(not_runs.live_bytes + slab_bytes);
        let large = self.large.stats();
        let growth = self.growth.live();
        stats.large.live = large.live + growth.live;
        stats.large.live_bytes = large.live_bytes + growth.live_bytes;
        stats.mapped_bytes = self.runs.arenas.bytes() + self.growth.bytes() + large.mapped;
        stats.free_resident_bytes = self.runs.dirty_bytes() + self.growth.resident_bytes() + large.free_resident;
        stats.metadata_bytes = self.runs.arenas.metadata_bytes()
            + self.depot.metadata_bytes()
            + self.threads.metadata_bytes()
            + self.growth.metadata_bytes()
            + large.metadata;
        stats
    }
}
