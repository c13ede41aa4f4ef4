//! The traits and the sizes that the compiler works out, as they are for `Vec`; a change of them fails to compile.

#![cfg(feature = "std")]

use super::{Drain, IntoIter, PageVec};
use core::cell::Cell;
use core::marker::PhantomPinned;
use core::panic::{RefUnwindSafe, UnwindSafe};
use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any};
use std::rc::Rc;
use std::sync::MutexGuard;

assert_impl_all!(PageVec<u8>: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(IntoIter<u8>: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Drain<'static, u8>: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(PageVec<Cell<u8>>: Send, UnwindSafe);
assert_not_impl_any!(PageVec<Cell<u8>>: Sync, RefUnwindSafe);
assert_not_impl_any!(IntoIter<Cell<u8>>: Sync);
assert_impl_all!(Drain<'static, Cell<u8>>: Send);
assert_not_impl_any!(Drain<'static, Cell<u8>>: Sync);
assert_impl_all!(PageVec<MutexGuard<'static, u8>>: Sync);
assert_not_impl_any!(PageVec<MutexGuard<'static, u8>>: Send);
assert_not_impl_any!(PageVec<Rc<u8>>: Send, Sync);
assert_not_impl_any!(IntoIter<Rc<u8>>: Send, Sync);
assert_not_impl_any!(Drain<'static, Rc<u8>>: Send, Sync);
assert_not_impl_any!(PageVec<&mut u8>: UnwindSafe);
assert_not_impl_any!(PageVec<PhantomPinned>: Unpin);
assert_eq_size!(PageVec<u8>, Option<PageVec<u8>>, Vec<u8>);

/// A longer lifetime is good for a shorter one.
fn _covariant<'a: 'b, 'b>(
    vec: PageVec<&'static str>,
    iter: IntoIter<&'static str>,
    drain: Drain<'a, &'static str>,
) -> (PageVec<&'b str>, IntoIter<&'b str>, Drain<'b, &'b str>) {
    (vec, iter, drain)
}
