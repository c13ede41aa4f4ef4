//! What a `PageVec` can do that a `Vec` cannot: pages made with options, addresses that stay, memory given back in part,
//! zeros without a memset.

use super::{PageVec, Storage};
use crate::error::{Error, Result};
use crate::map::{Granted, MapOptions, Pages, Sealed};
use crate::pages::{Refusal, or_raise};
use core::ptr::NonNull;

/// # Pages with options
impl<T> PageVec<T> {
    /// An empty vector with room for at least `capacity` elements in pages made with these options: with guard pages, locked,
    /// left out of core dumps, and whatever else [`MapOptions`] knows.
    ///
    /// The vector grows as every other does, and its new pages are made the same way. It always has at least a page. Its
    /// clones and what is [split off](Self::split_off) have the same options.
    ///
    /// ```
    /// use mapalloc::PageVec;
    /// use mapalloc::map::MapOptions;
    ///
    /// let mut log: PageVec<u8> = PageVec::with_options(1 << 16, MapOptions::new().guard_pages(1, 1).dump(false))?;
    /// log.extend_from_slice(b"not in a core dump, and no pointer runs out of it unseen");
    /// assert!(log.granted().guards().is_some());
    /// # Ok::<(), mapalloc::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the room is more than `isize::MAX` bytes, or the kernel refuses it or one of the options.
    pub fn with_options(capacity: usize, options: MapOptions) -> Result<Self> {
        Ok(Self { storage: Storage::with_options(capacity, options)?, len: 0 })
    }

    /// What the pages got of the options that they were made with.
    pub fn granted(&self) -> Granted {
        self.storage.granted()
    }

    /// An empty vector with the options and the reservation of this one, and room for `capacity` elements.
    #[track_caller]
    pub(super) fn empty_like(&self, capacity: usize) -> Self {
        Self { storage: or_raise(self.storage.like(capacity)), len: 0 }
    }
}

/// # Addresses that stay
impl<T> PageVec<T> {
    /// An empty vector whose elements never move: addresses for `max_elements` are reserved, and memory is committed behind
    /// them as the vector grows. A reservation costs no memory.
    ///
    /// [`capacity`](Self::capacity) is the room that is committed, [`reserved`](Self::reserved) what it can become. Growing
    /// past that is an error from [`try_push`](Self::try_push) and [`try_reserve`](Self::try_reserve), and a panic from
    /// [`push`](Self::push) and whatever else adds elements. [`shrink_to_fit`](Self::shrink_to_fit) gives memory back and
    /// keeps the addresses.
    ///
    /// # What that permits
    /// A pointer from [`as_ptr`](Self::as_ptr) or [`as_mut_ptr`](Self::as_mut_ptr), and every pointer computed from it, may be
    /// dereferenced until the vector is dropped, for as long as the element it points to is one: pushing, reserving,
    /// truncating others and moving the vector itself do not change that. It is still a pointer to something that the
    /// vector owns, so the rules of aliasing hold: no reading through it while somebody has a `&mut` to the element (or a
    /// `&mut [T]` with it, as from [`as_mut_slice`](Self::as_mut_slice) or indexing by a range), no writing through it
    /// while somebody has any reference to it. A pointer made from a reference (`&raw const vec[i]`) is good only until the
    /// next call that borrows the vector mutably, as for a `Vec`.
    ///
    /// ```
    /// use mapalloc::PageVec;
    ///
    /// let mut nodes: PageVec<u64> = PageVec::with_reserved(1_000_000);
    /// nodes.push(1);
    /// let first = nodes.as_ptr();
    /// nodes.extend(2..=500_000);
    /// // SAFETY: the elements of a reserved vector stay where they are, and nobody has a reference to them.
    /// assert_eq!(unsafe { *first }, 1);
    /// assert!(nodes.reserved() >= Some(1_000_000));
    /// ```
    ///
    /// # Panics
    /// If the reservation is more than `isize::MAX` bytes.
    #[must_use]
    #[track_caller]
    pub fn with_reserved(max_elements: usize) -> Self {
        or_raise(Self::raw_reserved(max_elements, MapOptions::new()))
    }

    /// As [`with_reserved`](Self::with_reserved), with options for the pages.
    ///
    /// # Errors
    /// If the reservation is more than `isize::MAX` bytes, or the kernel refuses it or one of the options.
    pub fn try_with_reserved(max_elements: usize, options: MapOptions) -> Result<Self> {
        Ok(Self::raw_reserved(max_elements, options)?)
    }

    fn raw_reserved(max_elements: usize, options: MapOptions) -> Result<Self, Refusal> {
        Ok(Self { storage: Storage::with_reserved(max_elements, options)?, len: 0 })
    }

    /// How many elements there can be at the addresses that are reserved, or `None` if the vector grows by moving.
    pub fn reserved(&self) -> Option<usize> {
        self.storage.reserved()
    }
}

