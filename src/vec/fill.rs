//! Adding many elements to a `PageVec`: copies, fills and iterators.

use super::PageVec;
use crate::pages::{Refusal, or_raise};
use core::ops::RangeBounds;

/// Elements being written behind the end. They become part of the vector when this is dropped, so also when making the
/// next one panics; until then the compiler may keep the count and the address in registers.
struct Tail<'a, T> {
    vec: &'a mut PageVec<T>,
    /// The vector's own, as long as nobody reserves.
    base: *mut T,
    len: usize,
}

impl<'a, T> Tail<'a, T> {
    #[inline]
    fn new(vec: &'a mut PageVec<T>) -> Self {
        let (base, len) = (vec.as_mut_ptr(), vec.len);
        Self { vec, base, len }
    }

    /// Sees to room for more, with the elements written so far.
    #[track_caller]
    fn reserve(&mut self, additional: usize) {
        self.vec.len = self.len;
        self.vec.reserve(additional);
        self.base = self.vec.as_mut_ptr();
    }

    /// # Safety
    /// There is room for the element.
    #[inline(always)]
    unsafe fn push(&mut self, value: T) {
        // SAFETY: `len` is less than the capacity, by the caller's contract.
        unsafe { self.base.add(self.len).write(value) };
        self.len += 1;
    }
}

impl<T> Drop for Tail<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // V1: `push` has initialised the elements up to here.
        self.vec.len = self.len;
    }
}

impl<T> PageVec<T> {
    /// Adds clones of the elements of a slice.
    ///
    /// # Panics
    /// If the elements are more than `isize::MAX` bytes.
    #[track_caller]
    pub fn extend_from_slice(&mut self, other: &[T])
    where
        T: Clone,
    {
        self.reserve(other.len());
        let mut tail = Tail::new(self);
        for element in other {
            // SAFETY: there is room for as many as `other` has.
            unsafe { tail.push(element.clone()) };
        }
    }

    /// Adds clones of the elements in a range of this vector.
    ///
    /// # Panics
    /// If the range ends before it starts, or past the length, or the elements are more than `isize::MAX` bytes.
    #[track_caller]
    pub fn extend_from_within<R>(&mut self, range: R)
    where
        T: Clone,
        R: RangeBounds<usize>,
    {
        let range = super::checked_range(self, range);
        self.reserve(range.len());
        let mut tail = Tail::new(self);
        for index in range {
            // SAFETY: `index` is below the old length, so the element is initialised and stays where it is; there is room
            // for as many as the range has.
            unsafe {
                let copy = (*tail.base.add(index)).clone();
                tail.push(copy);
            }
        }
    }

    /// Makes the length `len`, with clones of `value` where elements are missing.
    ///
    /// # Panics
    /// If the elements are more than `isize::MAX` bytes.
    #[track_caller]
    pub fn resize(&mut self, len: usize, value: T)
    where
        T: Clone,
    {
        let Some(missing) = len.checked_sub(self.len).filter(|&missing| missing > 0) else {
            return self.truncate(len);
        };
        self.reserve(missing);
        let mut tail = Tail::new(self);
        for _ in 1..missing {
            // SAFETY: there is room for `missing` elements.
            unsafe { tail.push(value.clone()) };
        }
        // SAFETY: this is the last of them.
        unsafe { tail.push(value) };
    }

    /// Makes the length `len`, with values from `make` where elements are missing.
    ///
    /// # Panics
    /// If the elements are more than `isize::MAX` bytes.
    #[track_caller]
    pub fn resize_with<F>(&mut self, len: usize, mut make: F)
    where
        F: FnMut() -> T,
    {
        let Some(missing) = len.checked_sub(self.len) else {
            return self.truncate(len);
        };
        self.reserve(missing);
        let mut tail = Tail::new(self);
        for _ in 0..missing {
            // SAFETY: there is room for `missing` elements.
            unsafe { tail.push(make()) };
        }
    }

    /// Adds what an iterator gives. Its size hint decides how much room is asked for, and never how much is written.
    #[track_caller]
    fn extend_by(&mut self, mut elements: impl Iterator<Item = T>) {
        let Some(first) = elements.next() else { return };
        // An iterator without an end is refused at once: without a size its elements would fit for ever.
        or_raise(if elements.size_hint() == (usize::MAX, None) { Err(Refusal::Overflow(usize::MAX)) } else { Ok(()) });
        let mut tail = Tail::new(self);
        let mut next = Some(first);
        while let Some(element) = next {
            if tail.len == tail.vec.capacity() {
                tail.reserve(elements.size_hint().0.saturating_add(1));
            }
            // SAFETY: there is room for one.
            unsafe { tail.push(element) };
            for _ in tail.len..tail.vec.capacity() {
                let Some(element) = elements.next() else { return };
                // SAFETY: there is room for as many as the loop has rounds.
                unsafe { tail.push(element) };
            }
            next = elements.next();
        }
    }
}

impl<T> Extend<T> for PageVec<T> {
    #[track_caller]
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        self.extend_by(elements.into_iter());
    }
}

impl<'a, T: Copy + 'a> Extend<&'a T> for PageVec<T> {
    #[track_caller]
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, elements: I) {
        self.extend_by(elements.into_iter().copied());
    }
}

impl<T> FromIterator<T> for PageVec<T> {
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut vec = Self::new();
        vec.extend_by(elements.into_iter());
        vec
    }
}

impl<T: Clone> Clone for PageVec<T> {
    /// The clone has pages made with the same options, and a reservation of its own if this vector has one.
    #[track_caller]
    fn clone(&self) -> Self {
        let mut vec = self.empty_like(self.len);
        vec.extend_from_slice(self);
        vec
    }

    #[track_caller]
    fn clone_from(&mut self, source: &Self) {
        self.truncate(source.len);
        // The lengths allow the split: what is left is no longer than the source.
        let (present, missing) = source.split_at(self.len);
        self.clone_from_slice(present);
        self.extend_from_slice(missing);
    }
}

impl<T: Clone> From<&[T]> for PageVec<T> {
    #[track_caller]
    fn from(elements: &[T]) -> Self {
        let mut vec = Self::new();
        vec.extend_from_slice(elements);
        vec
    }
}

impl<T: Clone> From<&mut [T]> for PageVec<T> {
    #[track_caller]
    fn from(elements: &mut [T]) -> Self {
        Self::from(&*elements)
    }
}

impl<T: Clone, const N: usize> From<&[T; N]> for PageVec<T> {
    #[track_caller]
    fn from(elements: &[T; N]) -> Self {
        Self::from(elements.as_slice())
    }
}

impl<T: Clone, const N: usize> From<&mut [T; N]> for PageVec<T> {
    #[track_caller]
    fn from(elements: &mut [T; N]) -> Self {
        Self::from(elements.as_slice())
    }
}

impl From<&str> for PageVec<u8> {
    #[track_caller]
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}
