//! The standard library's traits for `PageVec`: views, comparisons, formatting.

use super::PageVec;
use crate::boxed::PageBox;
use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, DerefMut, Index, IndexMut};
use core::slice::SliceIndex;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::vec::Vec;

impl<T> Deref for PageVec<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T> DerefMut for PageVec<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.as_mut_slice()
    }
}

impl<T, I: SliceIndex<[T]>> Index<I> for PageVec<T> {
    type Output = I::Output;

    #[inline]
    #[track_caller]
    fn index(&self, index: I) -> &I::Output {
        &self.as_slice()[index]
    }
}

impl<T, I: SliceIndex<[T]>> IndexMut<I> for PageVec<T> {
    #[inline]
    #[track_caller]
    fn index_mut(&mut self, index: I) -> &mut I::Output {
        &mut self.as_mut_slice()[index]
    }
}

impl<T> AsRef<Self> for PageVec<T> {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl<T> AsMut<Self> for PageVec<T> {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl<T> AsRef<[T]> for PageVec<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> AsMut<[T]> for PageVec<T> {
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T> Borrow<[T]> for PageVec<T> {
    fn borrow(&self) -> &[T] {
        self
    }
}

impl<T> BorrowMut<[T]> for PageVec<T> {
    fn borrow_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T> Default for PageVec<T> {
    /// An empty vector without storage.
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for PageVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_slice(), f)
    }
}

/// Equality with everything else that is a row of elements.
macro_rules! equal_as_slices {
    ($([$($generics:tt)*] $left:ty, $right:ty;)*) => {$(
        impl<T: PartialEq<U>, U, $($generics)*> PartialEq<$right> for $left {
            #[inline]
            fn eq(&self, other: &$right) -> bool {
                self[..] == other[..]
            }
        }
    )*};
}

equal_as_slices! {
    [] PageVec<T>, PageVec<U>;
    [] PageVec<T>, Vec<U>;
    [] Vec<T>, PageVec<U>;
    [] PageVec<T>, PageBox<[U]>;
    [] PageBox<[T]>, PageVec<U>;
    [] PageVec<T>, [U];
    [] [T], PageVec<U>;
    [] PageVec<T>, &[U];
    [] &[T], PageVec<U>;
    [] PageVec<T>, &mut [U];
    [] &mut [T], PageVec<U>;
    [const N: usize] PageVec<T>, [U; N];
    [const N: usize] [T; N], PageVec<U>;
    [const N: usize] PageVec<T>, &[U; N];
    [const N: usize] &[T; N], PageVec<U>;
}

impl<T: PartialEq<U> + Clone, U> PartialEq<PageVec<U>> for Cow<'_, [T]> {
    fn eq(&self, other: &PageVec<U>) -> bool {
        self[..] == other[..]
    }
}

impl<T: PartialEq<U>, U> PartialEq<PageVec<U>> for VecDeque<T> {
    fn eq(&self, other: &PageVec<U>) -> bool {
        let (front, back) = self.as_slices();
        self.len() == other.len() && *front == other[..front.len()] && *back == other[front.len()..]
    }
}

impl<T: Eq> Eq for PageVec<T> {}

impl<T: PartialOrd> PartialOrd for PageVec<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.as_slice().partial_cmp(other.as_slice())
    }
}

impl<T: Ord> Ord for PageVec<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl<T: Hash> Hash for PageVec<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}
