//! What can be named of `Vec` can be named of `PageVec`: the same code, checked by the compiler for both.

use mapalloc::PageVec;
use static_assertions::assert_impl_all;
use std::borrow::{Borrow, BorrowMut, Cow};
use std::collections::{BinaryHeap, VecDeque};
use std::ffi::CString;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, RandomState};
use std::io::Write;
use std::iter::FusedIterator;
use std::num::NonZero;
use std::ops::{Deref, DerefMut, Index, IndexMut, Range, RangeFull, RangeInclusive, RangeTo};
use std::rc::Rc;
use std::sync::Arc;

/// Methods whose type parameters have names, so that a caller can give them.
macro_rules! generic_methods {
    ($check:ident, $Vec:ident) => {
        #[test]
        fn $check() {
            type V = $Vec<u8>;
            type Span = Range<usize>;
            let _: fn(&mut V, fn(&u8) -> bool) = V::retain::<fn(&u8) -> bool>;
            let _: fn(&mut V, fn(&mut u8) -> bool) = V::retain_mut::<fn(&mut u8) -> bool>;
            let _: fn(&mut V, fn(&mut u8, &mut u8) -> bool) = V::dedup_by::<fn(&mut u8, &mut u8) -> bool>;
            let _: fn(&mut V, fn(&mut u8) -> u64) = V::dedup_by_key::<fn(&mut u8) -> u64, u64>;
            let _: fn(&mut V, usize, fn() -> u8) = V::resize_with::<fn() -> u8>;
            let _: fn(&mut V, Span) = V::extend_from_within::<Span>;
            let mut vec = V::from([1, 2, 3, 4]);
            assert_eq!(vec.drain::<Span>(1..2).as_slice(), [2]);
            assert_eq!(vec.splice::<Span, [u8; 2]>(1..2, [5, 6]).next(), Some(3));
            assert_eq!(vec.extract_if::<fn(&mut u8) -> bool, RangeFull>(.., |byte| *byte > 5).next(), Some(6));
            assert_eq!(vec, [1, 5, 4]);
        }
    };
}

generic_methods!(methods_of_vec, Vec);
generic_methods!(methods_of_page_vec, PageVec);

/// The traits, of the vector, of its iterators, and of other types with regard to it.
macro_rules! traits {
    ($name:ident, $Vec:ident, $module:path) => {
        mod $name {
            use super::*;
            use $module::{Drain, ExtractIf, IntoIter, Splice};

            type V = $Vec<u8>;
            type Condition = fn(&mut u8) -> bool;

            assert_impl_all!(V: Clone, Debug, Default, Eq, Hash, Ord, PartialOrd, Write);
            assert_impl_all!(V: AsRef<V>, AsMut<V>, AsRef<[u8]>, AsMut<[u8]>, Borrow<[u8]>, BorrowMut<[u8]>);
            assert_impl_all!(V: Deref<Target = [u8]>, DerefMut, IndexMut<usize>, IndexMut<Range<usize>>);
            assert_impl_all!(V: Index<RangeFull>, Index<RangeInclusive<usize>>, Index<RangeTo<usize>>);
            assert_impl_all!(V: FromIterator<u8>, Extend<u8>, Extend<&'static u8>, IntoIterator<Item = u8>);
            assert_impl_all!(&V: IntoIterator<Item = &'static u8>);
            assert_impl_all!(&mut V: IntoIterator<Item = &'static mut u8>);

            assert_impl_all!(V: PartialEq, PartialEq<[u8]>, PartialEq<&'static [u8]>, PartialEq<&'static mut [u8]>);
            assert_impl_all!(V: PartialEq<[u8; 3]>, PartialEq<&'static [u8; 3]>);
            assert_impl_all!([u8]: PartialEq<V>);
            assert_impl_all!(&[u8]: PartialEq<V>);
            assert_impl_all!(&mut [u8]: PartialEq<V>);
            assert_impl_all!(Cow<'static, [u8]>: PartialEq<V>);
            assert_impl_all!(VecDeque<u8>: PartialEq<V>);
            assert_impl_all!($Vec<String>: PartialEq<$Vec<&'static str>>, PartialEq<[&'static str; 2]>);

            assert_impl_all!(V: From<&'static [u8]>, From<&'static mut [u8]>, From<[u8; 3]>);
            assert_impl_all!(V: From<&'static [u8; 3]>, From<&'static mut [u8; 3]>, From<Cow<'static, [u8]>>);
            assert_impl_all!(V: From<Box<[u8]>>, From<VecDeque<u8>>, From<BinaryHeap<u8>>);
            assert_impl_all!(V: From<&'static str>, From<String>, From<CString>);
            assert_impl_all!(Box<[u8]>: From<V>);
            assert_impl_all!(Rc<[u8]>: From<V>);
            assert_impl_all!(Arc<[u8]>: From<V>);
            assert_impl_all!(VecDeque<u8>: From<V>);
            assert_impl_all!(BinaryHeap<u8>: From<V>);
            assert_impl_all!(Cow<'static, [u8]>: From<V>, From<&'static V>);
            assert_impl_all!(CString: From<$Vec<NonZero<u8>>>);
            assert_impl_all!(String: TryFrom<V, Error = std::string::FromUtf8Error>);
            assert_impl_all!([u8; 3]: TryFrom<V, Error = V>);
            assert_impl_all!(Box<[u8; 3]>: TryFrom<V, Error = V>);

            type Taken = Drain<'static, u8>;
            assert_impl_all!(Taken: DoubleEndedIterator<Item = u8>, ExactSizeIterator, FusedIterator, AsRef<[u8]>, Debug);
            type Whole = IntoIter<u8>;
            assert_impl_all!(Whole: DoubleEndedIterator<Item = u8>, ExactSizeIterator, FusedIterator);
            assert_impl_all!(Whole: AsRef<[u8]>, Clone, Debug, Default, Send, Sync);
            type Replaced = Splice<'static, std::vec::IntoIter<u8>>;
            assert_impl_all!(Replaced: DoubleEndedIterator<Item = u8>, ExactSizeIterator, Debug, Send, Sync);
            type Extracted = ExtractIf<'static, u8, Condition>;
            assert_impl_all!(Extracted: Iterator<Item = u8>, Debug, Send, Sync);
        }
    };
}

traits!(of_vec, Vec, std::vec);
traits!(of_page_vec, PageVec, mapalloc::vec);

#[test]
fn hashes_are_those_of_slices() {
    let state = RandomState::new();
    for len in [0, 1, 7, 5000] {
        let vec: PageVec<u16> = (0..len).collect();
        assert_eq!(state.hash_one(&vec), state.hash_one(&vec[..]));
        assert_eq!(state.hash_one(&vec), state.hash_one(vec.to_vec()));
    }
}

#[test]
fn what_is_made_of_a_vector_holds_its_elements() {
    assert!(matches!(Cow::from(PageVec::from([1, 2])), Cow::Owned::<[i32]>(vec) if vec == [1, 2]));
    let bytes = PageVec::from([b'a', b'b'].map(|byte| NonZero::new(byte).unwrap()));
    assert_eq!(CString::from(bytes), c"ab".to_owned());
}
