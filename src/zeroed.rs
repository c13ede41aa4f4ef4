//! The safe constructors of zeroed values: where another crate's trait proves that all-zero bytes are a value.
//!
//! Two cargo features bring such a trait, and Rust has no "either of two bounds" for one function. So:
//!
//! * `zeroed`, `zeroed_slice`, `resize_zeroed` and `extend_zeroed` go by `zerocopy::FromZeros` if the feature `zerocopy` is
//!   on, else by `bytemuck::Zeroable`;
//! * the same names with `_bytemuck` behind them always go by `bytemuck::Zeroable`, whatever else is on. A library that
//!   enables only `bytemuck` calls these: another crate in the same build may enable `zerocopy`.

use crate::boxed::PageBox;
use crate::error::Result;
use crate::vec::PageVec;

macro_rules! safe_zeroed {
    (
        $proof:path: $one:ident, $try_one:ident, $slice:ident, $try_slice:ident,
        $resize:ident, $try_resize:ident, $extend:ident, $try_extend:ident, $which:literal
    ) => {
        impl<T: $proof> PageBox<T> {
            #[doc = concat!("A value whose bytes are all zero, by the word of [`", stringify!($proof), "`].")]
            ///
            /// The bytes are as the kernel gives them: none is written.
            ///
            #[doc = $which]
            #[must_use]
            #[track_caller]
            pub fn $one() -> Self {
                // SAFETY: the trait says that all-zero bytes are a value.
                unsafe { Self::zeroed_unchecked() }
            }

            #[doc = concat!("As [`", stringify!($one), "`](Self::", stringify!($one), "), or an error.")]
            ///
            /// # Errors
            /// If the kernel refuses the memory.
            pub fn $try_one() -> Result<Self> {
                // SAFETY: the trait says that all-zero bytes are a value.
                unsafe { Self::try_zeroed_unchecked() }
            }
        }

        impl<T: $proof> PageBox<[T]> {
            #[doc = concat!("`len` elements whose bytes are all zero, by the word of [`", stringify!($proof), "`].")]
            ///
            /// The bytes are as the kernel gives them: none is written.
            ///
            #[doc = $which]
            ///
            /// # Panics
            /// If the elements are more than `isize::MAX` bytes.
            #[must_use]
            #[track_caller]
            pub fn $slice(len: usize) -> Self {
                // SAFETY: the trait says that all-zero bytes are a value.
                unsafe { Self::zeroed_slice_unchecked(len) }
            }

            #[doc = concat!("As [`", stringify!($slice), "`](Self::", stringify!($slice), "), or an error.")]
            ///
            /// # Errors
            /// If the elements are more than `isize::MAX` bytes, or the kernel refuses the memory.
            pub fn $try_slice(len: usize) -> Result<Self> {
                // SAFETY: the trait says that all-zero bytes are a value.
                unsafe { Self::try_zeroed_slice_unchecked(len) }
            }
        }

        impl<T: $proof> PageVec<T> {
            #[doc = concat!("A vector of `len` all-zero elements, by the word of [`", stringify!($proof), "`].")]
            ///
            /// The bytes are as the kernel gives them: none is written.
            ///
            #[doc = $which]
            ///
            /// # Panics
            /// If the elements are more than `isize::MAX` bytes.
            #[must_use]
            #[track_caller]
            pub fn $one(len: usize) -> Self {
                // SAFETY: the trait says that all-zero bytes are a value.
                unsafe { Self::zeroed_unchecked(len) }
            }

            #[doc = concat!("As [`", stringify!($one), "`](Self::", stringify!($one), "), or an error.")]
            ///
            /// # Errors
            /// If the elements are more than `isize::MAX` bytes, or the kernel refuses the memory.
            pub fn $try_one(len: usize) -> Result<Self> {
                // SAFETY: the trait says that all-zero bytes are a value.
                unsafe { Self::try_zeroed_unchecked(len) }
            }

            #[doc = concat!("Makes the length `len`, with all-zero elements, by the word of [`", stringify!($proof), "`], where")]
            /// some are missing.
            ///
            /// Of new pages no byte is written; see [`resize_zeroed_unchecked`](Self::resize_zeroed_unchecked).
            ///
            #[doc = $which]
            ///
            /// # Panics
            /// If the elements are more than `isize::MAX` bytes, or more than is [reserved](Self::with_reserved).
            #[track_caller]
            pub fn $resize(&mut self, len: usize) {
                // SAFETY: the trait says that all-zero bytes are a value.
                unsafe { self.resize_zeroed_unchecked(len) }
            }

            #[doc = concat!("As [`", stringify!($resize), "`](Self::", stringify!($resize), "), or an error.")]
            ///
            /// # Errors
            /// If the elements are more than `isize::MAX` bytes, or more than is reserved, or the kernel refuses the memory.
            pub fn $try_resize(&mut self, len: usize) -> Result<()> {
                // SAFETY: the trait says that all-zero bytes are a value.
                unsafe { self.try_resize_zeroed_unchecked(len) }
            }

            #[doc = concat!("Adds `count` all-zero elements, as [`", stringify!($resize), "`](Self::", stringify!($resize), ") does.")]
            ///
            /// # Panics
            /// If the elements are more than `isize::MAX` bytes, or more than is [reserved](Self::with_reserved).
            #[track_caller]
            pub fn $extend(&mut self, count: usize) {
                // SAFETY: the trait says that all-zero bytes are a value.
                unsafe { self.extend_zeroed_unchecked(count) }
            }

            #[doc = concat!("As [`", stringify!($extend), "`](Self::", stringify!($extend), "), or an error.")]
            ///
            /// # Errors
            /// If the elements are more than `isize::MAX` bytes, or more than is reserved, or the kernel refuses the memory.
            pub fn $try_extend(&mut self, count: usize) -> Result<()> {
                // SAFETY: the trait says that all-zero bytes are a value.
                unsafe { self.try_extend_zeroed_unchecked(count) }
            }
        }
    };
}

#[cfg(feature = "zerocopy")]
safe_zeroed!(
    zerocopy::FromZeros: zeroed,
    try_zeroed,
    zeroed_slice,
    try_zeroed_slice,
    resize_zeroed,
    try_resize_zeroed,
    extend_zeroed,
    try_extend_zeroed,
    "With the cargo feature `zerocopy`, whatever else is on."
);

#[cfg(all(feature = "bytemuck", not(feature = "zerocopy")))]
safe_zeroed!(
    bytemuck::Zeroable: zeroed,
    try_zeroed,
    zeroed_slice,
    try_zeroed_slice,
    resize_zeroed,
    try_resize_zeroed,
    extend_zeroed,
    try_extend_zeroed,
    "With the cargo feature `bytemuck` and without `zerocopy`, whose trait comes first. A library, which cannot know what \
     else is on, calls the twin that ends in `_bytemuck`."
);

#[cfg(feature = "bytemuck")]
safe_zeroed!(
    bytemuck::Zeroable: zeroed_bytemuck,
    try_zeroed_bytemuck,
    zeroed_slice_bytemuck,
    try_zeroed_slice_bytemuck,
    resize_zeroed_bytemuck,
    try_resize_zeroed_bytemuck,
    extend_zeroed_bytemuck,
    try_extend_zeroed_bytemuck,
    "With the cargo feature `bytemuck`, whatever else is on."
);
