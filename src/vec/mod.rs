//! `PageVec`: a growable array whose storage is whole pages.
//!
//! This file holds the type, its constructors, its capacity and its raw parts; `edit` changes elements, `fill` adds many,
//! `options` is what a `Vec` has no word for, `drain`, `extract`,
//! `splice` and `into_iter` take elements out, `traits` and `convert` are the standard library's vocabulary,
//! `auto` a check of the traits that the compiler gives out. What memory there is, and how it
//! grows, is `raw`'s part.
//!
//! # Invariants of a [`PageVec`]
//! * **V1** `len <= storage.capacity()`, and the first `len` elements are initialised and belong to the vector.
//! * **V2** Whoever has moved elements out, or is about to run code of the element type in their midst, has first lowered
//!   `len` to the elements before them. A panic or a forgotten iterator can then leak elements, and nothing worse.

mod auto;
mod convert;
mod drain;
mod edit;
mod extract;
mod fill;
mod into_iter;
mod macros;
mod options;
mod raw;
mod splice;
mod traits;

pub use drain::Drain;
pub(crate) use edit::checked_range;
pub use extract::ExtractIf;
pub use into_iter::IntoIter;
#[doc(hidden)]
pub use macros::{from_array, from_elem};
pub use splice::Splice;

use crate::boxed::PageBox;
use crate::error::Result;
use crate::pages::{Refusal, or_raise};
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};
use core::slice;
use raw::{Growth, Storage};

/// A growable array like [`Vec`], whose storage is always whole pages.
///
/// The methods have the names, the results and the panics of [`Vec`]. What differs:
///
/// * The first element lies at the start of a page; for an element type with a larger alignment, at a multiple of that.
/// * The capacity is all that the pages hold, so it is at least a page once there are elements. An empty vector that never
///   held any has no pages.
/// * Growth moves pages ([`mremap(2)`](https://man7.org/linux/man-pages/man2/mremap.2.html)), not elements: it takes no
///   second copy of the contents, neither of memory nor of time.
/// * Room for 4 MiB or more that is about to be filled asks for transparent huge pages; zeros do not, since they may be used
///   sparsely.
/// * Room is a matter for the kernel. [`try_reserve`](Self::try_reserve), [`try_push`](Self::try_push) and the other
///   `try_` methods return an [`Error`](crate::Error) where it refuses; the others end as [`Vec`]'s do, in
///   [`handle_alloc_error`](std::alloc::handle_alloc_error).
/// * With [options](Self::with_options) the pages are guarded, locked, huge and more; with
///   [reserved addresses](Self::with_reserved) no element ever moves; [`into_shared`](Self::into_shared) freezes the vector
///   for many owners; and [`Protect`](crate::map::Protect) takes access to it away.
/// * The drop checker takes the drop of a `PageVec` for a use of its elements, because only the standard library can tell
///   it otherwise: a vector cannot hold references to a value that is dropped before it.
///
/// Every vector with elements is one mapping of its own, of which a process has a limited number (`vm.max_map_count`, 65530
/// unless set): a type for large buffers, not for many small ones.
///
/// # What of `Vec` is left out
/// * What names an allocator: `new_in` and its like are not stable, and the pages are the allocator. Options say how they are
///   made, and `mapalloc`'s allocator handles put any collection into pages.
/// * `TryReserveError`, which only the standard library can make: the `try_` methods return this crate's
///   [`Error`](crate::Error), which says more.
/// * What is implemented for `Vec` as the owned form of a slice: `ToOwned`, `Cow`'s owned side, `[T]::concat`.
/// * `io::Write` for a `Cursor` over the vector, which only the crate of one of the two may implement.
/// * What only the compiler or the standard library can do: the optimisations of iterators that are known to tell their true
///   length, collecting in place, dropping elements that the drop checker need not look at. An iterator that says of itself that
///   it has no end is refused when it has given its first element, though `Vec` would take one that does not tell the truth.
///
/// ```
/// use mapalloc::{PageVec, page_size};
///
/// let mut squares: PageVec<u64> = (0..1000).map(|n| n * n).collect();
/// squares.push(1_000_000);
/// assert_eq!(squares[31], 961);
/// assert_eq!(squares.as_ptr().addr() % page_size(), 0);
/// ```
pub struct PageVec<T> {
    storage: Storage<T>,
    len: usize,
}

/// # Making a vector
impl<T> PageVec<T> {
    /// An empty vector without storage.
    #[must_use]
    pub const fn new() -> Self {
        Self { storage: Storage::new(), len: 0 }
    }

    /// An empty vector with room for at least `capacity` elements.
    ///
    /// # Panics
    /// If the room is more than `isize::MAX` bytes.
    #[must_use]
    #[track_caller]
    pub fn with_capacity(capacity: usize) -> Self {
        or_raise(Self::raw_with_capacity(capacity))
    }

