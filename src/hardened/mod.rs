//! The hardened heap: for programs in which a memory error must end the program rather than be of use to an attacker.
//!
//! It shares the size classes with the engine, and nothing else: no block has a neighbour's fate, no thread keeps any for
//! itself, and every free is checked before it has an effect. Blocks of up to 32 KiB less a canary have slots (`slab`), others a
//! mapping each (`large`). Where a block is found follows from its address, so that a free with a wrong layout is found out.
//! What is behind a block and in a free one is `canary`'s; how long a free one waits is `quarantine`'s; what is chosen at
//! random comes from `random`.
//!
//! The design is that of the hardened allocators of GrapheneOS and OpenBSD: metadata apart, slots at random, quarantine, guard
//! pages. What the `Layout` of a free adds is that the end of every block is known to the byte.
//!
//! Locks are never nested.

mod canary;
mod large;
mod quarantine;
mod random;
mod slab;

use crate::heap::setup::SetUp;
use crate::heap::{class_of, is_class};
use crate::lock::RawLock;
use crate::page::checked_round_up;
use crate::stats::Stats;
use crate::sys;
use core::ptr::{NonNull, null_mut};

static HEAP: Hardened = Hardened { setup: SetUp::new(), slabs: slab::Slabs::new(), large: large::Large::new() };

struct Hardened {
    /// Without randomness, or without handlers for `fork`, there are no blocks.
    setup: SetUp,
    slabs: slab::Slabs,
    large: large::Large,
}

/// The class whose slots hold a block with its canary.
fn class_for(size: usize, align: usize) -> Option<usize> {
    let routed = checked_round_up(size.checked_add(canary::CANARY)?, align)?;
    is_class(routed).then(|| class_of(routed))
}

/// A block; null if there is no memory for it. It reads zero.
#[inline(never)]
pub(crate) fn alloc(size: usize, align: usize, zeroed: bool) -> *mut u8 {
    if !HEAP.is_ready() {
        return null_mut();
    }
    let attempt = || HEAP.attempt(size, align, zeroed);
    // What waits has no memory, but addresses, and mappings, of which a process may have so many.
    let again = || if HEAP.large.purge() { attempt() } else { None };
    attempt().or_else(again).map_or(null_mut(), NonNull::as_ptr)
}

/// Frees a block.
///
/// # Safety
/// Nothing uses the block again. Whatever else is wrong ends the program.
#[inline(never)]
pub(crate) unsafe fn dealloc(block: *mut u8, size: usize, align: usize) {
    match (HEAP.slabs.offset_of(block), NonNull::new(block)) {
        (Some(offset), _) => HEAP.slabs.put(offset, class_for(size, align), size),
        (None, Some(block)) => HEAP.large.put(block, size, align),
        (None, None) => crate::heap::misuse::abort(b"mapalloc: free of a null pointer\n"),
    }
}

/// Reallocates a block. Null leaves it as it was.
///
/// # Safety
/// Nothing uses the block again if another address is returned.
#[inline(never)]
pub(crate) unsafe fn realloc(block: *mut u8, size: usize, align: usize, new_size: usize) -> *mut u8 {
    let (class, new_class) = (class_for(size, align), class_for(new_size, align));
    let stays = match (HEAP.slabs.offset_of(block), NonNull::new(block)) {
        (Some(offset), _) => HEAP.slabs.resize(offset, class, size, new_class, new_size),
        (None, Some(block)) => new_class.is_none() && HEAP.large.resize(block, size, align, new_size),
        (None, None) => crate::heap::misuse::abort(b"mapalloc: reallocation of a null pointer\n"),
    };
    if stays {
        return block;
    }
    let new = alloc(new_size, align, false);
    if !new.is_null() {
        // SAFETY: both hold the smaller size; the caller's contract for the old block.
        unsafe {
            core::ptr::copy_nonoverlapping(block, new, size.min(new_size));
            dealloc(block, size, align);
        }
    }
    new
}

/// Ends all waiting of large blocks and gives empty slabs back; returns the bytes of these.
pub(crate) fn purge() -> usize {
    // Before that no handler sees to its locks when a process forks.
    if !HEAP.setup.was_ready() {
        return 0;
    }
    HEAP.large.purge();
    HEAP.slabs.purge()
}

/// Adds this heap's counts.
pub(crate) fn add_to(stats: &mut Stats) {
    // As above.
    if !HEAP.setup.was_ready() {
        return;
    }
    let (slots, slabs, tables) = HEAP.slabs.stats();
    let (large, mapped, table) = HEAP.large.stats();
    stats.slab.live += slots.live;
    stats.slab.live_bytes += slots.live_bytes;
    stats.large.live += large.live;
    stats.large.live_bytes += large.live_bytes;
    stats.mapped_bytes += slabs + mapped;
    stats.metadata_bytes += tables + table;
}

impl Hardened {
    #[inline]
    fn is_ready(&'static self) -> bool {
        self.setup.is_ready_at_last(|| self.set_up())
    }

    #[cold]
    fn set_up(&'static self) -> bool {
        let Some(key) = random::key() else { return false };
        canary::set_key(key);
        if !self.slabs.is_reserved() {
            // Without addresses for slots every block has a mapping.
            let _ = self.slabs.reserve(sys::processors(), sys::address_space_limit());
        }
        sys::at_fork(prepare, parent, child).is_ok()
    }

    fn attempt(&self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        if let Some(class) = class_for(size, align)
            && let Some(slot) = self.slabs.take(class)
        {
            // SAFETY: a slot of that class, which is this call's and reads zero.
            unsafe { canary::seal(slot, size, crate::heap::size_of_class(class)) };
            return NonNull::new(slot);
        }
        self.large.map(size, align, !zeroed)
    }

    /// Calls `each` with every lock, in one order.
    fn every_lock(&self, each: &mut dyn FnMut(&RawLock)) {
        each(self.setup.raw());
        self.slabs.locks(each);
        self.large.locks(each);
    }
}

unsafe extern "C" fn prepare() {
    HEAP.every_lock(&mut RawLock::acquire);
}

unsafe extern "C" fn parent() {
    // SAFETY: `prepare` took all of them on this thread.
    HEAP.every_lock(&mut |lock| unsafe { lock.release() });
}

unsafe extern "C" fn child() {
    // SAFETY: as in the parent: the child starts as a copy of the thread that took them.
    unsafe { parent() };
    HEAP.slabs.forget_choices();
    HEAP.large.forget_choices();
}
