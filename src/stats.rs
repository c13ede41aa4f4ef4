//! What the allocator counts, as one plain value.

/// Live allocations of one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteStats {
    /// Allocations that were made and not yet freed.
    pub live: usize,
    /// Their bytes: for the fallback and for large blocks as the program asked for them, for slabs and page runs as the
    /// class or the run holds them.
    pub live_bytes: usize,
}

impl RouteStats {
    /// A sum of wrapping shares as it is meant: it is below zero where a free was counted before its allocation was.
    pub(crate) const fn without_negatives(self) -> Self {
        const fn clamp(n: usize) -> usize {
            if n > isize::MAX as usize { 0 } else { n }
        }
        Self { live: clamp(self.live), live_bytes: clamp(self.live_bytes) }
    }
}

/// A snapshot of the engine, by [`PageAlloc::stats`](crate::PageAlloc::stats).
///
/// The engine is one per process, so every `PageAlloc` of a process reports the same figures. Where other threads
/// allocate meanwhile, each figure is right for some moment during the call, not all of them for the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Small objects on the fallback heap; zero unless
    /// [`with_fallback_counts`](crate::PageAlloc::with_fallback_counts) was asked for.
    pub fallback: RouteStats,
    /// Objects in size-class slabs.
    pub slab: RouteStats,
    /// Page runs.
    pub run: RouteStats,
    /// Large blocks in mappings and growth slots of their own.
    pub large: RouteStats,
    /// Calls that went to the fallback heap, since the start: allocations, reallocations and frees. Zero as above.
    pub fallback_calls: u64,
    /// Bytes mapped for allocations and usable, resident or not: arenas, all growth slots that were ever used, and large
    /// mappings with those kept for reuse.
    pub mapped_bytes: usize,
    /// Bytes of the engine's own tables, mapped and usable.
    pub metadata_bytes: usize,
    /// Bytes that are free and at most resident: what [`PageAlloc::purge`](crate::PageAlloc::purge) can give back, and
    /// what the budget for reuse bounds. Objects in the magazines of threads are not counted.
    pub free_resident_bytes: usize,
}

impl Stats {
    /// Live bytes over all routes.
    pub const fn live_bytes(&self) -> usize {
        self.fallback
            .live_bytes
            .saturating_add(self.slab.live_bytes)
            .saturating_add(self.run.live_bytes)
            .saturating_add(self.large.live_bytes)
    }

    /// Live allocations over all routes.
    pub const fn live(&self) -> usize {
        self.fallback.live.saturating_add(self.slab.live).saturating_add(self.run.live).saturating_add(self.large.live)
    }
}
