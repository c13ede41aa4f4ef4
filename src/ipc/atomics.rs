//! [`SharedAtomics`]: pages that processes share, as atomics of one size.

use super::SharedPages;
use crate::atomic::Atomic;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::slice;

/// Pages that several processes have mapped, as a slice of atomics; from [`SharedPages::into_atomics`].
///
/// ```
/// use mapalloc::ipc::{SharedAtomics, SharedPages};
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// let counters: SharedAtomics<AtomicU64> = SharedPages::new(4096)?.into_atomics()?;
/// counters[7].fetch_add(1, Relaxed); // in a child of `fork`, say
/// assert_eq!(counters.iter().map(|counter| counter.load(Relaxed)).sum::<u64>(), 1);
/// # Ok::<(), mapalloc::Error>(())
/// ```
///
/// Another process that uses atomics of another size at once gets bytes that never were there together.
pub struct SharedAtomics<A> {
    pages: SharedPages,
    atomics: PhantomData<[A]>,
}

impl<A: Atomic> SharedAtomics<A> {
    /// Of pages that are writable and as long as a number of atomics.
    pub(super) const fn new(pages: SharedPages) -> Self {
        Self { pages, atomics: PhantomData }
    }

    /// The pages again.
    #[must_use]
    pub fn into_pages(self) -> SharedPages {
        self.pages
    }
}

impl<A: Atomic> Deref for SharedAtomics<A> {
    type Target = [A];

    #[inline]
    fn deref(&self) -> &[A] {
        // SAFETY: by Q1 of the pages they are mapped, and start at a page; every bit pattern is a value; and by Q2 these are
        // the only atomics of them, since the value owns the pages.
        unsafe { slice::from_raw_parts(self.pages.as_ptr().cast(), self.pages.len() / size_of::<A>()) }
    }
}

impl<A: Atomic> fmt::Debug for SharedAtomics<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedAtomics").field(&self.pages).finish()
    }
}
