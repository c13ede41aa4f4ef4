//! Blocks: memory whose pages follow from a [`Layout`] alone. The untyped core of `PageBox` and `PageVec`.
//!
//! A container keeps no record of its mapping: the pages are a function of the layout, so that a bare pointer to a value
//! is enough to find them again. For a block made with options, or within a reservation, the registry of `map` has the
//! record, under the block's address.
//!
//! # Invariants of a block `(base, layout)`
//! * **B1** If the registry has an entry for `base`, the block is that mapping, of which at least `layout.size()` bytes are
//!   committed.
//! * **B2** Otherwise, if `layout.size()` is zero, nothing is mapped and `base` is dangling: not null, a multiple of the
//!   alignment.
//! * **B3** Otherwise `base` starts a [`Mapping`] of exactly [`extent`]`(layout)` bytes, all committed, made with
//!   [`options`]`(layout)`.
//! * **B4** Whoever owns the block owns the mapping. Two layouts with the same alignment and, without an entry, the same
//!   extent name the same block.

use crate::error::{Error, Operation, Result};
use crate::map::registry::{self, Entry};
use crate::map::{Granted, MapOptions, Mapping, looks_resident};
use crate::page::{DENSE_HUGE_MIN, page_size, round_up};
use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr::NonNull;

/// Why a container got no memory, with what each of its two faces needs: the `try_` one an [`Error`], the other one the
/// layout for `handle_alloc_error`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// No layout describes that many bytes (saturated).
    Overflow(usize),
    /// The block was refused.
    Block(Layout, Error),
    /// The block is as large as its reservation allows; so many bytes were wanted.
    Reservation(usize),
}

impl Refusal {
    /// Ends the call as the standard containers do.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn raise(self) -> ! {
        match self {
            Self::Overflow(_) => panic!("capacity overflow"),
            Self::Reservation(bytes) => panic!("{bytes} bytes are more than is reserved"),
            Self::Block(layout, _) => std::alloc::handle_alloc_error(layout),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Overflow(bytes) => Self::capacity(Operation::Allocate, bytes),
            Refusal::Block(_, error) => error,
            Refusal::Reservation(bytes) => Self::reservation(bytes),
        }
    }
}

/// The value, for callers that have no error to return.
#[inline]
#[track_caller]
pub(crate) fn or_raise<T>(result: Result<T, Refusal>) -> T {
    match result {
        Ok(value) => value,
        Err(refusal) => refusal.raise(),
    }
}

/// The layout of `count` elements.
pub(crate) fn array(element: Layout, count: usize) -> Result<Layout, Refusal> {
    element
        .size()
        .checked_mul(count)
        .and_then(|bytes| Layout::from_size_align(bytes, element.align()).ok())
        .ok_or(Refusal::Overflow(element.size().saturating_mul(count)))
}

/// The bytes that a block of this layout without an entry spans: whole pages.
#[inline]
pub(crate) fn extent(layout: Layout) -> usize {
    // A layout's size is at most `isize::MAX`, so there is room to round up.
    round_up(layout.size(), page_size())
}

/// The bytes of a block that are there to be used.
pub(crate) fn usable(base: NonNull<u8>, layout: Layout) -> usize {
    registry::find(base).map_or_else(|| extent(layout), |entry| entry.raw.committed())
}

/// The bytes that a block can have without moving, if it must not move.
pub(crate) fn reservation(base: NonNull<u8>) -> Option<usize> {
    registry::find(base).filter(|entry| entry.stable).map(|entry| entry.raw.reserved())
}

/// Whether a block was made with options, or in a reservation.
pub(crate) fn has_options(base: NonNull<u8>) -> bool {
    registry::find(base).is_some()
}

/// What a block got of the options that it was made with.
pub(crate) fn granted(base: NonNull<u8>) -> Granted {
    registry::find(base).map_or(Granted::NOTHING, |entry| entry.raw.granted())
}

/// The options of a block without an entry.
fn options(layout: Layout) -> MapOptions {
    MapOptions::new().align(layout.align())
}

/// The base of a block that maps nothing.
pub(crate) const fn dangling(layout: Layout) -> NonNull<u8> {
    match NonNull::new(core::ptr::without_provenance_mut(layout.align())) {
        Some(base) => base,
        None => unreachable!(),
    }
}

