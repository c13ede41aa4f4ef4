//! [`IntoIter`]: the elements of a `PageVec`, by value.
//!
//! # Invariant of an [`IntoIter`]
//! * **I1** The elements in `rest` are initialised, lie within the storage and belong to the iterator.

use super::PageVec;
use super::raw::Storage;
use core::fmt;
use core::iter::FusedIterator;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr;
use core::slice;

/// The iterator over the elements of a [`PageVec`] by value. The pages are given back when it is dropped.
pub struct IntoIter<T> {
    storage: Storage<T>,
    rest: Range<usize>,
}

impl<T> IntoIter<T> {
    fn new(vec: PageVec<T>) -> Self {
        let vec = ManuallyDrop::new(vec);
        // SAFETY: the vector is given up without its drop, so the storage is read once. I1 follows from V1.
        Self { storage: unsafe { ptr::read(&vec.storage) }, rest: 0..vec.len }
    }

    /// The elements that are still to come.
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: I1.
        unsafe { slice::from_raw_parts(self.storage.base().as_ptr().add(self.rest.start), self.rest.len()) }
    }

    /// The elements that are still to come, for writing.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: I1, and `&mut self` is exclusive.
        unsafe { slice::from_raw_parts_mut(self.storage.base().as_ptr().add(self.rest.start), self.rest.len()) }
    }

    /// # Safety
    /// I1 held with the element at `index`, and no longer does.
    #[inline(always)]
    unsafe fn take(&mut self, index: usize) -> T {
        // SAFETY: the caller's contract.
        unsafe { self.storage.base().add(index).read() }
    }
}

impl<T> IntoIter<T> {
    /// # Safety
    /// I1 held with these elements, and no longer does.
    unsafe fn drop_elements(&mut self, first: usize, count: usize) {
        // SAFETY: the caller's contract.
        unsafe { ptr::drop_in_place(ptr::slice_from_raw_parts_mut(self.storage.base().as_ptr().add(first), count)) };
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        let index = self.rest.next()?;
        // SAFETY: the range has just given this index up.
        Some(unsafe { self.take(index) })
    }

    #[inline]
    fn nth(&mut self, n: usize) -> Option<T> {
        let (first, passed) = (self.rest.start, n.min(self.rest.len()));
        self.rest.start += passed;
        // SAFETY: I1 held with these elements, which have just been given up.
        unsafe { self.drop_elements(first, passed) };
        self.next()
    }

    #[inline]
    fn count(self) -> usize {
        self.rest.len()
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl<T> DoubleEndedIterator for IntoIter<T> {
    #[inline]
    fn nth_back(&mut self, n: usize) -> Option<T> {
        let passed = n.min(self.rest.len());
        self.rest.end -= passed;
        // SAFETY: I1 held with these elements, which have just been given up.
        unsafe { self.drop_elements(self.rest.end, passed) };
        self.next_back()
    }

    #[inline]
    fn next_back(&mut self) -> Option<T> {
        let index = self.rest.next_back()?;
        // SAFETY: the range has just given this index up.
        Some(unsafe { self.take(index) })
    }
}

impl<T> ExactSizeIterator for IntoIter<T> {}
impl<T> FusedIterator for IntoIter<T> {}

impl<T> Drop for IntoIter<T> {
    fn drop(&mut self) {
        let rest: *mut [T] = self.as_mut_slice();
        self.rest = 0..0;
        // SAFETY: I1 held with these elements, which have just been given up. The storage, a field, is given back also when
        // a destructor panics.
        unsafe { ptr::drop_in_place(rest) };
    }
}

impl<T: Clone> Clone for IntoIter<T> {
    fn clone(&self) -> Self {
        Self::new(PageVec::from(self.as_slice()))
    }
}

impl<T> Default for IntoIter<T> {
    fn default() -> Self {
        Self::new(PageVec::new())
    }
}

impl<T> AsRef<[T]> for IntoIter<T> {
    fn as_ref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: fmt::Debug> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IntoIter").field(&self.as_slice()).finish()
    }
}

impl<T> IntoIterator for PageVec<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    #[inline]
    fn into_iter(self) -> IntoIter<T> {
        IntoIter::new(self)
    }
}

impl<'a, T> IntoIterator for &'a PageVec<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    #[inline]
    fn into_iter(self) -> slice::Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut PageVec<T> {
    type Item = &'a mut T;
    type IntoIter = slice::IterMut<'a, T>;

    #[inline]
    fn into_iter(self) -> slice::IterMut<'a, T> {
        self.iter_mut()
    }
}
