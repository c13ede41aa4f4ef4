//! Boxes in pages made with options, and access to those pages.

use super::PageBox;
use crate::error::Result;
use crate::map::{Granted, MapOptions, Pages, Sealed};
use crate::pages::{self, Refusal, or_raise};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// # Pages with options
impl<T> PageBox<T> {
    /// Moves a value into pages made with these options, or drops it and returns an error. A clone of the box has the same
    /// options; a value without a size has no pages, and so no options.
    ///
    /// ```
    /// use mapalloc::PageBox;
    /// use mapalloc::map::{Features, Lock, MapOptions};
    ///
    /// let options = MapOptions::new().guard_pages(1, 1).lock(Lock::Now).best_effort(Features::LOCK);
    /// let table = PageBox::with_options([0_u64; 1000], options)?;
    /// if PageBox::granted(&table).missing().contains(Features::LOCK) {
    ///     eprintln!("the table may be swapped out");
    /// }
    /// # Ok::<(), mapalloc::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the kernel refuses the memory or one of the options.
    pub fn with_options(value: T, options: MapOptions) -> Result<Self> {
        Ok(Self::write(Self::new_uninit_with(options)?, value))
    }

    /// Pages made with these options for a value that is still to be written. Their bytes are zero.
    ///
    /// # Errors
    /// If the kernel refuses the memory or one of the options.
    pub fn new_uninit_with(options: MapOptions) -> Result<PageBox<MaybeUninit<T>>> {
        let base = block_with(Layout::new::<T>(), options)?;
        // X1: `MaybeUninit<T>` has the layout of `T`. X2: any bytes are a value of it.
        Ok(PageBox { value: base.cast(), owns: PhantomData })
    }

    /// Pages like those of this box.
    #[track_caller]
    pub(super) fn uninit_like(&self) -> PageBox<MaybeUninit<T>> {
        let base = or_raise(block_like(self.value.cast(), Layout::new::<T>()));
        // As in `new_uninit_with`.
        PageBox { value: base.cast(), owns: PhantomData }
    }
}

impl<T> PageBox<[T]> {
    /// Pages made with these options for `len` elements that are still to be written. Their bytes are zero.
    ///
    /// # Errors
    /// If the elements are more than `isize::MAX` bytes, or the kernel refuses the memory or one of the options.
    pub fn new_uninit_slice_with(len: usize, options: MapOptions) -> Result<PageBox<[MaybeUninit<T>]>> {
        let base = block_with(pages::array(Layout::new::<T>(), len)?, options)?;
        // X1: a slice has the layout of so many elements. X2: any bytes are values of `MaybeUninit<T>`.
        Ok(PageBox { value: NonNull::slice_from_raw_parts(base.cast(), len), owns: PhantomData })
    }

    /// Pages like those of this box.
    #[track_caller]
    pub(super) fn uninit_slice_like(&self) -> PageBox<[MaybeUninit<T>]> {
        let base = or_raise(block_like(self.value.cast(), Layout::for_value::<[T]>(self)));
        // As in `new_uninit_slice_with`.
        PageBox { value: NonNull::slice_from_raw_parts(base.cast(), self.len()), owns: PhantomData }
    }
}

impl<T: ?Sized> PageBox<T> {
    /// What the pages got of the options that they were made with.
    pub fn granted(boxed: &Self) -> Granted {
        pages::granted(boxed.value.cast())
    }

    /// The pages of the value: their start, and their length in bytes.
    fn pages(&self) -> (NonNull<u8>, usize) {
        let base = self.value.cast();
        (base, pages::usable(base, Layout::for_value::<T>(self)))
    }
}

fn block_with(layout: Layout, options: MapOptions) -> Result<NonNull<u8>, Refusal> {
    // A value without a size has no pages.
    if layout.size() == 0 { Ok(pages::dangling(layout)) } else { pages::map_with(layout, options) }
}

fn block_like(base: NonNull<u8>, layout: Layout) -> Result<NonNull<u8>, Refusal> {
    if layout.size() == 0 { Ok(pages::dangling(layout)) } else { pages::map_like(base, layout) }
}

impl<T: Copy> Sealed for PageBox<T> {}
impl<T: Copy> Sealed for PageBox<[T]> {}
impl Sealed for PageBox<str> {}

// SAFETY: the block is the box's (X1) and is its value (X2); a value that is `Copy` has no destructor.
unsafe impl<T: Copy> Pages for PageBox<T> {
    fn range(&self) -> (NonNull<u8>, usize) {
        self.pages()
    }
}

// SAFETY: as above; the length lies in the pointer.
unsafe impl<T: Copy> Pages for PageBox<[T]> {
    fn range(&self) -> (NonNull<u8>, usize) {
        self.pages()
    }
}

// SAFETY: as above.
unsafe impl Pages for PageBox<str> {
    fn range(&self) -> (NonNull<u8>, usize) {
        self.pages()
    }
}
