//! `arbitrary`: containers made of a fuzzer's bytes, as the standard library's are.

use crate::boxed::PageBox;
use crate::vec::PageVec;
use ::arbitrary::{Arbitrary, MaxRecursionReached, Result, Unstructured, size_hint::try_recursion_guard};

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for PageVec<T> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        bytes.arbitrary_iter()?.collect()
    }

    fn arbitrary_take_rest(bytes: Unstructured<'a>) -> Result<Self> {
        bytes.arbitrary_take_rest_iter()?.collect()
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (0, None)
    }
}

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for PageBox<T> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        T::arbitrary(bytes).map(Self::new)
    }

    fn arbitrary_take_rest(bytes: Unstructured<'a>) -> Result<Self> {
        T::arbitrary_take_rest(bytes).map(Self::new)
    }

    fn size_hint(depth: usize) -> (usize, Option<usize>) {
        Self::try_size_hint(depth).unwrap_or_default()
    }

    fn try_size_hint(depth: usize) -> Result<(usize, Option<usize>), MaxRecursionReached> {
        // A type that holds itself in a box would otherwise have no end.
        try_recursion_guard(depth, T::try_size_hint)
    }
}

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for PageBox<[T]> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        PageVec::arbitrary(bytes).map(Self::from)
    }

    fn arbitrary_take_rest(bytes: Unstructured<'a>) -> Result<Self> {
        PageVec::arbitrary_take_rest(bytes).map(Self::from)
    }

    fn size_hint(depth: usize) -> (usize, Option<usize>) {
        PageVec::<T>::size_hint(depth)
    }
}

impl<'a> Arbitrary<'a> for PageBox<str> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        <&str>::arbitrary(bytes).map(Self::from)
    }

    fn arbitrary_take_rest(bytes: Unstructured<'a>) -> Result<Self> {
        <&str>::arbitrary_take_rest(bytes).map(Self::from)
    }

    fn size_hint(depth: usize) -> (usize, Option<usize>) {
        <&str>::size_hint(depth)
    }
}
