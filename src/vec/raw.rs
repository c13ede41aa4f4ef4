//! The storage of a `PageVec`: where its elements lie and how many fit. It knows nothing of which elements there are.
//!
//! [`Storage`] is a typed shell, so that the alignment and the size cannot be mixed up; [`RawStorage`] does the work
//! once for all element types.
//!
//! # Invariants
//! * **S1** `(base, capacity elements)` is a block (see `pages`) that the storage owns.
//! * **S2** `capacity` is as many elements as the usable bytes of the block hold.
//! * **S3** For elements of size zero `capacity` is zero, and the room for them is endless.

use crate::error::Result;
use crate::map::{Granted, MapOptions};
use crate::page::{page_size, round_up};
use crate::pages::{self, Refusal};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// How much to ask for when elements do not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// At least twice the capacity, so that a row of pushes costs constant time each.
    Amortised,
    /// What is needed, in whole pages.
    Exact,
}

struct RawStorage {
    base: NonNull<u8>,
    capacity: usize,
}

// SAFETY: by S1 the block belongs to this value alone, so it can move to another thread with it.
unsafe impl Send for RawStorage {}
// SAFETY: a shared reference gives out the address and the capacity only.
unsafe impl Sync for RawStorage {}

impl RawStorage {
    fn layout(&self, element: Layout) -> Layout {
        // SAFETY: by S1 this is the layout of a block, or its size is zero.
        unsafe { Layout::from_size_align_unchecked(element.size() * self.capacity, element.align()) }
    }

    /// Room for `additional` elements behind the first `len`.
    ///
    /// # Safety
    /// `element` is the layout with which the storage was made.
    #[cold]
    #[inline(never)]
    unsafe fn grow(&mut self, element: Layout, len: usize, additional: usize, growth: Growth) -> Result<(), Refusal> {
        let needed = len.checked_add(additional).ok_or(Refusal::Overflow(usize::MAX))?;
        let exact = pages::array(element, needed)?;
        if element.size() == 0 {
            // There is room for `usize::MAX` of them (S3).
            return Ok(());
        }
        // Twice as much is a wish: where there is no memory for it, what is needed will do. By S1 the capacity is at most
        // `isize::MAX`, so doubling does not overflow.
        let most = pages::reservation(self.base).map_or(usize::MAX, |bytes| bytes / element.size());
        let wish = (self.capacity * 2).min(most);
        if growth == Growth::Amortised
            && wish > needed
            && let Ok(doubled) = pages::array(element, wish)
            // SAFETY: the caller's contract; larger than what is needed, which is larger than the capacity.
            && unsafe { self.grow_to(element, doubled) }.is_ok()
        {
            return Ok(());
        }
        // SAFETY: the caller's contract; this is called when `needed` is past the capacity.
        unsafe { self.grow_to(element, exact) }
    }

    /// # Safety
    /// `element` is the layout with which the storage was made, `new` that of at least `capacity` elements.
    unsafe fn grow_to(&mut self, element: Layout, new: Layout) -> Result<(), Refusal> {
        // SAFETY: S1 and the caller's contract; the base is replaced.
        self.base = unsafe { pages::grow(self.base, self.layout(element), new) }?;
        self.capacity = pages::usable(self.base, new) / element.size();
        Ok(())
    }
}

/// Room for elements of type `T`, given back when dropped.
pub(super) struct Storage<T> {
    raw: RawStorage,
    owns: PhantomData<T>,
}

impl<T> Storage<T> {
    const ELEMENT: Layout = Layout::new::<T>();

    /// Room for nothing: the empty block.
    pub(super) const fn new() -> Self {
        Self { raw: RawStorage { base: pages::dangling(Self::ELEMENT), capacity: 0 }, owns: PhantomData }
    }

    /// Room for at least `capacity` elements, every byte of it zero, that may stay untouched: no huge pages are asked for.
    pub(super) fn zeroed(capacity: usize) -> Result<Self, Refusal> {
        Self::of(pages::array(Self::ELEMENT, capacity)?, pages::map)
    }

    /// Room for at least `capacity` elements, in pages made with these options.
    pub(super) fn with_options(capacity: usize, options: MapOptions) -> Result<Self, Refusal> {
        let layout = pages::array(Self::ELEMENT, capacity)?;
        Self::of(layout, |layout| pages::map_with(layout, options))
    }

