//! `PageAlloc`, the `GlobalAlloc`: it routes by layout and makes one call per tier.
//!
//! Invariant: which heap holds a block is a function of its layout and of the allocator's constants alone, so that a free
//! finds what its allocation chose. The one exception is global and permanent: a process in which the engine cannot be set
//! up at all (no address space to reserve) has every block on the fallback heap.

use crate::hardened;
use crate::heap::{self, Answer, HugePages, Options, class_of, is_class, routed_size};
use crate::stats::Stats;
use core::alloc::{GlobalAlloc, Layout};
use std::alloc::System;

/// A global allocator on anonymous mappings: size-class slabs, exact page runs and mappings of their own, with the system's
/// heap (or another) for small objects.
///
/// ```
/// use mapalloc::PageAlloc;
///
/// #[global_allocator]
/// static GLOBAL: PageAlloc = PageAlloc::new();
///
/// let zeros = vec![0u8; 64 << 20]; // no memory is touched
/// assert_eq!(zeros[12_345_678], 0);
/// ```
///
/// # Routes
/// With `r` the size rounded up to the alignment:
///
/// | `r` | served by |
/// |---|---|
/// | size at most the small limit, alignment at most 16 | the fallback heap |
/// | up to 32 KiB | size classes: magazines of each thread over slabs |
/// | up to 4 MiB, alignment up to 64 KiB | exact runs of pages in arenas |
/// | above | a mapping of its own, kept for reuse when freed |
///
/// A block above 32 KiB that grows by `realloc` to 1 MiB or more moves to reserved address space, where growing further
/// costs neither a copy nor a system call; blocks of more than 16 MiB grow by moving their pages.
///
/// # What it promises
/// * A request that cannot be met gets null. Nothing in the allocator panics, unwinds or aborts for want of memory.
/// * Blocks may be freed by any thread, also while that thread or the one that allocated them is ending.
/// * A child of `fork` can allocate and free, whatever other threads were doing.
/// * `errno` is as it was before the call, unless the fallback heap changes it.
/// * The process is not larger than it has just been, and gives back what it does not need: free memory that stays resident
///   is what was in use within the last half second or less, and beyond that an eighth of the live bytes, at least 8 MiB and
///   at most 256 MiB (and up to 256 MiB more for a while where what was given back is soon asked for again). What is left
///   unused for some tenths of a second goes back too, also in a program that then does nothing: see
///   [`with_background_thread`](Self::with_background_thread). What threads keep for themselves comes on top: objects in
///   magazines, at most 4 MiB in each thread if it uses every size class, and the pages that they lie in.
///
/// # Signals
/// It must not be called from signal handlers, as no allocator may that the C library does not list as
/// [async-signal-safe](https://man7.org/linux/man-pages/man7/signal-safety.7.html). A handler that does not allocate or free may
/// arrive at any moment, also inside the allocator, on the thread's stack or on one of its own:
/// * If it returns, nothing has happened: what was interrupted goes on, no call fails with `EINTR`, with `SA_RESTART` or
///   without.
/// * It may end the process by `_exit`, or by a signal.
/// * It must not leave by `siglongjmp` what it has interrupted inside the allocator, which may hold a lock there that is then
///   never released. Nor may a thread be cancelled there asynchronously, or by another way be ended from outside.
///
/// # One engine
/// The engine behind it is one per process: several `PageAlloc` values share it. A block must be freed by a value with the
/// same small limit and fallback as the one that allocated it.
///
/// # For one collection
/// It is also an `Allocator`, for collections that take one, where the fallback is `Copy`: by `allocator-api2` with the
/// cargo features `allocator-api2-02` and `allocator-api2-04`, by nightly Rust with `nightly`. All copies of one value are
/// the same allocator: each takes back what another gave.
#[derive(Clone, Copy, Debug)]
pub struct PageAlloc<F = System> {
    fallback: F,
    small_limit: usize,
    counts_fallback: bool,
    options: Options,
}

