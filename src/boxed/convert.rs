//! What turns into a `PageBox`, and what a `PageBox` turns into.

use super::PageBox;
use crate::vec::PageVec;
use core::pin::Pin;
use std::borrow::Cow;
use std::string::String;
use std::vec::Vec;

impl<T> From<T> for PageBox<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized> From<PageBox<T>> for Pin<PageBox<T>> {
    fn from(boxed: PageBox<T>) -> Self {
        PageBox::into_pin(boxed)
    }
}

impl<T: Clone> From<&[T]> for PageBox<[T]> {
    #[track_caller]
    fn from(elements: &[T]) -> Self {
        PageVec::from(elements).into_boxed_slice()
    }
}

impl<T: Clone> From<&mut [T]> for PageBox<[T]> {
    #[track_caller]
    fn from(elements: &mut [T]) -> Self {
        Self::from(&*elements)
    }
}

impl<T, const N: usize> From<[T; N]> for PageBox<[T]> {
    #[track_caller]
    fn from(elements: [T; N]) -> Self {
        let raw: *mut [T] = PageBox::<[T; N]>::into_raw(PageBox::new(elements));
        // SAFETY: the slice is the array: the same elements, so the same size and alignment.
        unsafe { Self::from_raw(raw) }
    }
}

impl<T, const N: usize> TryFrom<PageBox<[T]>> for PageBox<[T; N]> {
    type Error = PageBox<[T]>;

    /// The same pages as an array, or the slice back if it has another length.
    fn try_from(boxed: PageBox<[T]>) -> Result<Self, PageBox<[T]>> {
        if boxed.len() != N {
            return Err(boxed);
        }
        // SAFETY: the array is the slice: the same elements, so the same size and alignment.
        Ok(unsafe { PageBox::from_raw(PageBox::into_raw(boxed).cast()) })
    }
}

impl From<&str> for PageBox<str> {
    #[track_caller]
    fn from(text: &str) -> Self {
        let raw = PageBox::into_raw(PageBox::<[u8]>::from(text.as_bytes()));
        // SAFETY: the bytes are those of a `str`, which has the layout of a byte slice.
        unsafe { Self::from_raw(raw as *mut str) }
    }
}

impl From<PageBox<str>> for PageBox<[u8]> {
    fn from(text: PageBox<str>) -> Self {
        // SAFETY: a `str` is a slice of bytes.
        unsafe { Self::from_raw(PageBox::into_raw(text) as *mut [u8]) }
    }
}

impl<T> FromIterator<T> for PageBox<[T]> {
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        elements.into_iter().collect::<PageVec<T>>().into_boxed_slice()
    }
}

impl<T> From<Vec<T>> for PageBox<[T]> {
    /// Moves the elements into pages of their own.
    #[track_caller]
    fn from(elements: Vec<T>) -> Self {
        PageVec::from(elements).into_boxed_slice()
    }
}

impl<T: Clone> From<Cow<'_, [T]>> for PageBox<[T]> {
    #[track_caller]
    fn from(elements: Cow<'_, [T]>) -> Self {
        match elements {
            Cow::Borrowed(elements) => elements.into(),
            Cow::Owned(elements) => elements.into(),
        }
    }
}

impl<T, const N: usize> TryFrom<PageVec<T>> for PageBox<[T; N]> {
    type Error = PageVec<T>;

    /// The same pages as an array, or the vector back if it has another length.
    fn try_from(elements: PageVec<T>) -> Result<Self, PageVec<T>> {
        if elements.len() != N {
            return Err(elements);
        }
        elements.into_boxed_slice().try_into().map_err(PageVec::from)
    }
}

impl From<&mut str> for PageBox<str> {
    #[track_caller]
    fn from(text: &mut str) -> Self {
        Self::from(&*text)
    }
}

impl From<String> for PageBox<str> {
    #[track_caller]
    fn from(text: String) -> Self {
        Self::from(&*text)
    }
}

impl From<Cow<'_, str>> for PageBox<str> {
    #[track_caller]
    fn from(text: Cow<'_, str>) -> Self {
        Self::from(&*text)
    }
}

impl From<PageBox<str>> for String {
    fn from(text: PageBox<str>) -> Self {
        Self::from(&*text)
    }
}

impl FromIterator<char> for PageBox<str> {
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = char>>(characters: I) -> Self {
        characters.into_iter().collect::<String>().into()
    }
}

impl<'a> FromIterator<&'a str> for PageBox<str> {
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = &'a str>>(parts: I) -> Self {
        parts.into_iter().collect::<String>().into()
    }
}

impl FromIterator<String> for PageBox<str> {
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = String>>(parts: I) -> Self {
        parts.into_iter().collect::<String>().into()
    }
}
