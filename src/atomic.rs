//! [`Atomic`]: what memory that others write to can be looked at as.

use core::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
};

/// An atomic integer.
///
/// # Safety
/// Every pattern of bytes of its size is a value of it, and whatever is done with a shared reference to it is atomic.
pub unsafe trait Atomic: Sync + 'static {}

macro_rules! atomics {
    ($($atomic:ty)*) => {$(
        // SAFETY: an integer.
        unsafe impl Atomic for $atomic {}
    )*};
}

atomics! { AtomicU8 AtomicU16 AtomicU32 AtomicU64 AtomicUsize AtomicI8 AtomicI16 AtomicI32 AtomicI64 AtomicIsize }
