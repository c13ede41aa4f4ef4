//! Blocks: memory whose pages follow from a [`Layout`] alone. The untyped core of `PageBox` and `PageVec`.
//!
//! A container keeps no record of its mapping: the pages are a function of the layout, so that a bare pointer to a value
//! is enough to find them again.
//!
//! # Invariants of a block `(base, layout)`
//! * **B1** If `layout.size()` is zero, nothing is mapped and `base` is dangling: not null, a multiple of the alignment.
//! * **B2** Otherwise `base` starts a [`Mapping`] of exactly [`extent`]`(layout)` bytes, all committed, made with
//!   [`options`]`(layout)`; whoever owns the block owns the mapping.
//! * **B3** Two layouts with the same extent and alignment name the same block.

use crate::error::{Error, Operation, Result};
use crate::map::{MapOptions, Mapping};
use crate::page::{DENSE_HUGE_MIN, page_size, round_up};
use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

/// Why a container got no memory, with what each of its two faces needs: the `try_` one an [`Error`], the other one the
/// layout for `handle_alloc_error`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// No layout describes that many bytes (saturated).
    Overflow(usize),
    /// The block was refused.
    Block(Layout, Error),
}

impl Refusal {
    /// Ends the call as the standard containers do.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn raise(self) -> ! {
        match self {
            Self::Overflow(_) => panic!("capacity overflow"),
            Self::Block(layout, _) => std::alloc::handle_alloc_error(layout),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Overflow(bytes) => Self::capacity(Operation::Allocate, bytes),
            Refusal::Block(_, error) => error,
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

/// The bytes that a block of this layout spans: whole pages.
#[inline]
pub(crate) fn extent(layout: Layout) -> usize {
    // A layout's size is at most `isize::MAX`, so there is room to round up.
    round_up(layout.size(), page_size())
}

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
    // `map` rounds up to exactly the extent and commits all of it: B2.
    Ok(mapping.into_raw_parts().0)
}

/// As [`map`], for a block that is about to be filled.
pub(crate) fn map_dense(layout: Layout) -> Result<NonNull<u8>, Refusal> {
    let base = map(layout)?;
    if layout.size() >= DENSE_HUGE_MIN {
        // SAFETY: the block was made just now and has a size.
        unsafe { mapping(base, layout) }.prefer_huge_pages();
    }
    Ok(base)
}

/// The mapping of a block, to be worked on. It is not unmapped when it goes out of scope.
///
/// # Safety
/// `(base, layout)` is a block of the caller's with a size other than zero, and it is not used while the mapping is.
unsafe fn mapping(base: NonNull<u8>, layout: Layout) -> ManuallyDrop<Mapping> {
    let extent = extent(layout);
    // SAFETY: by B2 these are the parts that the mapping would give; the caller lets this value stand for the block.
    ManuallyDrop::new(unsafe { Mapping::from_raw_parts(base, extent, extent, options(layout)) })
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
    if old.size() == 0 {
        return map_dense(new);
    }
    // SAFETY: the caller's contract; the size is not zero.
    let mut mapping = unsafe { mapping(base, old) };
    mapping.grow(new.size()).map_err(|error| Refusal::Block(new, error))?;
    debug_assert_eq!(mapping.len(), extent(new));
    if new.size() >= DENSE_HUGE_MIN {
        mapping.prefer_huge_pages();
    }
    Ok(start(&mut mapping))
}

/// Makes a block smaller and gives its last pages back; it returns the new base.
///
/// On an error, which the kernel's limit of mappings can bring about, the block is as it was.
///
/// # Safety
/// `(base, old)` is a block of the caller's, which is replaced by `(returned base, new)`; the alignments are the same and
/// `new` is at most as large.
pub(crate) unsafe fn shrink(base: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<u8>> {
    debug_assert!(old.align() == new.align() && new.size() <= old.size());
    if new.size() == 0 {
        // SAFETY: the caller's contract.
        unsafe { unmap(base, old) };
        return Ok(dangling(new));
    }
    // SAFETY: the caller's contract; the size is at least the new one, which is not zero.
    let mut mapping = unsafe { mapping(base, old) };
    mapping.shrink(new.size())?;
    Ok(start(&mut mapping))
}

/// As [`shrink`], for a caller that needs the smaller extent: if the kernel refuses to unmap the last pages, their memory
/// goes back all the same and only their addresses are lost.
///
/// # Safety
/// As for [`shrink`].
pub(crate) unsafe fn cut(base: NonNull<u8>, old: Layout, new: Layout) -> NonNull<u8> {
    // SAFETY: the caller's contract.
    match unsafe { shrink(base, old, new) } {
        Ok(base) => base,
        Err(_) => {
            // SAFETY: the caller's contract; `shrink` failed, so neither size is zero and the block is as it was.
            let mut mapping = unsafe { mapping(base, old) };
            // A further failure leaves no further remedy.
            let _ = mapping.decommit(extent(new)..extent(old));
            start(&mut mapping)
        }
    }
}

/// Gives a block back.
///
/// # Safety
/// `(base, layout)` is a block of the caller's; it is not used again.
pub(crate) unsafe fn unmap(base: NonNull<u8>, layout: Layout) {
    if layout.size() > 0 {
        // SAFETY: the caller's contract; the size is not zero.
        drop(ManuallyDrop::into_inner(unsafe { mapping(base, layout) }));
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
