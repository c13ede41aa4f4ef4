//! [`Shared`]: a vector that is frozen, and handed around in parts without a copy.
//!
//! # Invariant of a [`Shared`]
//! * **F1** `start..start + len` are elements of the vector that `owner` keeps, which nobody changes any more.

use crate::vec::{PageVec, checked_range};
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, RangeBounds};
use core::ptr::NonNull;
use core::slice;
use std::sync::Arc;

/// Elements in whole pages that many own together: immutable, cheap to clone, and to be cut into parts that own them too.
///
/// [`PageVec::into_shared`] makes it, without moving an element. The pages go back when the last owner is dropped.
///
/// ```
/// use mapalloc::PageVec;
///
/// let mut log = PageVec::<u8>::new();
/// log.extend_from_slice(b"GET /index.html");
/// let log = log.into_shared();
/// let path = log.slice(4..);
/// drop(log);
/// assert_eq!(&*path, b"/index.html");
/// ```
pub struct Shared<T> {
    owner: Arc<PageVec<T>>,
    start: NonNull<T>,
    len: usize,
}

// SAFETY: by F1 it gives shared references to the elements, and whoever drops the last owner drops them: as for an `Arc`.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> PageVec<T> {
    /// Freezes the vector: its elements can be read by many owners and changed by nobody. The pages behind the elements go
    /// back, and no element moves.
    #[must_use]
    pub fn into_shared(mut self) -> Shared<T> {
        self.shrink_to_fit();
        let (start, len) = (NonNull::from(self.as_slice()).cast(), self.len());
        // F1: the elements stay where they are when the vector moves.
        Shared { owner: Arc::new(self), start, len }
    }
}

impl<T> Shared<T> {
    /// The elements.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: F1.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// A part of the elements, which owns the pages too.
    ///
    /// # Panics
    /// If the range ends before it starts, or past the length.
    #[must_use]
    #[track_caller]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        self.part(&self[checked_range(self, range)])
    }

    /// As [`slice`](Self::slice), for a part that was borrowed from this value: what a parser found in it, say.
    ///
    /// # Panics
    /// If the elements are not among this value's.
    #[must_use]
    #[track_caller]
    pub fn slice_ref(&self, part: &[T]) -> Self {
        let (own, part_range) = (self.as_slice().as_ptr_range(), part.as_ptr_range());
        // Elements without a size all lie at one address, so their number counts as well.
        let is_within = own.start <= part_range.start && part_range.end <= own.end && part.len() <= self.len;
        assert!(is_within || part.is_empty(), "the part is not of these elements");
        if is_within { self.part(part) } else { self.slice(..0) }
    }

    /// A part that is known to be of these elements.
    fn part(&self, part: &[T]) -> Self {
        Self { owner: Arc::clone(&self.owner), start: NonNull::from(part).cast(), len: part.len() }
    }

    /// The vector again, with all its elements, if this is its only owner; otherwise this value.
    ///
    /// # Errors
    /// If there are other owners.
    pub fn try_into_vec(self) -> Result<PageVec<T>, Self> {
        let Self { owner, start, len } = self;
        Arc::try_unwrap(owner).map_err(|owner| Self { owner, start, len })
    }

    /// How many owners the pages have, as of now.
    #[must_use]
    pub fn owners(&self) -> usize {
        Arc::strong_count(&self.owner)
    }
}

impl<T> Clone for Shared<T> {
    /// One more owner of the same elements.
    #[inline]
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner), ..*self }
    }
}

impl<T> Deref for Shared<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T> AsRef<[T]> for Shared<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> Borrow<[T]> for Shared<T> {
    fn borrow(&self) -> &[T] {
        self
    }
}

impl<T> From<PageVec<T>> for Shared<T> {
    fn from(vec: PageVec<T>) -> Self {
        vec.into_shared()
    }
}

impl<T> Default for Shared<T> {
    /// No elements, and no pages.
    fn default() -> Self {
        PageVec::new().into_shared()
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_slice(), f)
    }
}

impl<T: PartialEq<U>, U> PartialEq<Shared<U>> for Shared<T> {
    fn eq(&self, other: &Shared<U>) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: PartialEq<U>, U> PartialEq<[U]> for Shared<T> {
    fn eq(&self, other: &[U]) -> bool {
        self.as_slice() == other
    }
}

impl<T: PartialEq<U>, U> PartialEq<&[U]> for Shared<T> {
    fn eq(&self, other: &&[U]) -> bool {
        self.as_slice() == *other
    }
}

impl<T: PartialEq<U>, U, const N: usize> PartialEq<[U; N]> for Shared<T> {
    fn eq(&self, other: &[U; N]) -> bool {
        self.as_slice() == other
    }
}

impl<T: Eq> Eq for Shared<T> {}

impl<T: PartialOrd> PartialOrd for Shared<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.as_slice().partial_cmp(other.as_slice())
    }
}

impl<T: Ord> Ord for Shared<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl<T: Hash> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl<'a, T> IntoIterator for &'a Shared<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> slice::Iter<'a, T> {
        self.iter()
    }
}
