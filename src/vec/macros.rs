//! The macro [`page_vec!`], and what it needs.

use super::PageVec;

/// A [`PageVec`] of the elements that are listed, or of so many clones of one.
///
/// ```
/// use mapalloc::{PageVec, page_vec};
///
/// let listed = page_vec![1, 2, 3];
/// let filled = page_vec![String::from("x"); 1000];
/// let none: PageVec<u8> = page_vec![];
/// assert_eq!((listed.len(), filled[999].as_str(), none.capacity()), (3, "x", 0));
/// ```
#[macro_export]
macro_rules! page_vec {
    () => {
        $crate::PageVec::new()
    };
    ($element:expr; $count:expr) => {
        $crate::vec::from_elem($element, $count)
    };
    ($($element:expr),+ $(,)?) => {
        $crate::vec::from_array([$($element),+])
    };
}

/// `count` clones of an element, of which the element itself is the last.
#[doc(hidden)]
#[must_use]
#[track_caller]
pub fn from_elem<T: Clone>(element: T, count: usize) -> PageVec<T> {
    let mut vec = PageVec::new();
    vec.resize(count, element);
    vec
}

/// The elements of an array. Other than `From`, it leaves no doubt of their type, so that they coerce to the one that is
/// asked for.
#[doc(hidden)]
#[must_use]
#[track_caller]
pub fn from_array<T, const N: usize>(elements: [T; N]) -> PageVec<T> {
    PageVec::from(elements)
}
