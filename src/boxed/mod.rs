//! `PageBox`: one value, or one slice, in pages of its own.
//!
//! This file holds the type, its constructors and its raw form; `options` makes boxes in pages with options, `traits` is the standard library's vocabulary for values,
//! `forward` the traits that a box has because its value has them, `auto` a check of those that the compiler gives out.
//!
//! # Invariants of a [`PageBox`]
//! * **X1** `(value, layout of the value)` is a block (see `pages`) that the box owns.
//! * **X2** `value` points to an initialised value, which belongs to the box.

mod auto;
mod convert;
mod forward;
mod options;
mod traits;

use crate::error::Result;
use crate::pages::{self, Refusal, or_raise};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::panic::UnwindSafe;
use core::pin::Pin;
use core::ptr::{self, NonNull};

/// A pointer type like [`Box`] that owns whole pages.
///
/// The functions have the names and the results of [`Box`]; like those, the ones for every type are called as
/// `PageBox::into_raw(b)`, so that they hide no method of the value. What differs:
///
/// * The value lies at the start of a page; for a type with a larger alignment, at a multiple of that.
/// * A value without a size, such as an empty slice, has no pages.
/// * Memory is a matter for the kernel. The `try_` functions return an [`Error`](crate::Error) where it refuses; the others
///   end as [`Box`]'s do, in [`handle_alloc_error`](std::alloc::handle_alloc_error).
/// * Fresh pages are zero, so [`zeroed_unchecked`](Self::zeroed_unchecked) and its safe relatives write nothing.
///
/// Every box with a size is one mapping of its own, of which a process has a limited number (`vm.max_map_count`, 65530
/// unless set): a type for large values, not for many small ones.
///
/// ```
/// use mapalloc::{PageBox, page_size};
///
/// let mut table = PageBox::new([0u32; 4096]);
/// table[17] = 4;
/// assert_eq!((&raw const *table).addr() % page_size(), 0);
/// assert_eq!(PageBox::into_inner(table)[17], 4);
/// ```
///
/// # What only the standard library's box can do
/// * Move its value out by `*b`: [`into_inner`](Self::into_inner) does that.
/// * Be called: the `Fn` traits cannot be implemented outside the standard library. Call `(*b)(…)`.
/// * Tell the drop checker that its drop does not look at the value: a `PageBox` cannot hold references to something that
///   is dropped before it.
/// * Be made of any error by `?`: a `PageBox<dyn Error>` is an [`Error`](core::error::Error) itself, which rules that out.
/// * Turn into a box of a trait object by itself. [`into_raw`](Self::into_raw) and [`from_raw`](Self::from_raw) do it,
///   because a pointer turns into a pointer to a trait object:
///
/// ```
/// use mapalloc::PageBox;
/// use std::fmt::Display;
///
/// let number = PageBox::new(7_u8);
/// let raw = PageBox::into_raw(number) as *mut dyn Display;
/// // SAFETY: the pointer comes from `into_raw`, and still points to the same value.
/// let shown: PageBox<dyn Display> = unsafe { PageBox::from_raw(raw) };
/// assert_eq!(shown.to_string(), "7");
/// ```
pub struct PageBox<T: ?Sized> {
    value: NonNull<T>,
    owns: PhantomData<T>,
}

// SAFETY: by X1 and X2 the box is the only owner of the value, so it is sent with it.
unsafe impl<T: ?Sized + Send> Send for PageBox<T> {}
// SAFETY: a shared reference to the box gives a shared reference to the value, and nothing more.
unsafe impl<T: ?Sized + Sync> Sync for PageBox<T> {}
// Moving the box does not move the value.
impl<T: ?Sized> Unpin for PageBox<T> {}
// As for `Box`: the pointer is one to an owned value, not to a shared one.
impl<T: ?Sized + UnwindSafe> UnwindSafe for PageBox<T> {}