    /// An empty vector with room for at least `capacity` elements.
    ///
    /// # Errors
    /// If the room is more than `isize::MAX` bytes, or the kernel refuses it.
    pub fn try_with_capacity(capacity: usize) -> Result<Self> {
        Ok(Self::raw_with_capacity(capacity)?)
    }

    fn raw_with_capacity(capacity: usize) -> Result<Self, Refusal> {
        Ok(Self { storage: Storage::with_capacity(capacity)?, len: 0 })
    }

    /// A vector of `len` elements whose bytes are all zero, as the kernel gives them: no byte is written.
    ///
    /// Where the element type is known to allow it, the cargo features `zerocopy` and `bytemuck` give the safe
    /// constructor `zeroed`.
    ///
    /// # Safety
    /// A `T` may have all its bytes zero.
    ///
    /// # Panics
    /// If the elements are more than `isize::MAX` bytes.
    #[must_use]
    #[track_caller]
    pub unsafe fn zeroed_unchecked(len: usize) -> Self {
        // SAFETY: the caller's contract.
        or_raise(unsafe { Self::raw_zeroed(len) })
    }

    /// As [`zeroed_unchecked`](Self::zeroed_unchecked), without the panic.
    ///
    /// # Safety
    /// A `T` may have all its bytes zero.
    ///
    /// # Errors
    /// If the elements are more than `isize::MAX` bytes, or the kernel refuses the memory.
    pub unsafe fn try_zeroed_unchecked(len: usize) -> Result<Self> {
        // SAFETY: the caller's contract.
        Ok(unsafe { Self::raw_zeroed(len) }?)
    }

    /// # Safety
    /// A `T` may have all its bytes zero.
    unsafe fn raw_zeroed(len: usize) -> Result<Self, Refusal> {
        let mut vec = Self { storage: Storage::zeroed(len)?, len: 0 };
        // SAFETY: the room is there and new, so its bytes are zero, which the caller says is a value.
        unsafe { vec.set_len(len) };
        Ok(vec)
    }
}

/// # Capacity
impl<T> PageVec<T> {
    /// How many elements there is room for: all that the pages hold, or `usize::MAX` for elements of size zero.
    #[inline]
    pub const fn capacity(&self) -> usize {
        self.storage.capacity()
    }

    /// Sees to room for at least `additional` more elements, and for more than that where it grows.
    ///
    /// # Panics
    /// If the room is more than `isize::MAX` bytes.
    #[inline]
    #[track_caller]
    pub fn reserve(&mut self, additional: usize) {
        or_raise(self.storage.reserve(self.len, additional, Growth::Amortised));
    }

    /// Sees to room for at least `additional` more elements, and for no more than fit into the same pages.
    ///
    /// # Panics
    /// If the room is more than `isize::MAX` bytes.
    #[track_caller]
    pub fn reserve_exact(&mut self, additional: usize) {
        or_raise(self.storage.reserve(self.len, additional, Growth::Exact));
    }

    /// Sees to room for `additional` elements behind the first `used`, which need not be the vector's.
    #[track_caller]
    fn reserve_behind(&mut self, used: usize, additional: usize) {
        or_raise(self.storage.reserve(used, additional, Growth::Amortised));
    }

    /// As [`reserve`](Self::reserve), with an error where there is no room; then the vector is as it was.
    ///
    /// # Errors
    /// If the room is more than `isize::MAX` bytes, or the kernel refuses it.
    pub fn try_reserve(&mut self, additional: usize) -> Result<()> {
        Ok(self.storage.reserve(self.len, additional, Growth::Amortised)?)
    }

    /// As [`reserve_exact`](Self::reserve_exact), with an error where there is no room; then the vector is as it was.
    ///
    /// # Errors
    /// If the room is more than `isize::MAX` bytes, or the kernel refuses it.
    pub fn try_reserve_exact(&mut self, additional: usize) -> Result<()> {
        Ok(self.storage.reserve(self.len, additional, Growth::Exact)?)
    }

    /// Gives the pages without elements back to the system.
    ///
    /// At its limit of mappings the kernel can refuse to part one; the capacity then stays.
    pub fn shrink_to_fit(&mut self) {
        self.shrink_to(0);
    }

    /// Gives the pages behind the elements, and behind `min_capacity`, back to the system; as
    /// [`shrink_to_fit`](Self::shrink_to_fit) does.
    pub fn shrink_to(&mut self, min_capacity: usize) {
        // The room is more than was asked to stay, which is no failure.
        let _ = self.storage.shrink(min_capacity.max(self.len));
    }
}

