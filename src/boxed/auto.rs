//! The traits and the sizes that the compiler works out, as they are for `Box`; a change of them fails to compile.

#![cfg(feature = "std")]

use super::PageBox;
use core::any::Any;
use core::cell::Cell;
use core::marker::PhantomPinned;
use core::panic::{RefUnwindSafe, UnwindSafe};
use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any};
use std::rc::Rc;
use std::sync::MutexGuard;

assert_impl_all!(PageBox<u8>: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
assert_impl_all!(PageBox<Cell<u8>>: Send, UnwindSafe);
assert_not_impl_any!(PageBox<Cell<u8>>: Sync, RefUnwindSafe);
assert_impl_all!(PageBox<MutexGuard<'static, u8>>: Sync);
assert_not_impl_any!(PageBox<MutexGuard<'static, u8>>: Send);
assert_not_impl_any!(PageBox<Rc<u8>>: Send, Sync);
assert_not_impl_any!(PageBox<&mut u8>: UnwindSafe);
assert_impl_all!(PageBox<PhantomPinned>: Unpin);
assert_impl_all!(PageBox<dyn Any + Send>: Send);
assert_not_impl_any!(PageBox<dyn Any>: Send, Sync);
assert_eq_size!(PageBox<u8>, Option<PageBox<u8>>, usize);
assert_eq_size!(PageBox<[u8]>, Option<PageBox<[u8]>>, [usize; 2]);

/// A longer lifetime is good for a shorter one.
const fn _covariant<'a>(boxed: PageBox<&'static str>) -> PageBox<&'a str> {
    boxed
}