/// # One value
impl<T> PageBox<T> {
    /// Moves a value into pages of its own.
    #[must_use]
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::write(Self::new_uninit(), value)
    }

    /// Moves a value into pages of its own, or drops it and returns an error.
    ///
    /// # Errors
    /// If the kernel refuses the memory.
    pub fn try_new(value: T) -> Result<Self> {
        Ok(Self::write(Self::try_new_uninit()?, value))
    }

    /// Moves a value into pages of its own, where it stays.
    #[must_use]
    #[track_caller]
    pub fn pin(value: T) -> Pin<Self> {
        Self::into_pin(Self::new(value))
    }

    /// As [`pin`](Self::pin), or drops the value and returns an error.
    ///
    /// # Errors
    /// If the kernel refuses the memory.
    pub fn try_pin(value: T) -> Result<Pin<Self>> {
        Ok(Self::into_pin(Self::try_new(value)?))
    }

    /// Pages for a value that is still to be written. Their bytes are zero.
    ///
    /// ```
    /// use mapalloc::PageBox;
    ///
    /// let place = PageBox::<[u8; 10_000]>::new_uninit();
    /// let value = PageBox::write(place, [3; 10_000]);
    /// assert_eq!(value[9_999], 3);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new_uninit() -> PageBox<MaybeUninit<T>> {
        or_raise(Self::raw_uninit())
    }

    /// As [`new_uninit`](Self::new_uninit), or an error.
    ///
    /// # Errors
    /// If the kernel refuses the memory.
    pub fn try_new_uninit() -> Result<PageBox<MaybeUninit<T>>> {
        Ok(Self::raw_uninit()?)
    }

    fn raw_uninit() -> Result<PageBox<MaybeUninit<T>>, Refusal> {
        let base = pages::map(Layout::new::<T>())?;
        // X1: `MaybeUninit<T>` has the layout of `T`. X2: any bytes are a value of it.
        Ok(PageBox { value: base.cast(), owns: PhantomData })
    }

    /// A value whose bytes are all zero, as the kernel gives them: no byte is written.
    ///
    /// Where the type is known to allow it, the cargo features `zerocopy` and `bytemuck` give the safe constructor `zeroed`.
    ///
    /// # Safety
    /// A `T` may have all its bytes zero.
    #[must_use]
    #[track_caller]
    pub unsafe fn zeroed_unchecked() -> Self {
        // SAFETY: the pages are new, so the bytes are zero, which the caller says is a value.
        unsafe { Self::new_uninit().assume_init() }
    }

    /// As [`zeroed_unchecked`](Self::zeroed_unchecked), or an error.
    ///
    /// # Safety
    /// A `T` may have all its bytes zero.
    ///
    /// # Errors
    /// If the kernel refuses the memory.
    pub unsafe fn try_zeroed_unchecked() -> Result<Self> {
        // SAFETY: the pages are new, so the bytes are zero, which the caller says is a value.
        Ok(unsafe { Self::try_new_uninit()?.assume_init() })
    }

    /// Takes the value out and gives the pages back.
    #[must_use = "use `drop` if the value is not needed"]
    pub fn into_inner(boxed: Self) -> T {
        let base = Self::into_block(boxed);
        // SAFETY: X2; the value is read once. By X1 the block was the box's, which is gone.
        unsafe {
            let value = base.cast::<T>().read();
            pages::unmap(base, Layout::new::<T>());
            value
        }
    }
}

/// # A slice
impl<T> PageBox<[T]> {
    /// Pages for `len` elements that are still to be written. Their bytes are zero.
    ///
    /// # Panics
    /// If the elements are more than `isize::MAX` bytes.
    #[must_use]
    #[track_caller]
    pub fn new_uninit_slice(len: usize) -> PageBox<[MaybeUninit<T>]> {
        or_raise(Self::raw_uninit_slice(len))
    }

    /// As [`new_uninit_slice`](Self::new_uninit_slice), or an error.
    ///
    /// # Errors
    /// If the elements are more than `isize::MAX` bytes, or the kernel refuses the memory.
    pub fn try_new_uninit_slice(len: usize) -> Result<PageBox<[MaybeUninit<T>]>> {
        Ok(Self::raw_uninit_slice(len)?)
    }

    fn raw_uninit_slice(len: usize) -> Result<PageBox<[MaybeUninit<T>]>, Refusal> {
        let base = pages::map(pages::array(Layout::new::<T>(), len)?)?;
        // X1: a slice has the layout of so many elements. X2: any bytes are values of `MaybeUninit<T>`.
        Ok(PageBox { value: NonNull::slice_from_raw_parts(base.cast(), len), owns: PhantomData })
    }

    /// `len` elements whose bytes are all zero, as the kernel gives them: no byte is written.
    ///
    /// Where the type is known to allow it, the cargo features `zerocopy` and `bytemuck` give the safe constructor
    /// `zeroed_slice`.
    ///
    /// # Safety
    /// A `T` may have all its bytes zero.
    ///
    /// # Panics
    /// If the elements are more than `isize::MAX` bytes.
    #[must_use]
    #[track_caller]
    pub unsafe fn zeroed_slice_unchecked(len: usize) -> Self {
        // SAFETY: the pages are new, so the bytes are zero, which the caller says is a value.
        unsafe { Self::new_uninit_slice(len).assume_init() }
    }

