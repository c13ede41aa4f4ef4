//! Which part of the engine serves a request: a pure function of size and alignment.
//!
//! Since a free comes with the same layout as its allocation, nothing ever looks a pointer up to find its owner. The one
//! exception are blocks that have grown into a growth slot: they are recognised by their address, and only for layouts of
//! at least [`GROWTH_MIN`] bytes.

use super::class::MAX_CLASS_SIZE;
use crate::page::round_up;

/// The largest page run, in bytes: above it a request gets a mapping of its own.
pub(super) const MAX_RUN_SIZE: usize = 4 << 20;

/// The largest alignment of a page run, in bytes.
pub(super) const MAX_RUN_ALIGN: usize = 64 << 10;

/// A block that is reallocated to at least this many bytes moves to a growth slot.
pub(super) const GROWTH_MIN: usize = 1 << 20;

/// The part of the engine that serves a request beyond the size classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageRoute {
    /// An exact run of pages in an arena.
    Run,
    /// A mapping of its own.
    Large,
}

/// The size that decides the route: `size` rounded up to `align`, which no valid layout lets wrap.
#[inline(always)]
pub(crate) const fn routed_size(size: usize, align: usize) -> usize {
    round_up(size, align)
}

/// Whether a size class serves a request of that routed size.
#[inline(always)]
pub(crate) const fn is_class(routed: usize) -> bool {
    routed <= MAX_CLASS_SIZE
}

/// The route of a request above the size classes.
#[inline(always)]
pub(super) const fn page_route(size: usize, align: usize) -> PageRoute {
    if routed_size(size, align) <= MAX_RUN_SIZE && align <= MAX_RUN_ALIGN { PageRoute::Run } else { PageRoute::Large }
}