/// A new block; every byte of its extent is zero.
pub(crate) fn map(layout: Layout) -> Result<NonNull<u8>, Refusal> {
    if layout.size() == 0 {
        return Ok(dangling(layout));
    }
    let mapping = options(layout).map(layout.size()).map_err(|error| Refusal::Block(layout, error))?;
    // `map` rounds up to exactly the extent and commits all of it: B3.
    Ok(mapping.into_raw().base())
}

/// As [`map`], for a block that is about to be filled.
pub(crate) fn map_dense(layout: Layout) -> Result<NonNull<u8>, Refusal> {
    let base = map(layout)?;
    if layout.size() >= DENSE_HUGE_MIN {
        // SAFETY: the block was made just now and has a size.
        unsafe { plain(base, layout) }.prefer_huge_pages();
    }
    Ok(base)
}

/// A new block made with these options, of a page at least, so that there is something for the options to hold for.
pub(crate) fn map_with(layout: Layout, options: MapOptions) -> Result<NonNull<u8>, Refusal> {
    let options = options.align_at_least(layout.align());
    if options == self::options(layout) && layout.size() > 0 {
        return map(layout);
    }
    let refused = |error| Refusal::Block(layout, error);
    let mapping = options.map(layout.size().max(1)).map_err(refused)?;
    registry::insert(mapping, false).map_err(refused)
}

/// A new block without a usable byte, which can become as large as `most` where it lies.
pub(crate) fn reserve_with(most: Layout, options: MapOptions) -> Result<NonNull<u8>, Refusal> {
    let refused = |error| Refusal::Block(most, error);
    let options = options.align_at_least(most.align());
    let mapping = options.reserve(most.size().max(1)).map_err(refused)?;
    registry::insert(mapping, true).map_err(refused)
}

/// A new block like the one at `base`: with the same options, and the same reservation if it has one.
pub(crate) fn map_like(base: NonNull<u8>, layout: Layout) -> Result<NonNull<u8>, Refusal> {
    match registry::find(base) {
        None => map_dense(layout),
        Some(Entry { raw, stable: false }) => map_with(layout, raw.options()),
        Some(Entry { raw, stable: true }) => {
            let refused = |error| Refusal::Block(layout, error);
            if layout.size() > raw.reserved() {
                return Err(Refusal::Reservation(layout.size()));
            }
            let mut mapping = raw.options().reserve(raw.reserved()).map_err(refused)?;
            mapping.commit(layout.size()).map_err(refused)?;
            registry::insert(mapping, true).map_err(refused)
        }
    }
}

/// The mapping of a block without an entry, to be worked on. It is not unmapped when it goes out of scope.
///
/// # Safety
/// `(base, layout)` is a block of the caller's without an entry and with a size other than zero, and it is not used while
/// the mapping is.
unsafe fn plain(base: NonNull<u8>, layout: Layout) -> ManuallyDrop<Mapping> {
    // SAFETY: by B3 this is what is known of the mapping; the caller lets this value stand for the block.
    ManuallyDrop::new(unsafe { Mapping::plain(base, extent(layout), layout.align()) })
}

/// Works on the mapping of a block that has an entry, and enters what has become of it; `None` if it has no entry. The
/// block's new base comes with the answer.
///
/// # Safety
/// The block at `base` is the caller's and is not used while `work` runs.
unsafe fn with_entry<R>(base: NonNull<u8>, work: impl FnOnce(&mut Mapping, bool) -> R) -> Option<(NonNull<u8>, R)> {
    let Entry { raw, stable } = registry::take(base)?;
    // SAFETY: the entry is the only right to the mapping, and it was taken out.
    let mut mapping = ManuallyDrop::new(unsafe { Mapping::from_raw(raw) });
    let answer = work(&mut mapping, stable);
    let raw = ManuallyDrop::into_inner(mapping).into_raw();
    registry::put_back(Entry { raw, stable });
    Some((raw.base(), answer))
}