    /// As [`zeroed_slice_unchecked`](Self::zeroed_slice_unchecked), or an error.
    ///
    /// # Safety
    /// A `T` may have all its bytes zero.
    ///
    /// # Errors
    /// If the elements are more than `isize::MAX` bytes, or the kernel refuses the memory.
    pub unsafe fn try_zeroed_slice_unchecked(len: usize) -> Result<Self> {
        // SAFETY: the pages are new, so the bytes are zero, which the caller says is a value.
        Ok(unsafe { Self::try_new_uninit_slice(len)?.assume_init() })
    }
}

/// # Values still to be written
impl<T> PageBox<MaybeUninit<T>> {
    /// Says that the value has been written.
    ///
    /// # Safety
    /// It has been, or its bytes, zero when new, are a value.
    #[must_use]
    pub unsafe fn assume_init(self) -> PageBox<T> {
        // SAFETY: the layout is the same (X1), and the caller says that the value is initialised (X2).
        unsafe { PageBox::from_raw(Self::into_raw(self).cast()) }
    }
}

impl<T> PageBox<T> {
    /// Writes the value of a box that [`new_uninit`](Self::new_uninit) made. What was written there before is not dropped.
    #[must_use]
    pub fn write(mut boxed: PageBox<MaybeUninit<T>>, value: T) -> Self {
        boxed.write(value);
        // SAFETY: written on the line above.
        unsafe { boxed.assume_init() }
    }
}

impl<T> PageBox<[MaybeUninit<T>]> {
    /// Says that all elements have been written.
    ///
    /// # Safety
    /// They have been, or their bytes, zero when new, are values.
    #[must_use]
    pub unsafe fn assume_init(self) -> PageBox<[T]> {
        // SAFETY: the layout is the same (X1), and the caller says that the elements are initialised (X2).
        unsafe { PageBox::from_raw(Self::into_raw(self) as *mut [T]) }
    }
}

/// # Any value
impl<T: ?Sized> PageBox<T> {
    /// Gives the value and its pages up, for [`from_raw`](Self::from_raw) to take back.
    #[must_use = "the value is leaked unless its pointer is used"]
    pub fn into_raw(boxed: Self) -> *mut T {
        ManuallyDrop::new(boxed).value.as_ptr()
    }

    /// The box whose value is here. The pages are found by the value's size and alignment alone.
    ///
    /// # Safety
    /// * `raw` comes from [`into_raw`](Self::into_raw) of a `PageBox`, and makes no second box.
    /// * Its type may have changed since, to another one for which the value at hand is valid and has the same size and
    ///   alignment: a trait object of the type, a slice of the array, a type of the same layout.
    pub const unsafe fn from_raw(raw: *mut T) -> Self {
        // SAFETY: `into_raw` gives no null pointer. X1 and X2 are the caller's contract.
        Self { value: unsafe { NonNull::new_unchecked(raw) }, owns: PhantomData }
    }

    /// The value for the rest of the program, or for `'a`. It is not dropped, and its pages are never given back; a value
    /// that is to become a box again is given up by [`into_raw`](Self::into_raw) instead.
    pub fn leak<'a>(boxed: Self) -> &'a mut T
    where
        T: 'a,
    {
        // SAFETY: X2, and the value is nobody's from here on, so nothing ends the borrow.
        unsafe { &mut *Self::into_raw(boxed) }
    }

    /// The box with its value pinned, which it is anyhow: moving a box does not move the value.
    pub fn into_pin(boxed: Self) -> Pin<Self> {
        // SAFETY: the value stays where it is until the box is dropped or taken apart, and a `Pin` allows only the first. No
        // method of a box moves its value behind a reference.
        unsafe { Pin::new_unchecked(boxed) }
    }

    /// Gives the box up and leaves its block, with the value in it, to the caller.
    fn into_block(boxed: Self) -> NonNull<u8> {
        ManuallyDrop::new(boxed).value.cast()
    }
}

impl<T: ?Sized> Drop for PageBox<T> {
    fn drop(&mut self) {
        /// Gives the pages back when the value is gone, also when its destructor panics.
        struct Block(NonNull<u8>, Layout);

        impl Drop for Block {
            fn drop(&mut self) {
                // SAFETY: X1, and nothing can use the box after its drop.
                unsafe { pages::unmap(self.0, self.1) };
            }
        }

        let _block = Block(self.value.cast(), Layout::for_value::<T>(self));
        // SAFETY: X2, and nothing can use the box after its drop.
        unsafe { ptr::drop_in_place(self.value.as_ptr()) };
    }
}

#[cfg(test)]
mod tests;