/// # Looking at the elements
impl<T> PageVec<T> {
    /// The number of elements.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of the first element, or of nothing if there is no storage.
    #[inline]
    pub const fn as_ptr(&self) -> *const T {
        self.storage.base().as_ptr()
    }

    /// As [`as_ptr`](Self::as_ptr), for writing.
    #[inline]
    pub const fn as_mut_ptr(&mut self) -> *mut T {
        self.storage.base().as_ptr()
    }

    /// The elements.
    #[inline]
    pub const fn as_slice(&self) -> &[T] {
        // SAFETY: V1, and `&self` keeps writers away.
        unsafe { slice::from_raw_parts(self.as_ptr(), self.len) }
    }

    /// The elements, for writing.
    #[inline]
    pub const fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: V1, and `&mut self` is exclusive.
        unsafe { slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }

    /// The room behind the elements. What is written there becomes elements by [`set_len`](Self::set_len).
    pub fn spare_capacity_mut(&mut self) -> &mut [MaybeUninit<T>] {
        let spare = self.capacity() - self.len;
        // SAFETY: `len <= capacity` by V1, so the room lies within the storage; it holds no elements.
        unsafe { slice::from_raw_parts_mut(self.as_mut_ptr().add(self.len).cast(), spare) }
    }

    /// Says how many elements there are.
    ///
    /// # Safety
    /// `len` is at most the [`capacity`](Self::capacity), and the first `len` elements are initialised.
    #[inline]
    pub const unsafe fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.capacity());
        self.len = len;
    }
}

/// # Giving the vector away
impl<T> PageVec<T> {
    /// The elements for the rest of the program, or for `'a`. Their pages, with the room behind them, are never given back.
    pub fn leak<'a>(self) -> &'a mut [T]
    where
        T: 'a,
    {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: V1, and the storage is nobody's from here on, so nothing ends the borrow.
        unsafe { slice::from_raw_parts_mut(this.as_mut_ptr(), this.len) }
    }

    /// The elements as a box, with the pages behind them given back. No element moves.
    pub fn into_boxed_slice(mut self) -> PageBox<[T]> {
        self.storage.cut(self.len);
        let this = ManuallyDrop::new(self);
        // SAFETY: the block is that of exactly `len` elements, which are initialised (V1); this value gives it up.
        unsafe { PageBox::from_raw(ptr::slice_from_raw_parts_mut(this.storage.base().as_ptr(), this.len)) }
    }

    /// The vector as a pointer, a length and a capacity, both in elements. [`from_raw_parts`](Self::from_raw_parts) takes
    /// it back.
    #[must_use = "the vector is leaked unless its parts are used"]
    pub fn into_raw_parts(self) -> (*mut T, usize, usize) {
        let mut this = ManuallyDrop::new(self);
        (this.as_mut_ptr(), this.len, this.capacity())
    }

    /// The vector of these parts.
    ///
    /// # Safety
    /// * `ptr` and `capacity` are those of a `PageVec` that was given up, by [`into_raw_parts`](Self::into_raw_parts) or
    ///   [`ManuallyDrop`], and they make no second vector. Its element type has the size and the alignment of `T`.
    /// * The first `length` elements are initialised, and `length` is at most `capacity`.
    pub unsafe fn from_raw_parts(ptr: *mut T, length: usize, capacity: usize) -> Self {
        // SAFETY: the caller says that these are the base and the capacity of a vector, whose block is not null and passes
        // to this value.
        let storage = unsafe { Storage::from_raw_parts(NonNull::new_unchecked(ptr), capacity) };
        Self { storage, len: length }
    }

    /// An empty vector in the pages of a box whose elements are still to be written.
    pub(crate) fn in_box(boxed: PageBox<[MaybeUninit<T>]>) -> Self {
        let room = boxed.len();
        let base = PageBox::into_raw(boxed).cast::<T>();
        // SAFETY: the box's block is that of `room` elements, as a vector's would be; the box is given up.
        unsafe { Self::from_raw_parts(base, 0, room) }
    }

    /// The pages of a box as a vector.
    fn from_box(boxed: PageBox<[T]>) -> Self {
        let len = boxed.len();
        let base = PageBox::into_raw(boxed).cast::<T>();
        // SAFETY: the box's block is that of `len` elements, as a vector's would be; the box is given up.
        unsafe { Self::from_raw_parts(base, len, len) }
    }
}

impl<T> Drop for PageVec<T> {
    fn drop(&mut self) {
        // Elements without a destructor are not referred to: their pages may be inaccessible.
        if core::mem::needs_drop::<T>() {
            // SAFETY: V1, and nothing can use the elements after this. If a destructor panics, the others run all the same,
            // and the storage, a field, is given back as well.
            unsafe { ptr::drop_in_place(self.as_mut_slice()) };
        }
    }
}

#[cfg(test)]
mod tests;
