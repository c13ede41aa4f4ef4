//! Traits that a `PageBox` has because its value has them: every method is the value's.

use super::PageBox;
use core::error::Error;
use core::future::Future;
use core::hash::Hasher;
use core::iter::FusedIterator;
use core::pin::Pin;
use core::task::{Context, Poll};

impl<H: ?Sized + Hasher> Hasher for PageBox<H> {
    fn finish(&self) -> u64 {
        (**self).finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        (**self).write(bytes);
    }

    fn write_u8(&mut self, n: u8) {
        (**self).write_u8(n);
    }

    fn write_u16(&mut self, n: u16) {
        (**self).write_u16(n);
    }

    fn write_u32(&mut self, n: u32) {
        (**self).write_u32(n);
    }

    fn write_u64(&mut self, n: u64) {
        (**self).write_u64(n);
    }

    fn write_u128(&mut self, n: u128) {
        (**self).write_u128(n);
    }

    fn write_usize(&mut self, n: usize) {
        (**self).write_usize(n);
    }

    fn write_i8(&mut self, n: i8) {
        (**self).write_i8(n);
    }

    fn write_i16(&mut self, n: i16) {
        (**self).write_i16(n);
    }

    fn write_i32(&mut self, n: i32) {
        (**self).write_i32(n);
    }

    fn write_i64(&mut self, n: i64) {
        (**self).write_i64(n);
    }

    fn write_i128(&mut self, n: i128) {
        (**self).write_i128(n);
    }

    fn write_isize(&mut self, n: isize) {
        (**self).write_isize(n);
    }
}

/// Iterators of one kind. A slice in a box is iterated by value instead, and the two are told apart by `Sized`: so the trait
/// objects of iterators are named one by one.
macro_rules! iterate {
    (Iterator: $([$($generics:tt)*] $iterator:ty;)*) => {$(
        impl<$($generics)*> Iterator for PageBox<$iterator> {
            type Item = <$iterator as Iterator>::Item;

            fn next(&mut self) -> Option<Self::Item> {
                (**self).next()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (**self).size_hint()
            }

            fn nth(&mut self, n: usize) -> Option<Self::Item> {
                (**self).nth(n)
            }
        }
    )*};
    (DoubleEndedIterator: $([$($generics:tt)*] $iterator:ty;)*) => {$(
        impl<$($generics)*> DoubleEndedIterator for PageBox<$iterator> {
            fn next_back(&mut self) -> Option<Self::Item> {
                (**self).next_back()
            }

            fn nth_back(&mut self, n: usize) -> Option<Self::Item> {
                (**self).nth_back(n)
            }
        }
    )*};
    (ExactSizeIterator: $([$($generics:tt)*] $iterator:ty;)*) => {$(
        impl<$($generics)*> ExactSizeIterator for PageBox<$iterator> {
            fn len(&self) -> usize {
                (**self).len()
            }
        }
    )*};
}

iterate! { Iterator:
    [I: Iterator] I;
    ['a, T] dyn Iterator<Item = T> + 'a;
    ['a, T] dyn Iterator<Item = T> + Send + 'a;
    ['a, T] dyn DoubleEndedIterator<Item = T> + 'a;
    ['a, T] dyn DoubleEndedIterator<Item = T> + Send + 'a;
    ['a, T] dyn ExactSizeIterator<Item = T> + 'a;
    ['a, T] dyn ExactSizeIterator<Item = T> + Send + 'a;
}

iterate! { DoubleEndedIterator:
    [I: DoubleEndedIterator] I;
    ['a, T] dyn DoubleEndedIterator<Item = T> + 'a;
    ['a, T] dyn DoubleEndedIterator<Item = T> + Send + 'a;
}

iterate! { ExactSizeIterator:
    [I: ExactSizeIterator] I;
    ['a, T] dyn ExactSizeIterator<Item = T> + 'a;
    ['a, T] dyn ExactSizeIterator<Item = T> + Send + 'a;
}

impl<I: FusedIterator> FusedIterator for PageBox<I> {}

impl<E: ?Sized + Error> Error for PageBox<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        (**self).source()
    }
}

impl<F: ?Sized + Future + Unpin> Future for PageBox<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut **self).poll(context)
    }
}