    /// No room yet, but addresses for `most` elements, which stay where they are.
    pub(super) fn with_reserved(most: usize, options: MapOptions) -> Result<Self, Refusal> {
        let layout = pages::array(Self::ELEMENT, most)?;
        Self::of(layout, |layout| pages::reserve_with(layout, options))
    }

    /// Room for at least `capacity` elements, made as this storage was.
    pub(super) fn like(&self, capacity: usize) -> Result<Self, Refusal> {
        let layout = pages::array(Self::ELEMENT, capacity)?;
        Self::of(layout, |layout| pages::map_like(self.raw.base, layout))
    }

    /// The storage of a new block.
    fn of(layout: Layout, block: impl FnOnce(Layout) -> Result<NonNull<u8>, Refusal>) -> Result<Self, Refusal> {
        let mut storage = Self::new();
        if size_of::<T>() > 0 {
            storage.raw.base = block(layout)?;
            storage.set_extent(layout);
        }
        Ok(storage)
    }

    /// How many elements there can be without moving, if they must not move.
    pub(super) fn reserved(&self) -> Option<usize> {
        pages::reservation(self.raw.base).map(|bytes| bytes / size_of::<T>().max(1))
    }

    /// What the pages got of the options that they were made with.
    pub(super) fn granted(&self) -> Granted {
        pages::granted(self.raw.base)
    }

    /// The bytes of the block.
    pub(super) fn bytes(&self) -> usize {
        pages::usable(self.raw.base, self.raw.layout(Self::ELEMENT))
    }

    /// As [`reserve`](Self::reserve), for room that may stay untouched: no huge pages are asked for a first block.
    pub(super) fn reserve_zeroed(&mut self, len: usize, additional: usize) -> Result<(), Refusal> {
        if self.raw.capacity == 0 && size_of::<T>() > 0 && !pages::has_options(self.raw.base) {
            *self = Self::zeroed(additional)?;
            return Ok(());
        }
        self.reserve(len, additional, Growth::Amortised)
    }

    /// Gives the memory of the pages behind the first `len` elements back and keeps the room.
    pub(super) fn decommit(&mut self, len: usize) -> Result<()> {
        let from = round_up(len * size_of::<T>(), page_size());
        let to = self.bytes();
        if from >= to {
            return Ok(());
        }
        // SAFETY: S1 and S2; no element lies there.
        unsafe { pages::decommit(self.raw.base, self.raw.layout(Self::ELEMENT), from..to) }
    }

    /// Makes the room from element `from` to element `to` read zero, as far as it lies in the first `bytes` of the block;
    /// what lies behind may do so too.
    pub(super) fn clear(&mut self, from: usize, to: usize, bytes: usize) {
        debug_assert!(from <= to && to <= self.capacity() && bytes <= self.bytes());
        let range = from * size_of::<T>()..(to * size_of::<T>()).min(bytes);
        if !range.is_empty() {
            // SAFETY: S1 and S2; no element lies there.
            unsafe { pages::clear(self.raw.base, self.raw.layout(Self::ELEMENT), range) };
        }
    }

    /// Room for at least `capacity` elements, about to be filled.
    pub(super) fn with_capacity(capacity: usize) -> Result<Self, Refusal> {
        let mut storage = Self::new();
        storage.reserve(0, capacity, Growth::Exact)?;
        Ok(storage)
    }

    /// The storage with this base and at least this capacity.
    ///
    /// # Safety
    /// `(base, capacity elements of T)` is a block of the caller's, which becomes the storage's.
    pub(super) unsafe fn from_raw_parts(base: NonNull<T>, capacity: usize) -> Self {
        let capacity = if size_of::<T>() == 0 { 0 } else { capacity };
        let mut storage = Self { raw: RawStorage { base: base.cast(), capacity }, owns: PhantomData };
        storage.set_extent(storage.raw.layout(Self::ELEMENT));
        storage
    }

    /// Where the first element is.
    #[inline(always)]
    pub(super) const fn base(&self) -> NonNull<T> {
        self.raw.base.cast()
    }

    /// How many elements there is room for.
    #[inline(always)]
    pub(super) const fn capacity(&self) -> usize {
        if size_of::<T>() == 0 { usize::MAX } else { self.raw.capacity }
    }

