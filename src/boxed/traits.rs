//! The standard library's traits for values in a `PageBox`: views, clones, comparisons, formatting, iteration.

use super::PageBox;
use crate::vec::{IntoIter, PageVec};
use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, DerefMut};
use core::slice;

impl<T: ?Sized> Deref for PageBox<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: X2, and `&self` keeps writers away.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for PageBox<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: X2, and `&mut self` is exclusive.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized> AsRef<T> for PageBox<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized> AsMut<T> for PageBox<T> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized> Borrow<T> for PageBox<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized> BorrowMut<T> for PageBox<T> {
    fn borrow_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: Clone> Clone for PageBox<T> {
    /// The clone has pages made with the same options.
    #[track_caller]
    fn clone(&self) -> Self {
        // The pages first: a value that cannot be kept need not be cloned.
        let place = self.uninit_like();
        Self::write(place, (**self).clone())
    }

    fn clone_from(&mut self, source: &Self) {
        (**self).clone_from(&**source);
    }
}

impl<T: Clone> Clone for PageBox<[T]> {
    /// The clone has pages made with the same options.
    #[track_caller]
    fn clone(&self) -> Self {
        let mut elements = PageVec::in_box(self.uninit_slice_like());
        elements.extend_from_slice(self);
        elements.into_boxed_slice()
    }

    #[track_caller]
    fn clone_from(&mut self, source: &Self) {
        if self.len() == source.len() {
            self.clone_from_slice(source);
        } else {
            *self = source.clone();
        }
    }
}

impl Clone for PageBox<str> {
    #[track_caller]
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl<T: Default> Default for PageBox<T> {
    #[track_caller]
    fn default() -> Self {
        let place = Self::new_uninit();
        Self::write(place, T::default())
    }
}

impl<T> Default for PageBox<[T]> {
    /// No elements, and no pages.
    fn default() -> Self {
        PageVec::new().into_boxed_slice()
    }
}

impl Default for PageBox<str> {
    /// The empty string, without pages.
    fn default() -> Self {
        Self::from("")
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for PageBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for PageBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<T: ?Sized> fmt::Pointer for PageBox<T> {
    /// The address of the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&&raw const **self, f)
    }
}

impl<T: ?Sized + PartialEq> PartialEq for PageBox<T> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq> Eq for PageBox<T> {}

impl<T: ?Sized + PartialOrd> PartialOrd for PageBox<T> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Ord> Ord for PageBox<T> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: ?Sized + Hash> Hash for PageBox<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T> IntoIterator for PageBox<[T]> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        PageVec::from(self).into_iter()
    }
}

impl<'a, T> IntoIterator for &'a PageBox<[T]> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> slice::Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut PageBox<[T]> {
    type Item = &'a mut T;
    type IntoIter = slice::IterMut<'a, T>;

    fn into_iter(self) -> slice::IterMut<'a, T> {
        self.iter_mut()
    }
}