/// # Memory
impl<T> PageVec<T> {
    /// Gives the memory of the pages behind the elements back and keeps the capacity: the next use of that room faults new
    /// pages in. For a buffer that is kept, but not needed for a while.
    ///
    /// ```
    /// use mapalloc::PageVec;
    ///
    /// let mut buffer = PageVec::from([1_u8; 100_000]);
    /// let room = buffer.capacity();
    /// buffer.truncate(10);
    /// buffer.decommit()?; // all but the first page
    /// assert_eq!((buffer.capacity(), &buffer[..]), (room, &[1; 10][..]));
    /// # Ok::<(), mapalloc::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the kernel refuses; the elements are as they were.
    pub fn decommit(&mut self) -> Result<()> {
        self.storage.decommit(self.len)
    }

    /// Makes the length `len`, with elements whose bytes are all zero where some are missing.
    ///
    /// New pages are zero as the kernel gives them, and no byte of them is written. Room that was written to before is cleared,
    /// or its pages are given back for zeros, whichever costs less; pages that were never touched stay so.
    ///
    /// Where the element type is known to allow it, the cargo features `zerocopy` and `bytemuck` give the safe
    /// `resize_zeroed`.
    ///
    /// ```
    /// use mapalloc::PageVec;
    ///
    /// let mut table = PageVec::from([7_u64]);
    /// // SAFETY: zero is a `u64`.
    /// unsafe { table.resize_zeroed_unchecked(1 << 20) }; // 8 MiB, of which one page is touched
    /// assert_eq!((table[0], table[1 << 19]), (7, 0));
    /// ```
    ///
    /// # Safety
    /// A `T` may have all its bytes zero.
    ///
    /// # Panics
    /// If the elements are more than `isize::MAX` bytes, or more than is [reserved](Self::with_reserved).
    #[track_caller]
    pub unsafe fn resize_zeroed_unchecked(&mut self, len: usize) {
        // SAFETY: the caller's contract.
        or_raise(unsafe { self.raw_resize_zeroed(len) });
    }

    /// As [`resize_zeroed_unchecked`](Self::resize_zeroed_unchecked), without the panic.
    ///
    /// # Safety
    /// A `T` may have all its bytes zero.
    ///
    /// # Errors
    /// If the elements are more than `isize::MAX` bytes, or more than is reserved, or the kernel refuses the memory.
    pub unsafe fn try_resize_zeroed_unchecked(&mut self, len: usize) -> Result<()> {
        // SAFETY: the caller's contract.
        Ok(unsafe { self.raw_resize_zeroed(len) }?)
    }

    /// Adds `count` elements whose bytes are all zero, as
    /// [`resize_zeroed_unchecked`](Self::resize_zeroed_unchecked) does.
    ///
    /// # Safety
    /// A `T` may have all its bytes zero.
    ///
    /// # Panics
    /// If the elements are more than `isize::MAX` bytes, or more than is [reserved](Self::with_reserved).
    #[track_caller]
    pub unsafe fn extend_zeroed_unchecked(&mut self, count: usize) {
        let len = or_raise(self.len.checked_add(count).ok_or(Refusal::Overflow(usize::MAX)));
        // SAFETY: the caller's contract.
        unsafe { self.resize_zeroed_unchecked(len) };
    }

    /// As [`extend_zeroed_unchecked`](Self::extend_zeroed_unchecked), without the panic.
    ///
    /// # Safety
    /// A `T` may have all its bytes zero.
    ///
    /// # Errors
    /// If the elements are more than `isize::MAX` bytes, or more than is reserved, or the kernel refuses the memory.
    pub unsafe fn try_extend_zeroed_unchecked(&mut self, count: usize) -> Result<()> {
        let len = self.len.checked_add(count).ok_or(Error::from(Refusal::Overflow(usize::MAX)))?;
        // SAFETY: the caller's contract.
        unsafe { self.try_resize_zeroed_unchecked(len) }
    }

    /// # Safety
    /// A `T` may have all its bytes zero.
    unsafe fn raw_resize_zeroed(&mut self, len: usize) -> Result<(), Refusal> {
        let Some(missing) = len.checked_sub(self.len) else {
            self.truncate(len);
            return Ok(());
        };
        let present = self.storage.bytes();
        self.storage.reserve_zeroed(self.len, missing)?;
        // Room that was there before may have been written to, also its end in which no element fitted; what came just now is
        // zero.
        self.storage.clear(self.len, len, present);
        self.len = len;
        Ok(())
    }
}

impl<T: Copy> Sealed for PageVec<T> {}

// SAFETY: the block is the vector's (S1) and holds its elements (V1); length and capacity lie outside it, and elements that
// are `Copy` have no destructor.
unsafe impl<T: Copy> Pages for PageVec<T> {
    fn range(&self) -> (NonNull<u8>, usize) {
        (self.storage.base().cast(), self.storage.bytes())
    }
}