/// Objects of at most this many bytes go to the fallback heap unless
/// [`with_small_limit`](PageAlloc::with_small_limit) says otherwise: glibc's per-thread cache ends at 1,032 bytes, and above
/// it malloc takes twice as long as the slabs (see `docs/design.md` for the table and the command that prints it).
const DEFAULT_SMALL_LIMIT: usize = 1024;

/// The largest alignment that the fallback heap is asked for: what every `malloc` gives without being asked.
const SMALL_ALIGN: usize = 16;

/// The layout that a request came with; the slow paths get its parts, in the order in which the fast path has them.
#[cold]
fn layout(size: usize, align: usize) -> Layout {
    // SAFETY: they are the parts of a layout.
    unsafe { Layout::from_size_align_unchecked(size, align) }
}

/// Up to this alignment a request's size alone decides its class: every class is a multiple of it.
const PLAIN_ALIGN: usize = 8;

impl PageAlloc {
    /// An allocator whose small objects, of at most 1,024 bytes, live on the system's heap.
    ///
    /// The limit is where malloc stops being the better home by measurement: glibc's per-thread cache ends at 1,032 bytes,
    /// and above it an allocation takes malloc twice as long as the slabs.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_fallback(System)
    }
}

impl<F: Default> Default for PageAlloc<F> {
    /// [`with_fallback`](Self::with_fallback) of the default fallback: for `System`, the same as [`new`](PageAlloc::new).
    fn default() -> Self {
        Self::with_fallback(F::default())
    }
}

impl<F> PageAlloc<F> {
    /// An allocator whose small objects, of at most 1,024 bytes, live on another heap.
    #[must_use]
    pub const fn with_fallback(fallback: F) -> Self {
        Self { fallback, small_limit: DEFAULT_SMALL_LIMIT, counts_fallback: false, options: Options::new() }
    }

    /// Sends objects of at most `bytes` to the fallback heap, unless their alignment is above 16 bytes, which `malloc` does
    /// not give unasked. With 0 the slabs serve every size from 1 byte up, and the fallback heap serves nothing.
    ///
    /// A limit above 32 KiB sends everything up to it to the fallback heap too, and `usize::MAX` everything there is, as
    /// [`with_fallback_only`](Self::with_fallback_only) does.
    #[must_use]
    pub const fn with_small_limit(mut self, bytes: usize) -> Self {
        self.small_limit = bytes;
        self
    }

    /// Sends everything to the fallback heap, of any size and alignment: a plain heap, for tools that know that of the
    /// system only. The engine is never set up.
    ///
    /// valgrind, heaptrack and the sanitizers put themselves in the place of `malloc`. What lies in mappings of the engine's
    /// they take for memory that is always valid: nothing that is right is called wrong, but a leak, a use after free or an
    /// overflow there goes unnoticed. In a build for such a tool, the allocator can step aside:
    ///
    /// ```
    /// use mapalloc::PageAlloc;
    ///
    /// # // In the program: `cfg!(feature = "plain-heap")`, a cargo feature of its own.
    /// # macro_rules! cfg { (feature = "plain-heap") => { true } }
    /// #[global_allocator]
    /// static GLOBAL: PageAlloc = {
    ///     let heap = PageAlloc::new();
    ///     if cfg!(feature = "plain-heap") { heap.with_fallback_only() } else { heap }
    /// };
    ///
    /// drop(vec![0_u8; 64 << 20]);
    /// assert_eq!(GLOBAL.stats().mapped_bytes, 0); // nothing is the engine's
    /// ```
    #[must_use]
    pub const fn with_fallback_only(self) -> Self {
        self.with_small_limit(usize::MAX)
    }

    /// Whether [`stats`](Self::stats) counts what is on the fallback heap: not, unless this says `true`. Each call to the
    /// fallback is then about a quarter slower.
    #[must_use]
    pub const fn with_fallback_counts(mut self, counted: bool) -> Self {
        self.counts_fallback = counted;
        self
    }

