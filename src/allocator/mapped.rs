//! [`MapAlloc`]: every block is a mapping of its own.
//!
//! Invariant: `(base, layout)` is a block of `pages`. What is usable of it is given out whole, and any layout that takes as
//! much names it (B4). Without an entry there so does one with another alignment that the base happens to have, because a
//! mapping without options is no more than its address and its extent; with one, the block keeps its alignment.

use super::{Blocks, adapt};
use crate::map::MapOptions;
use crate::pages::{self, usable};
use core::alloc::Layout;
use core::ptr::NonNull;

/// An allocator that gives every block pages of its own, for collections that take an allocator.
///
/// * A block starts at a page, or at a multiple of its alignment if that is larger.
/// * It is as long as its pages: the slice that an allocation returns has the rounded length, which collections that look
///   at it use as capacity.
/// * Growth moves pages ([`mremap(2)`](https://man7.org/linux/man-pages/man2/mremap.2.html)), not bytes, also where the
///   alignment changes to one that the block's address has anyhow.
/// * What is freed, and what is behind the pages that are kept when a block shrinks, goes back to the system at once.
/// * New pages are zero, so zeroed blocks cost no more than others, and are not touched.
/// * Blocks of 4 MiB or more that are not asked for as zeros, and those that grow to that, ask for transparent huge pages.
///
/// Every block is a mapping, of which a process has a limited number (`vm.max_map_count`, 65530 unless set), and a system
/// call or more: an allocator for the large tables of a program. [`PageAlloc`](crate::PageAlloc) is the one for everything.
///
/// All values of this type can give back each other's blocks, in any thread. A block that grows keeps the options that it
/// was made with.
///
/// The trait that it implements is that of `allocator-api2`, by the cargo feature `allocator-api2-02` or
/// `allocator-api2-04`, or nightly's, by the feature `nightly`.
#[cfg_attr(
    feature = "allocator-api2-02",
    doc = r"
```
use allocator_api2_02::vec::Vec;
use mapalloc::{MapAlloc, page_size};

let mut table = Vec::new_in(MapAlloc::new());
table.extend(0..100_000_u32);
assert_eq!(table.as_ptr().addr() % page_size(), 0);
```
"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapAlloc {
    options: MapOptions,
}

impl MapAlloc {
    /// The allocator whose pages are plain ones.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_options(MapOptions::new())
    }

    /// The allocator whose pages are made with these options: guarded, locked, left out of core dumps and whatever else
    /// [`MapOptions`] knows. An allocation fails where an option is refused that is not
    /// [best effort](MapOptions::best_effort).
    #[must_use]
    pub const fn with_options(options: MapOptions) -> Self {
        Self { options }
    }
}

adapt!([] MapAlloc);

/// The whole of a block.
fn whole(base: NonNull<u8>, layout: Layout) -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(base, usable(base, layout))
}

/// The layout of the same block with the new alignment, if the block has it, and keeps it when it moves.
fn realigned(base: NonNull<u8>, old: Layout, new: Layout) -> Option<Layout> {
    let is_kept = new.align() <= old.align() || !pages::has_options(base);
    let aligned = is_kept && base.addr().get().is_multiple_of(new.align());
    aligned.then(|| Layout::from_size_align(old.size(), new.align()).ok()).flatten()
}

impl Blocks for MapAlloc {
    fn allocate(&self, layout: Layout, zeroed: bool) -> Option<NonNull<[u8]>> {
        if layout.size() == 0 {
            return Some(NonNull::slice_from_raw_parts(pages::dangling(layout), 0));
        }
        let base = match (self.options == MapOptions::new(), zeroed) {
            (false, _) => pages::map_with(layout, self.options),
            (true, true) => pages::map(layout),
            (true, false) => pages::map_dense(layout),
        };
        Some(whole(base.ok()?, layout))
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            // SAFETY: the caller's contract, by the invariant.
            unsafe { pages::unmap(block, layout) };
        }
    }

    unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout, zeroed: bool) -> Option<NonNull<[u8]>> {
        let Some(present) = realigned(block, old, new).filter(|_| old.size() > 0) else {
            // SAFETY: the caller's contract.
            return unsafe { self.replace(block, old, new, zeroed) };
        };
        let written = usable(block, present);
        // SAFETY: the caller's contract, by the invariant; `new` is at least as large, with the same alignment.
        let base = unsafe { pages::grow(block, present, new) }.ok()?;
        if zeroed {
            // New pages are zero. The end of the last old one may have been written.
            // SAFETY: what was usable of the old block is usable of the new one.
            unsafe { base.add(old.size()).write_bytes(0, written - old.size()) };
        }
        Some(whole(base, new))
    }

    unsafe fn shrink(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<[u8]>> {
        let Some(present) = realigned(block, old, new).filter(|_| new.size() > 0) else {
            // SAFETY: the caller's contract.
            return unsafe { self.replace(block, old, new, false) };
        };
        // SAFETY: the caller's contract, by the invariant; `new` is at most as large, with the same alignment.
        Some(whole(unsafe { pages::cut(block, present, new) }, new))
    }
}
