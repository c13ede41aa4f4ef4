//! What turns into a `PageVec`, and what a `PageVec` turns into.
//!
//! Elements go from heap to pages and back by a move of their bytes; only a box of pages keeps them where they are.

use super::PageVec;
use crate::boxed::PageBox;
use core::mem::ManuallyDrop;
use core::num::NonZero;
use std::borrow::Cow;
use std::boxed::Box;
use std::collections::{BinaryHeap, VecDeque};
use std::ffi::CString;
use std::rc::Rc;
use std::string::{FromUtf8Error, String};
use std::sync::Arc;
use std::vec::Vec;

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

/// Conversions by way of a `Vec`, which both sides know.
macro_rules! by_vec {
    ($(#[$doc:meta] [$($bounds:tt)*] $from:ty, $into:ty;)*) => {$(
        impl<$($bounds)*> From<$from> for $into {
            #[$doc]
            #[track_caller]
            fn from(elements: $from) -> Self {
                Vec::from(elements).into()
            }
        }
    )*};
}

by_vec! {
    /// Moves the elements from the heap into pages.
    [T] Box<[T]>, PageVec<T>;
    /// Moves the elements from the heap into pages, in their order.
    [T] VecDeque<T>, PageVec<T>;
    /// Moves the elements from the heap into pages, in no order.
    [T] BinaryHeap<T>, PageVec<T>;
    /// Moves the bytes from the heap into pages.
    [] String, PageVec<u8>;
    /// Moves the bytes, without the last one, which is zero, from the heap into pages.
    [] CString, PageVec<u8>;
    /// Moves the elements from their pages onto the heap.
    [T] PageVec<T>, Box<[T]>;
    /// Moves the elements from their pages onto the heap.
    [T] PageVec<T>, VecDeque<T>;
    /// Moves the elements from their pages onto the heap, and orders them as a heap.
    [T: Ord] PageVec<T>, BinaryHeap<T>;
    /// Moves the elements from their pages onto the heap, where they are owned.
    [T: Clone] PageVec<T>, Cow<'_, [T]>;
    /// Moves the bytes from their pages onto the heap, and puts a zero behind them.
    [] PageVec<NonZero<u8>>, CString;
    /// Moves the elements from their pages onto the heap.
    [T] PageVec<T>, Rc<[T]>;
    /// Moves the elements from their pages onto the heap. [`PageVec::into_shared`] leaves them where they are.
    [T] PageVec<T>, Arc<[T]>;
}

impl<T: Clone> From<Cow<'_, [T]>> for PageVec<T> {
    #[track_caller]
    fn from(elements: Cow<'_, [T]>) -> Self {
        match elements {
            Cow::Borrowed(elements) => elements.into(),
            Cow::Owned(elements) => elements.into(),
        }
    }
}

impl<'a, T: Clone> From<&'a PageVec<T>> for Cow<'a, [T]> {
    /// Borrows the elements.
    fn from(elements: &'a PageVec<T>) -> Self {
        Self::Borrowed(elements)
    }
}

impl<T, const N: usize> TryFrom<PageVec<T>> for Box<[T; N]> {
    type Error = PageVec<T>;

    /// The elements as an array on the heap, or the vector back if it has another length.
    fn try_from(elements: PageVec<T>) -> Result<Self, PageVec<T>> {
        if elements.len != N {
            return Err(elements);
        }
        Self::try_from(Vec::from(elements)).map_err(PageVec::from)
    }
}

impl TryFrom<PageVec<u8>> for String {
    type Error = FromUtf8Error;

    /// Moves the bytes from their pages onto the heap. If they are not UTF-8 the error has them.
    fn try_from(bytes: PageVec<u8>) -> Result<Self, FromUtf8Error> {
        Self::from_utf8(bytes.into())
    }
}