    /// Chooses which memory is backed by huge pages: [`HugePages::Dense`] if not told otherwise.
    ///
    /// Huge pages make the first touch of memory about five times faster and spare the processor's TLB, and cost memory
    /// where little of each is used. `docs/design.md` has the comparison of the three policies over many programs.
    ///
    /// The engine is one per process: of several `PageAlloc` values the one that needed new memory last decides.
    #[must_use]
    pub const fn with_huge_pages(mut self, huge_pages: HugePages) -> Self {
        self.options = self.options.with_huge_pages(huge_pages);
        self
    }

    /// Allows or forbids the background thread, which is allowed if not told otherwise.
    ///
    /// The free that leaves more than a few MiB free starts a thread. It gives back what stays unused for some tenths of a
    /// second, also in a program that does nothing, and ends when there is nothing more to do. It takes no signals, and a
    /// child of `fork` starts without it. Forbid it in a program that must have one thread only (`unshare` and `setns`
    /// can ask for that) or that runs under a seccomp filter which kills on `clone`; what was in use lately then does not
    /// stay, and memory falls to the budget for free memory at once, and by [`purge`](Self::purge).
    #[must_use]
    pub const fn with_background_thread(mut self, allowed: bool) -> Self {
        self.options = self.options.with_background(allowed);
        self
    }

    /// Gives every block, of any size, to a heap that finds memory errors, ends the program at them, and leaves an attacker
    /// little to use. It takes more time and memory than the engine: `docs/hardened.md` has both, measured, and what other
    /// allocators find.
    ///
    /// Always found, with one line on standard error and an abort:
    /// * a second free of a block, until its memory is given out again: after at least 4, for small blocks 64, further frees
    ///   of its size class, and about twice that on average;
    /// * a free or reallocation of a pointer that is no block's, or that points into one;
    /// * a free or reallocation with a layout of another size class, or of another size in one class (but for a chance of 1 in
    ///   2^60);
    /// * a write behind the end of a block, when it is freed: of one byte up to all of the room that its slot or page has left,
    ///   but for a chance of 1 in 255 for each byte that is written right behind the end, to be what lies there anyway;
    /// * a write to a freed small block, when its slot is given out again.
    ///
    /// Faults at once: access to a freed block of more than 32 KiB, or behind or before it (guard pages on either side), and
    /// what runs over from one slab to the next. Metadata lies elsewhere, between pages that nobody can touch.
    ///
    /// Freed memory is zeroed, so that what it held is gone and a use after free reads zeros. Which slot a block gets, how
    /// long a freed one waits, and how many guard pages surround a large one are chosen at random, by the kernel's generator.
    ///
    /// Not found: an overflow that is not written but read, an invalid write that skips to another live block, and a use of
    /// freed memory that has been given out again.
    ///
    /// The small limit, the fallback, huge pages and the background thread mean nothing to it. Blocks must be freed by a
    /// hardened `PageAlloc`. A system that has no [`getrandom(2)`](https://man7.org/linux/man-pages/man2/getrandom.2.html)
    /// gets no blocks at all.
    ///
    /// ```
    /// use mapalloc::PageAlloc;
    ///
    /// #[global_allocator]
    /// static GLOBAL: PageAlloc = PageAlloc::new().hardened();
    ///
    /// assert_eq!(vec![1, 2, 3].iter().sum::<i32>(), 6);
    /// ```
    #[must_use]
    pub const fn hardened(mut self) -> Self {
        self.options = self.options.with_hardening();
        self
    }

    /// A snapshot of the counts of the engine, and of the calls to the fallback heap if these are
    /// [counted](Self::with_fallback_counts).
    ///
    /// It takes the engine's locks one after the other, for a moment each.
    pub fn stats(&self) -> Stats {
        let mut stats = heap::stats();
        hardened::add_to(&mut stats);
        stats
    }

    /// Gives back all memory that is free: whole pages of this thread's magazines, of the shared depot and slabs, of free
    /// runs, growth slots and mappings kept for reuse. Returns the bytes given back, counting pages that were never
    /// touched as if they had been.
    ///
    /// Objects in the magazines of other threads stay where they are.
    pub fn purge(&self) -> usize {
        heap::purge() + hardened::purge()
    }

