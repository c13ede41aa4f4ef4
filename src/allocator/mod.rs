//! The handles for collections that take an allocator: `PageAlloc`, over the engine, and [`MapAlloc`], over mappings.
//!
//! The trait to implement comes from three places that know nothing of each other: two versions of `allocator-api2` and
//! nightly Rust. So what a handle does is written once, as [`Blocks`], and every trait gets an adapter that adds nothing.
//!
//! The traits want more of a handle than `GlobalAlloc` does of a static: a collection moves and clones its allocator, and
//! goes on using its blocks. A fallback heap that lies within its own value would not survive that. One that is `Copy` has
//! no memory of its own, so `PageAlloc` is a handle if its fallback is.

#[cfg(feature = "std")]
mod engine;
mod mapped;

pub use mapped::MapAlloc;

use crate::error::Error;
use core::alloc::Layout;
use core::ptr::NonNull;

/// Memory by layout: what all the traits ask for.
///
/// Blocks and what fits them are as those traits define them. A block without a size is dangling; it is given out and taken
/// back without a call to anybody. `None` means that there was no memory, and that nothing has changed.
trait Blocks {
    /// A new block, its bytes all zero if `zeroed`.
    fn allocate(&self, layout: Layout, zeroed: bool) -> Option<NonNull<[u8]>>;

    /// Takes a block back.
    ///
    /// # Safety
    /// `block` is one of this allocator's which `layout` fits; it is not used again.
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout);

    /// Makes a block larger, and every byte behind the old layout zero if `zeroed`.
    ///
    /// # Safety
    /// `block` is one of this allocator's which `old` fits, and `new` is at least as large; with `Some` it is replaced by the
    /// answer.
    unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout, zeroed: bool) -> Option<NonNull<[u8]>>;

    /// Makes a block smaller.
    ///
    /// # Safety
    /// `block` is one of this allocator's which `old` fits, and `new` is at most as large; with `Some` it is replaced by the
    /// answer.
    unsafe fn shrink(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<[u8]>>;

    /// Copies a block to a new one of another layout, for want of a better way.
    ///
    /// # Safety
    /// `block` is one of this allocator's which `old` fits; with `Some` it is replaced by the answer.
    unsafe fn replace(&self, block: NonNull<u8>, old: Layout, new: Layout, zeroed: bool) -> Option<NonNull<[u8]>> {
        let replacement = self.allocate(new, zeroed)?;
        // SAFETY: both blocks are as large as their layouts, and the new one is nobody else's; the old one, the caller's, is
        // not used again.
        unsafe {
            block.copy_to_nonoverlapping(replacement.cast(), old.size().min(new.size()));
            self.deallocate(block, old);
        }
        Some(replacement)
    }
}

/// The trait of every origin for one handle.
macro_rules! adapt {
    ([$($generics:tt)*] $handle:ty) => {
        adapt!("allocator-api2-02", allocator_api2_02::alloc, [$($generics)*] $handle);
        adapt!("allocator-api2-04", allocator_api2_04::alloc, [$($generics)*] $handle);
        adapt!("nightly", core::alloc, [$($generics)*] $handle);
    };
    ($feature:literal, $($origin:ident)::+, [$($generics:tt)*] $handle:ty) => {
        // SAFETY: a block is memory of its layout that nobody else has until it is given back (`Blocks`), whoever owns the
        // handle: blocks belong to the process, and a handle is a `Copy` value that says only how they are made.
        #[cfg(feature = $feature)]
        unsafe impl<$($generics)*> $($origin)::+::Allocator for $handle {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $($origin)::+::AllocError> {
                Blocks::allocate(self, layout, false).ok_or($($origin)::+::AllocError)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, $($origin)::+::AllocError> {
                Blocks::allocate(self, layout, true).ok_or($($origin)::+::AllocError)
            }

            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller's contract is the same.
                unsafe { Blocks::deallocate(self, block, layout) }
            }

            #[inline]
            unsafe fn grow(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($origin)::+::AllocError> {
                // SAFETY: the caller's contract is the same.
                unsafe { Blocks::grow(self, block, old, new, false) }.ok_or($($origin)::+::AllocError)
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($origin)::+::AllocError> {
                // SAFETY: the caller's contract is the same.
                unsafe { Blocks::grow(self, block, old, new, true) }.ok_or($($origin)::+::AllocError)
            }

            #[inline]
            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($origin)::+::AllocError> {
                // SAFETY: the caller's contract is the same.
                unsafe { Blocks::shrink(self, block, old, new) }.ok_or($($origin)::+::AllocError)
            }
        }
    };
}

use adapt;

/// The error of one origin.
macro_rules! forget {
    ($($feature:literal: $error:ty;)*) => {$(
        #[cfg(feature = $feature)]
        impl From<Error> for $error {
            /// Forgets what went wrong.
            fn from(_: Error) -> Self {
                Self
            }
        }
    )*};
}

forget! {
    "allocator-api2-02": allocator_api2_02::alloc::AllocError;
    "allocator-api2-04": allocator_api2_04::alloc::AllocError;
    "nightly": core::alloc::AllocError;
}
