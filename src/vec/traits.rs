//! The standard library's traits for `PageVec`: views, comparisons, conversions, formatting.

use super::PageVec;
use crate::boxed::PageBox;
use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut, Index, IndexMut};
use core::slice::SliceIndex;
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

impl<T, const N: usize> From<[T; N]> for PageVec<T> {
    #[track_caller]
    fn from(elements: [T; N]) -> Self {
        let elements = ManuallyDrop::new(elements);
        let mut vec = Self::new();
        // SAFETY: the array is given up without its drop.
        unsafe { vec.append_from(elements.as_ptr(), N) };
        vec
    }
}

impl<T> From<Vec<T>> for PageVec<T> {
    /// Moves the elements from the heap into pages.
    #[track_caller]
    fn from(mut elements: Vec<T>) -> Self {
        let mut vec = Self::new();
        // SAFETY: the elements are initialised; the room for them comes first, so that a panic leaves them to `elements`,
        // which has given them up after the next line.
        unsafe { vec.append_from(elements.as_ptr(), elements.len()) };
        // SAFETY: no elements are left.
        unsafe { elements.set_len(0) };
        vec
    }
}

impl<T> From<PageVec<T>> for Vec<T> {
    /// Moves the elements from their pages onto the heap.
    fn from(mut elements: PageVec<T>) -> Self {
        let len = elements.len;
        let mut vec = Self::with_capacity(len);
        // V2: the elements are given up before they are moved.
        elements.len = 0;
        // SAFETY: there is room for `len` elements, which were the page vector's (V1) and become this one's.
        unsafe {
            core::ptr::copy_nonoverlapping(elements.as_ptr(), vec.as_mut_ptr(), len);
            vec.set_len(len);
        }
        vec
    }
}

impl<T> From<PageVec<T>> for PageBox<[T]> {
    /// Keeps the pages and gives those behind the elements back, as [`PageVec::into_boxed_slice`] does.
    fn from(elements: PageVec<T>) -> Self {
        elements.into_boxed_slice()
    }
}

impl<T> From<PageBox<[T]>> for PageVec<T> {
    /// Keeps the pages. No element moves.
    fn from(elements: PageBox<[T]>) -> Self {
        Self::from_box(elements)
    }
}

impl<T, const N: usize> TryFrom<PageVec<T>> for [T; N] {
    type Error = PageVec<T>;

    /// The elements as an array, or the vector back if it has another length.
    fn try_from(mut elements: PageVec<T>) -> Result<Self, PageVec<T>> {
        if elements.len != N {
            return Err(elements);
        }
        // V2: the elements are given up before they are moved.
        elements.len = 0;
        // SAFETY: there are `N` elements (V1), which are read once.
        Ok(unsafe { elements.as_ptr().cast::<Self>().read() })
    }
}