    /// Whether the fallback heap serves a request.
    #[inline(always)]
    const fn is_small(&self, size: usize, align: usize) -> bool {
        // The first comparison is for the compiler: with a limit of 0, nothing is left of this.
        self.small_limit != 0 && size <= self.small_limit && (align <= SMALL_ALIGN || self.small_limit == usize::MAX)
    }
}

impl<F: GlobalAlloc> PageAlloc<F> {
    #[inline]
    fn fallback_alloc(&self, layout: Layout, zeroed: bool) -> *mut u8 {
        // SAFETY: the layout is the caller's, of non-zero size by the contract of `GlobalAlloc`.
        let block = unsafe { if zeroed { self.fallback.alloc_zeroed(layout) } else { self.fallback.alloc(layout) } };
        if self.counts_fallback && !block.is_null() {
            heap::count_fallback(|counts| counts.allocated(layout.size()));
        }
        block
    }

    /// # Safety
    /// The block is the fallback's, with this layout, and not used again.
    #[inline]
    unsafe fn fallback_dealloc(&self, block: *mut u8, layout: Layout) {
        if self.counts_fallback {
            heap::count_fallback(|counts| counts.freed(layout.size()));
        }
        // SAFETY: the caller's contract.
        unsafe { self.fallback.dealloc(block, layout) };
    }

