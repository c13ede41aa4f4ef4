//! What is kept of units and slabs, out of line: the plain layouts, zero until first used.
//!
//! Every field is an atomic, so that descriptors can be shared; whose they are to change is said by the rooms that use them
//! (`run` for tags, `order` for links, `slab` for the rest), under their locks.

use super::class::SLAB_UNIT;
use super::table::ZeroInit;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// Bytes of out-of-line bitmap for each slab unit: a bit for each object of the smallest class.
pub(super) const BITMAP_BYTES: usize = SLAB_UNIT / 8 / 8;

/// The boundary tag of a unit: meaningful at the first and the last unit of every run (see `run`).
#[repr(C)]
pub(super) struct Tag {
    pub(super) units: AtomicU32,
    pub(super) state: AtomicU32,
    pub(super) next: AtomicU32,
    pub(super) previous: AtomicU32,
}

// SAFETY: atomics only, for which zero is a value.
unsafe impl ZeroInit for Tag {}

/// The links of a slab in its heap.
#[repr(C)]
pub(super) struct Links {
    pub(super) child: AtomicU32,
    pub(super) next: AtomicU32,
    pub(super) previous: AtomicU32,
}

/// Words of bitmap inside a descriptor: enough for classes of 256 bytes and more.
pub(super) const INLINE_WORDS: usize = 4;

/// The descriptor of a slab unit.
#[repr(C, align(64))]
pub(super) struct Slab {
    pub(super) links: Links,
    pub(super) free: AtomicU32,
    /// No word before this one has a set bit.
    pub(super) first_word: AtomicU32,
    /// The class plus one; 0 outside of slabs.
    pub(super) class: AtomicU8,
    /// Slab units from the slab's first to this one.
    pub(super) distance: AtomicU8,
    /// How recently it was used, in `slab`'s terms.
    pub(super) use_of: AtomicU8,
    /// The shelf that the slab is on.
    pub(super) shelf: AtomicU8,
    pub(super) bits: [AtomicU64; INLINE_WORDS],
}

// SAFETY: atomics only, for which zero is a value.
unsafe impl ZeroInit for Slab {}

const _: () = assert!(size_of::<Slab>() == 64);
