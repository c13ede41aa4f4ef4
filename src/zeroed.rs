//! The safe constructors of zeroed values: where another crate's trait proves that all-zero bytes are a value.
//!
//! Two cargo features bring such a trait, and Rust has no "either of two bounds" for one function. So:
//!
//! * `zeroed` and `zeroed_slice` go by `zerocopy::FromZeros` if the feature `zerocopy` is on, else by
//!   `bytemuck::Zeroable`;
//! * `zeroed_bytemuck` and `zeroed_slice_bytemuck` always go by `bytemuck::Zeroable`, whatever else is on. A library that
//!   enables only `bytemuck` calls these: another crate in the same build may enable `zerocopy`.

use crate::boxed::PageBox;
use crate::error::Result;
use crate::vec::PageVec;

macro_rules! safe_zeroed {
    ($proof:path: $one:ident, $try_one:ident, $slice:ident, $try_slice:ident, $which:literal) => {
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
        }
    };
}

#[cfg(feature = "zerocopy")]
safe_zeroed!(
    zerocopy::FromZeros: zeroed,
    try_zeroed,
    zeroed_slice,
    try_zeroed_slice,
    "With the cargo feature `zerocopy`, whatever else is on."
);

#[cfg(all(feature = "bytemuck", not(feature = "zerocopy")))]
safe_zeroed!(
    bytemuck::Zeroable: zeroed,
    try_zeroed,
    zeroed_slice,
    try_zeroed_slice,
    "With the cargo feature `bytemuck` and without `zerocopy`, whose trait comes first. A library, which cannot know what \
     else is on, calls the twin that ends in `_bytemuck`."
);

#[cfg(feature = "bytemuck")]
safe_zeroed!(
    bytemuck::Zeroable: zeroed_bytemuck,
    try_zeroed_bytemuck,
    zeroed_slice_bytemuck,
    try_zeroed_slice_bytemuck,
    "With the cargo feature `bytemuck`, whatever else is on."
);