    /// # Safety
    /// As for `GlobalAlloc::realloc`, for a block of the fallback's.
    #[inline]
    unsafe fn fallback_realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract.
        let new = unsafe { self.fallback.realloc(block, layout, new_size) };
        if self.counts_fallback && !new.is_null() {
            heap::count_fallback(|counts| counts.reallocated(layout.size(), new_size));
        }
        new
    }

    // The arguments of the slow paths are in the order of the fast path's registers, which then need no shuffling.

    /// An allocation whose size is to be rounded up to its alignment first.
    #[inline(never)]
    fn alloc_aligned(size: usize, align: usize, zeroed: bool, this: &Self) -> *mut u8 {
        let routed = routed_size(size, align);
        if is_class(routed)
            && let Some(object) = heap::pop_class(class_of(routed))
        {
            if zeroed {
                // SAFETY: the object has at least this size.
                unsafe { object.write_bytes(0, size) };
            }
            return object;
        }
        Self::alloc_slow(size, align, zeroed, this)
    }

    /// A free of such a block.
    ///
    /// # Safety
    /// As for `GlobalAlloc::dealloc`.
    #[inline(never)]
    unsafe fn dealloc_aligned(block: *mut u8, size: usize, align: usize, this: &Self) {
        let routed = routed_size(size, align);
        // SAFETY: the caller's contract; the route is that of the allocation.
        unsafe {
            if !(is_class(routed) && heap::push_class(block, class_of(routed))) {
                Self::dealloc_slow(block, size, align, this);
            }
        }
    }

    /// An allocation that is neither small nor in the thread's magazines.
    #[inline(never)]
    fn alloc_slow(size: usize, align: usize, zeroed: bool, this: &Self) -> *mut u8 {
        let routed = routed_size(size, align);
        if !is_class(routed)
            && !zeroed
            && let Some(block) = heap::pop_pages(size, align)
        {
            return block;
        }
        heap::obey(this.options);
        let answer =
            if is_class(routed) { heap::alloc_class(class_of(routed)) } else { heap::alloc_pages(size, align, zeroed) };
        match answer {
            Answer::Block(block) => {
                if zeroed && is_class(routed) && !block.is_null() {
                    // SAFETY: the object has at least this size.
                    unsafe { block.write_bytes(0, size) };
                }
                block
            }
            Answer::Unavailable => this.fallback_alloc(layout(size, align), zeroed),
        }
    }

    /// A free that is neither small nor has room in the thread's magazines.
    ///
    /// # Safety
    /// As for `GlobalAlloc::dealloc`.
    #[inline(never)]
    unsafe fn dealloc_slow(block: *mut u8, size: usize, align: usize, this: &Self) {
        let routed = routed_size(size, align);
        // SAFETY: the caller's contract; the route is that of the allocation.
        unsafe {
            if !is_class(routed) && heap::push_run(block, size, align) {
                return;
            }
            let freed = if is_class(routed) {
                heap::dealloc_class(block, class_of(routed))
            } else {
                heap::dealloc_pages(block, size, align)
            };
            if !freed {
                this.fallback_dealloc(block, layout(size, align));
            }
        }
    }

    /// Moves a block between the engine and the fallback.
    ///
    /// # Safety
    /// As for `GlobalAlloc::realloc`.
    #[cold]
    unsafe fn realloc_across(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract gives a valid size for this alignment; the old block is freed once its contents
        // are copied.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

// SAFETY: every block comes whole from one heap, aligned and of at least the requested size (each route's invariants); it
// is returned to that heap, chosen by its layout alone; `realloc` copies or moves the contents before it frees; no method
// unwinds, since nothing in the engine panics.
unsafe impl<F: GlobalAlloc> GlobalAlloc for PageAlloc<F> {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.options.is_hardened() {
            return hardened::alloc(layout.size(), layout.align(), false);
        }
        if self.is_small(layout.size(), layout.align()) {
            return self.fallback_alloc(layout, false);
        }
        if layout.align() > PLAIN_ALIGN {
            return Self::alloc_aligned(layout.size(), layout.align(), false, self);
        }
        if is_class(layout.size())
            && let Some(object) = heap::pop_class(class_of(layout.size()))
        {
            return object;
        }
        Self::alloc_slow(layout.size(), layout.align(), false, self)
    }

    #[inline(always)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if self.options.is_hardened() {
            return hardened::alloc(layout.size(), layout.align(), true);
        }
        if self.is_small(layout.size(), layout.align()) {
            return self.fallback_alloc(layout, true);
        }
        if layout.align() > PLAIN_ALIGN {
            return Self::alloc_aligned(layout.size(), layout.align(), true, self);
        }
        if is_class(layout.size())
            && let Some(object) = heap::pop_class(class_of(layout.size()))
        {
            // SAFETY: the object has at least this size.
            unsafe { object.write_bytes(0, layout.size()) };
            return object;
        }
        Self::alloc_slow(layout.size(), layout.align(), true, self)
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract; the route is that of the allocation.
        unsafe {
            if self.options.is_hardened() {
                return hardened::dealloc(block, layout.size(), layout.align());
            }
            if self.is_small(layout.size(), layout.align()) {
                return self.fallback_dealloc(block, layout);
            }
            if layout.align() > PLAIN_ALIGN {
                return Self::dealloc_aligned(block, layout.size(), layout.align(), self);
            }
            if is_class(layout.size()) && heap::push_class(block, class_of(layout.size())) {
                return;
            }
            Self::dealloc_slow(block, layout.size(), layout.align(), self);
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract, and the routes are those of the allocation.
        unsafe {
            if self.options.is_hardened() {
                return hardened::realloc(block, layout.size(), layout.align(), new_size);
            }
            match (self.is_small(layout.size(), layout.align()), self.is_small(new_size, layout.align())) {
                (true, true) => self.fallback_realloc(block, layout, new_size),
                (false, false) => {
                    if layout.align() <= PLAIN_ALIGN
                        && let Some(new) = heap::realloc_class(block, layout.size(), new_size)
                    {
                        return new;
                    }
                    match heap::realloc(block, layout.size(), layout.align(), new_size) {
                        Answer::Block(block) => block,
                        Answer::Unavailable => self.fallback_realloc(block, layout, new_size),
                    }
                }
                _ => self.realloc_across(block, layout, new_size),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_what_new_makes() {
        assert_eq!(PageAlloc::<System>::default().small_limit, PageAlloc::new().small_limit);
    }
}