/// Makes a block larger, by moving pages where it does not fit; it returns the new base. New bytes are zero.
///
/// What grows is being filled, so a large block asks for huge pages.
///
/// On an error the block is as it was.
///
/// # Safety
/// `(base, old)` is a block of the caller's, which is replaced by `(returned base, new)`; the alignments are the same and
/// `new` is at least as large.
pub(crate) unsafe fn grow(base: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<u8>, Refusal> {
    debug_assert!(old.align() == new.align() && old.size() <= new.size());
    let grown = |mapping: &mut Mapping, stable: bool| {
        if stable && new.size() > mapping.reserved() {
            return Err(Refusal::Reservation(new.size()));
        }
        mapping.grow(new.size()).map_err(|error| Refusal::Block(new, error))
    };
    // SAFETY: the caller's contract.
    if let Some((base, answer)) = unsafe { with_entry(base, grown) } {
        return answer.map(|()| base);
    }
    if old.size() == 0 {
        return map_dense(new);
    }
    // SAFETY: the caller's contract; the size is not zero and there is no entry.
    let mut mapping = unsafe { plain(base, old) };
    mapping.grow(new.size()).map_err(|error| Refusal::Block(new, error))?;
    debug_assert_eq!(mapping.len(), extent(new));
    if new.size() >= DENSE_HUGE_MIN {
        mapping.prefer_huge_pages();
    }
    Ok(start(&mut mapping))
}

/// Makes a block smaller and gives its last pages back; it returns the new base. Within a reservation the addresses stay; a
/// block made with options keeps a page.
///
/// On an error, which the kernel's limit of mappings can bring about, the block is as it was.
///
/// # Safety
/// `(base, old)` is a block of the caller's, which is replaced by `(returned base, new)`; the alignments are the same and
/// `new` is at most as large.
pub(crate) unsafe fn shrink(base: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<u8>> {
    debug_assert!(old.align() == new.align() && new.size() <= old.size());
    let shrunk = |mapping: &mut Mapping, stable: bool| {
        if stable { mapping.uncommit(new.size()) } else { mapping.shrink(new.size()) }
    };
    // SAFETY: the caller's contract.
    if let Some((base, answer)) = unsafe { with_entry(base, shrunk) } {
        return answer.map(|()| base);
    }
    if new.size() == 0 {
        // SAFETY: the caller's contract.
        unsafe { unmap(base, old) };
        return Ok(dangling(new));
    }
    // SAFETY: the caller's contract; the size is at least the new one, which is not zero, and there is no entry.
    let mut mapping = unsafe { plain(base, old) };
    mapping.shrink(new.size())?;
    Ok(start(&mut mapping))
}

/// As [`shrink`], for a caller that needs a block of the smaller layout: if the kernel refuses to unmap the last pages, their
/// memory goes back all the same and only their addresses are lost.
///
/// # Safety
/// As for [`shrink`].
pub(crate) unsafe fn cut(base: NonNull<u8>, old: Layout, new: Layout) -> NonNull<u8> {
    // SAFETY: the caller's contract.
    match unsafe { shrink(base, old, new) } {
        Ok(base) => base,
        // By B1 the block is one of any smaller layout too.
        Err(_) if registry::find(base).is_some() => base,
        Err(_) => {
            // SAFETY: the caller's contract; `shrink` failed, so neither size is zero and the block is as it was.
            let mut mapping = unsafe { plain(base, old) };
            // A further failure leaves no further remedy.
            let _ = mapping.decommit(extent(new)..extent(old));
            start(&mut mapping)
        }
    }
}

/// Gives the memory of a range of a block back; it reads zero from then on.
///
/// # Safety
/// `(base, layout)` is a block of the caller's, of which `range` is usable, and nobody else uses it meanwhile.
pub(crate) unsafe fn decommit(base: NonNull<u8>, layout: Layout, range: Range<usize>) -> Result<()> {
    // SAFETY: the caller's contract; a block with a usable range has a size.
    unsafe {
        match with_entry(base, |mapping, _| mapping.decommit(range.clone())) {
            Some((_, answer)) => answer,
            None => plain(base, layout).decommit(range),
        }
    }
}

/// Up to this many bytes that are in memory, clearing them is cheaper than faulting new zeros in.
const CLEARED_BY_HAND: usize = 256 << 10;

/// Makes a range of a block read zero, and perhaps what lies behind it in the same page. Pages that were never touched stay
/// so.
///
/// # Safety
/// `(base, layout)` is a block of the caller's, of which `range` is usable and not empty, and nobody else uses it meanwhile.
pub(crate) unsafe fn clear(base: NonNull<u8>, layout: Layout, range: Range<usize>) {
    let first_page = round_up(range.start, page_size()).min(range.end);
    // To the end of the last page, so that it is not touched just to clear a part of it.
    let pages = first_page..round_up(range.end, page_size()).min(usable(base, layout));
    // SAFETY: the caller's contract: all of it lies within the usable bytes.
    unsafe {
        base.add(range.start).write_bytes(0, first_page - range.start);
        if range.end == first_page {
            return;
        }
        let by_hand = pages.len() <= CLEARED_BY_HAND && looks_resident(base.add(pages.start), pages.len());
        // Pages that the kernel does not take back are cleared by hand as well.
        if by_hand || decommit(base, layout, pages.clone()).is_err() {
            base.add(first_page).write_bytes(0, range.end - first_page);
        }
    }
}

/// Gives a block back.
///
/// # Safety
/// `(base, layout)` is a block of the caller's; it is not used again.
pub(crate) unsafe fn unmap(base: NonNull<u8>, layout: Layout) {
    if let Some(Entry { raw, .. }) = registry::take(base) {
        // SAFETY: the entry is the only right to the mapping, and it was taken out.
        drop(unsafe { Mapping::from_raw(raw) });
        registry::forget();
    } else if layout.size() > 0 {
        // SAFETY: the caller's contract; the size is not zero and there is no entry.
        drop(ManuallyDrop::into_inner(unsafe { plain(base, layout) }));
    }
}

fn start(mapping: &mut Mapping) -> NonNull<u8> {
    // A mapping never starts at address zero.
    NonNull::new(mapping.as_mut_ptr()).unwrap_or(NonNull::dangling())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn an_empty_block_is_an_aligned_address_without_pages() {
        let base = map(layout(0, 1 << 20)).unwrap();
        assert_eq!(base.addr().get(), 1 << 20);
        // SAFETY: an empty block of this test's.
        unsafe { unmap(base, layout(0, 1 << 20)) };
    }

    #[test]
    fn a_block_keeps_its_bytes_through_growth_and_shrinking() {
        let page = page_size();
        let mut base = dangling(layout(0, 8));
        let mut old = layout(0, 8);
        for new in [layout(8, 8), layout(page, 8), layout(5 * page + 8, 8), layout(8, 8), layout(0, 8)] {
            // SAFETY: `(base, old)` is this test's block, replaced by the new one.
            base = unsafe {
                if new.size() >= old.size() { grow(base, old, new).unwrap() } else { shrink(base, old, new).unwrap() }
            };
            if new.size() > 0 {
                assert_eq!(base.addr().get() % page, 0);
                // SAFETY: the block has at least eight bytes, zero when new.
                unsafe {
                    let seen = base.cast::<u64>().read();
                    assert_eq!(seen, if old.size() == 0 { 0 } else { 0x5eed });
                    base.cast::<u64>().write(0x5eed);
                    base.add(extent(new) - 1).write(1);
                }
            }
            old = new;
        }
        assert_eq!(base, dangling(old));
    }

    #[test]
    fn a_cut_block_is_as_short_as_asked() {
        let (old, new) = (layout(9 * page_size(), 1), layout(2 * page_size() - 1, 1));
        let base = map(old).unwrap();
        // SAFETY: this test's block, replaced and then given back.
        unsafe {
            base.write(7);
            let base = cut(base, old, new);
            assert_eq!(base.read(), 7);
            unmap(base, new);
        }
    }

    #[test]
    fn sizes_without_a_layout_are_refused_with_the_saturated_size() {
        assert!(matches!(array(Layout::new::<u64>(), usize::MAX / 4), Err(Refusal::Overflow(usize::MAX))));
        assert!(matches!(array(Layout::new::<u8>(), isize::MAX as usize + 1), Err(Refusal::Overflow(_))));
        assert_eq!(array(Layout::new::<u64>(), 3).unwrap(), Layout::new::<[u64; 3]>());
        let error = Error::from(array(Layout::new::<u64>(), usize::MAX).unwrap_err());
        assert_eq!((error.operation(), error.bytes()), (Operation::Allocate, usize::MAX));
        // A layout that exists but that no mapping can have is refused with that layout.
        let huge = layout(isize::MAX as usize, 1);
        assert!(matches!(map(huge), Err(Refusal::Block(refused, _)) if refused == huge));
    }
}