    /// Sees to room for `additional` elements behind the first `len`, which must not be more than the capacity. The
    /// elements keep their values.
    #[inline]
    pub(super) fn reserve(&mut self, len: usize, additional: usize, growth: Growth) -> Result<(), Refusal> {
        if additional > self.capacity() - len {
            // SAFETY: the layout is that of `T` in every call.
            unsafe { self.raw.grow(Self::ELEMENT, len, additional, growth) }
        } else {
            Ok(())
        }
    }

    /// Keeps the room for `capacity` elements and gives pages behind it back; a larger capacity than the present one
    /// changes nothing.
    pub(super) fn shrink(&mut self, capacity: usize) -> Result<()> {
        if let Some((old, new)) = self.smaller(capacity) {
            // SAFETY: S1; the base is replaced.
            self.raw.base = unsafe { pages::shrink(self.raw.base, old, new) }?;
            self.set_extent(new);
        }
        Ok(())
    }

    /// As [`shrink`](Self::shrink), and the block becomes exactly that of `capacity` elements, whatever the kernel says.
    pub(super) fn cut(&mut self, capacity: usize) {
        if let Some((old, new)) = self.smaller(capacity) {
            // SAFETY: S1; the base is replaced.
            self.raw.base = unsafe { pages::cut(self.raw.base, old, new) };
            self.set_extent(new);
        }
    }

    /// The present layout and that of a smaller capacity.
    fn smaller(&self, capacity: usize) -> Option<(Layout, Layout)> {
        // A capacity below the present one has a layout, because the present one has.
        (capacity < self.raw.capacity)
            .then(|| pages::array(Self::ELEMENT, capacity).ok())
            .flatten()
            .map(|new| (self.raw.layout(Self::ELEMENT), new))
    }

    /// Sets the capacity to what the block, of which this is a layout, holds: S2. Elements without a size have none (S3).
    fn set_extent(&mut self, layout: Layout) {
        if size_of::<T>() > 0 {
            self.raw.capacity = pages::usable(self.raw.base, layout) / size_of::<T>();
        }
    }
}

impl<T> Drop for Storage<T> {
    fn drop(&mut self) {
        // SAFETY: S1, and nothing can use the storage after its drop.
        unsafe { pages::unmap(self.raw.base, self.raw.layout(Self::ELEMENT)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The capacity and the block agree for sizes on both sides of a page.
    fn capacity_is_what_the_pages_hold<T>() {
        let mut storage = Storage::<T>::new();
        assert_eq!(storage.capacity(), 0);
        for wanted in [1, 2, 3, 7, 64, 65] {
            storage.reserve(0, wanted, Growth::Exact).unwrap();
            assert!(storage.capacity() >= wanted);
            let extent = pages::extent(storage.raw.layout(Storage::<T>::ELEMENT));
            assert_eq!(storage.capacity(), extent / size_of::<T>());
            assert!(extent - storage.capacity() * size_of::<T>() < page_size());
            assert_eq!(storage.base().addr().get() % page_size().max(align_of::<T>()), 0);
        }
        storage.shrink(2).unwrap();
        assert!((2..65).contains(&storage.capacity()) || size_of::<T>() * 65 <= page_size());
        storage.cut(0);
        assert_eq!((storage.capacity(), storage.base()), (0, Storage::<T>::new().base()));
    }

    #[test]
    fn capacity_is_what_the_pages_hold_for_every_size() {
        #[repr(align(65536))]
        struct Wide(#[expect(dead_code, reason = "only the size counts")] u8);
        capacity_is_what_the_pages_hold::<u8>();
        capacity_is_what_the_pages_hold::<[u8; 3]>();
        capacity_is_what_the_pages_hold::<[u8; 4096]>();
        capacity_is_what_the_pages_hold::<[u8; 4097]>();
        capacity_is_what_the_pages_hold::<[u64; 1500]>();
        capacity_is_what_the_pages_hold::<Wide>();
    }

    #[test]
    fn amortised_growth_doubles() {
        let mut storage = Storage::<u8>::with_capacity(1).unwrap();
        let first = storage.capacity();
        storage.reserve(first, 1, Growth::Amortised).unwrap();
        assert_eq!(storage.capacity(), 2 * first);
    }

    #[test]
    fn zero_sized_elements_need_no_room() {
        let mut storage = Storage::<()>::with_capacity(usize::MAX).unwrap();
        assert_eq!(storage.capacity(), usize::MAX);
        assert!(storage.reserve(usize::MAX, 1, Growth::Amortised).is_err());
        storage.cut(0);
        assert_eq!(storage.capacity(), usize::MAX);
    }
}
