//! [`Drain`]: the elements of a range of a `PageVec`, taken out one by one.
//!
//! # Invariants of a [`Drain`]
//! * **D1** `vec` points to a vector that is borrowed exclusively for `'a`; its length is the start of the drained range (V2).
//! * **D2** The elements in `rest` and in `tail` are initialised, lie behind the vector's length, and belong to the iterator.

use super::PageVec;
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::mem;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::slice;

/// The iterator of [`PageVec::drain`].
pub struct Drain<'a, T> {
    pub(super) vec: NonNull<PageVec<T>>,
    rest: Range<usize>,
    pub(super) tail: Range<usize>,
    borrow: PhantomData<&'a [T]>,
}

// SAFETY: it owns the elements of `rest` and `tail`, and borrows the vector exclusively; both may move if `T` may.
unsafe impl<T: Send> Send for Drain<'_, T> {}
// SAFETY: a shared reference gives shared access to the elements of `rest`.
unsafe impl<T: Sync> Sync for Drain<'_, T> {}

impl<'a, T> Drain<'a, T> {
    /// Takes a range that is known to be within the length.
    pub(super) fn new(vec: &'a mut PageVec<T>, range: Range<usize>) -> Self {
        debug_assert!(range.start <= range.end && range.end <= vec.len);
        let tail = range.end..vec.len;
        vec.len = range.start;
        // D1 and D2 hold from here on.
        Self { vec: NonNull::from(vec), rest: range, tail, borrow: PhantomData }
    }

    fn base(&self) -> *mut T {
        // SAFETY: D1; the reference to the vector ends at once, and the elements are not part of it.
        unsafe { self.vec.as_ref() }.storage.base().as_ptr()
    }

    /// The elements that are still to come.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: D2.
        unsafe { slice::from_raw_parts(self.base().add(self.rest.start), self.rest.len()) }
    }
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        let index = self.rest.next()?;
        // SAFETY: D2 held with this element, which is the caller's from here on.
        Some(unsafe { self.base().add(index).read() })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl<T> DoubleEndedIterator for Drain<'_, T> {
    #[inline]
    fn next_back(&mut self) -> Option<T> {
        let index = self.rest.next_back()?;
        // SAFETY: as in `next`.
        Some(unsafe { self.base().add(index).read() })
    }
}

impl<T> ExactSizeIterator for Drain<'_, T> {}
impl<T> FusedIterator for Drain<'_, T> {}

impl<T> Drop for Drain<'_, T> {
    fn drop(&mut self) {
        /// Closes the gap, also when a destructor panics.
        struct Close<'d, 'a, T>(&'d mut Drain<'a, T>);

        impl<T> Drop for Close<'_, '_, T> {
            fn drop(&mut self) {
                let tail = &self.0.tail;
                let base = self.0.base();
                // SAFETY: D1, and by D2 the tail is initialised; nothing between the vector's length and the tail is in use
                // any more. The tail becomes part of the vector (V1).
                unsafe {
                    let vec = self.0.vec.as_mut();
                    // Nothing drained is common, and a copy onto itself would still touch every page of the tail.
                    if vec.len < tail.start {
                        ptr::copy(base.add(tail.start), base.add(vec.len), tail.len());
                    }
                    vec.len += tail.len();
                }
            }
        }

        let close = Close(self);
        let rest = mem::take(&mut close.0.rest);
        // SAFETY: D2 held with these elements, which have just been given up.
        unsafe { ptr::drop_in_place(ptr::slice_from_raw_parts_mut(close.0.base().add(rest.start), rest.len())) };
    }
}

impl<T> AsRef<[T]> for Drain<'_, T> {
    fn as_ref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: fmt::Debug> fmt::Debug for Drain<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Drain").field(&self.as_slice()).finish()
    }
}
