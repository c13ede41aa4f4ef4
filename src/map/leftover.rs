//! Ranges that the kernel would not unmap when their owner was done with them: at its limit of mappings, where unmapping a
//! part of an area makes two of it. They are tried again when something else has been unmapped.
//!
//! A few only, without a lock, so that a child of `fork` can go on with what it finds. What is more stays mapped for the life
//! of the process.
//!
//! # Invariant
//! * **L1** a slot is empty, or it is held by one thread, or it has a range that was mapped by this room and is nobody else's
//!   in the process that it names, or in this one and its children if it names none.

use super::child::this_process;
use crate::sys;
use core::ptr::{NonNull, null_mut, without_provenance_mut};
use core::sync::atomic::{
    AtomicPtr, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Ranges that are remembered at the most.
const SLOTS: usize = 64;

struct Slot {
    base: AtomicPtr<u8>,
    len: AtomicUsize,
    process: AtomicU64,
}

static SLOT: [Slot; SLOTS] = [const { Slot::empty() }; SLOTS];

/// Slots that are not empty, to be read without looking at them.
static FILLED: AtomicUsize = AtomicUsize::new(0);

/// The base of a slot that a thread holds: no page's address.
const HELD: *mut u8 = without_provenance_mut(1);

impl Slot {
    const fn empty() -> Self {
        Self { base: AtomicPtr::new(null_mut()), len: AtomicUsize::new(0), process: AtomicU64::new(0) }
    }

    /// Holds the slot if its base is this one.
    fn hold(&self, base: *mut u8) -> bool {
        self.base.compare_exchange(base, HELD, Acquire, Relaxed).is_ok()
    }
}

/// Remembers a range that could not be unmapped, and the process that has it, or zero if its children have it too.
///
/// # Safety
/// The range is L1's from now on.
pub(super) unsafe fn keep(base: NonNull<u8>, len: usize, process: u64) {
    if let Some(slot) = SLOT.iter().find(|slot| slot.base.load(Relaxed).is_null() && slot.hold(null_mut())) {
        slot.len.store(len, Relaxed);
        slot.process.store(process, Relaxed);
        slot.base.store(base.as_ptr(), Release);
        FILLED.fetch_add(1, Relaxed);
    }
}

/// Tries again to unmap what is remembered, up to the first refusal.
#[inline]
pub(super) fn retry() {
    if FILLED.load(Relaxed) != 0 {
        retry_all();
    }
}

#[cold]
fn retry_all() {
    for slot in &SLOT {
        let base = slot.base.load(Relaxed);
        let Some(range) = NonNull::new(base).filter(|_| base != HELD && slot.hold(base)) else { continue };
        let process = slot.process.load(Relaxed);
        // What the parent of this process could not unmap is not here at all.
        let gone = process != 0 && process != this_process();
        // SAFETY: L1; this thread holds the slot.
        let gone = gone || unsafe { sys::unmap(range, slot.len.load(Relaxed)) }.is_ok();
        slot.base.store(if gone { null_mut() } else { base }, Release);
        if !gone {
            return;
        }
        FILLED.fetch_sub(1, Relaxed);
    }
}
