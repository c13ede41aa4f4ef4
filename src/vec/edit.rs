//! Changing a `PageVec` element by element: adding, taking, moving and dropping.
//!
//! Every method keeps V1 and V2 at each point where code of the element type, or a closure, can run.

use super::{Drain, ExtractIf, PageVec, Splice};
use crate::error::Result;
use core::mem;
use core::ops::{Bound, Range, RangeBounds};
use core::ptr;

/// # One element
impl<T> PageVec<T> {
    /// Adds an element at the end.
    ///
    /// # Panics
    /// If the elements are more than `isize::MAX` bytes.
    #[inline]
    #[track_caller]
    pub fn push(&mut self, value: T) {
        self.reserve(1);
        // SAFETY: there is room.
        unsafe { self.push_within(value) };
    }

    /// Adds an element at the end, or drops it and returns an error where there is no room.
    ///
    /// # Errors
    /// If the elements are more than `isize::MAX` bytes, or the kernel refuses the memory. To keep an element that does not
    /// fit, [`try_reserve`](Self::try_reserve) first.
    #[inline]
    pub fn try_push(&mut self, value: T) -> Result<()> {
        self.try_reserve(1)?;
        // SAFETY: there is room.
        unsafe { self.push_within(value) };
        Ok(())
    }

    /// # Safety
    /// `len` is less than the capacity.
    #[inline(always)]
    unsafe fn push_within(&mut self, value: T) {
        // SAFETY: the caller's contract; the element behind the last is not initialised (V1).
        unsafe { self.as_mut_ptr().add(self.len).write(value) };
        self.len += 1;
    }

    /// Takes the last element.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: V1 held with one more element, which is the vector's no longer.
        Some(unsafe { self.as_ptr().add(self.len).read() })
    }

    /// Takes the last element if `condition` says `true` of it.
    pub fn pop_if(&mut self, condition: impl FnOnce(&mut T) -> bool) -> Option<T> {
        if condition(self.last_mut()?) { self.pop() } else { None }
    }

    /// Puts an element at `index` and moves those from there on up by one.
    ///
    /// # Panics
    /// If `index` is past the length, or the elements are more than `isize::MAX` bytes.
    #[track_caller]
    pub fn insert(&mut self, index: usize, value: T) {
        let len = self.len;
        assert!(index <= len, "insertion index (is {index}) should be <= len (is {len})");
        self.reserve(1);
        // SAFETY: `index <= len < capacity`, so the elements from `index` on have room one further up; nothing here panics.
        unsafe {
            let place = self.as_mut_ptr().add(index);
            ptr::copy(place, place.add(1), len - index);
            place.write(value);
        }
        self.len = len + 1;
    }

    /// Takes the element at `index` and moves those behind it down by one.
    ///
    /// # Panics
    /// If there is no element at `index`.
    #[track_caller]
    pub fn remove(&mut self, index: usize) -> T {
        let len = self.len;
        assert!(index < len, "removal index (is {index}) should be < len (is {len})");
        self.len = len - 1;
        // SAFETY: `index < len`; the element is read once and then overwritten, or past the new length.
        unsafe {
            let place = self.as_mut_ptr().add(index);
            let value = place.read();
            ptr::copy(place.add(1), place, len - index - 1);
            value
        }
    }

    /// Takes the element at `index` and puts the last one in its place.
    ///
    /// # Panics
    /// If there is no element at `index`.
    #[track_caller]
    pub fn swap_remove(&mut self, index: usize) -> T {
        let len = self.len;
        assert!(index < len, "swap_remove index (is {index}) should be < len (is {len})");
        self.len = len - 1;
        // SAFETY: both are elements; each is read once, and the last is past the new length.
        unsafe {
            let place = self.as_mut_ptr().add(index);
            let value = place.read();
            ptr::copy(self.as_ptr().add(len - 1), place, 1);
            value
        }
    }
}

/// # Many elements
impl<T> PageVec<T> {
    /// Drops the elements from `len` on; a larger `len` changes nothing. The capacity stays.
    pub fn truncate(&mut self, len: usize) {
        let Some(surplus) = self.len.checked_sub(len) else { return };
        self.len = len;
        // SAFETY: V1 held with these elements; they are the vector's no longer (V2).
        unsafe { ptr::drop_in_place(ptr::slice_from_raw_parts_mut(self.as_mut_ptr().add(len), surplus)) };
    }

    /// Drops all elements. The capacity stays.
    #[inline]
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Moves all elements of `other` to the end of this vector.
    ///
    /// # Panics
    /// If the elements are more than `isize::MAX` bytes.
    #[track_caller]
    pub fn append(&mut self, other: &mut Self) {
        // SAFETY: the elements are initialised, and they are no longer `other`'s below; two vectors never overlap.
        unsafe { self.append_from(other.as_ptr(), other.len) };
        other.len = 0;
    }

    /// Moves `count` elements to the end of this vector, byte by byte.
    ///
    /// # Safety
    /// `source` points to `count` elements outside the storage, which the caller gives up unless they are `Copy`.
    #[track_caller]
    pub(super) unsafe fn append_from(&mut self, source: *const T, count: usize) {
        self.reserve(count);
        // SAFETY: there is room, and the caller's contract.
        unsafe { ptr::copy_nonoverlapping(source, self.as_mut_ptr().add(self.len), count) };
        self.len += count;
    }

    /// Moves the elements from `at` on into a new vector, with the same options. The capacity of this one stays, and so do the
    /// addresses of one with a reservation.
    ///
    /// # Panics
    /// If `at` is past the length.
    #[must_use = "use `truncate` if the elements are not needed"]
    #[track_caller]
    pub fn split_off(&mut self, at: usize) -> Self {
        let len = self.len;
        assert!(at <= len, "`at` split index (is {at}) should be <= len (is {len})");
        if at == 0 && self.reserved().is_none() {
            // The pages go with the elements, and as many new ones, which take no memory yet, stay.
            let empty = self.empty_like(self.capacity());
            return mem::replace(self, empty);
        }
        let mut tail = self.empty_like(len - at);
        self.len = at;
        // SAFETY: `at..len` are elements, which this vector has just given up.
        unsafe { tail.append_from(self.as_ptr().add(at), len - at) };
        tail
    }

    /// Takes the elements of a range out, as an iterator. Those that it was not asked for are dropped with it.
    ///
    /// If the iterator is forgotten instead of dropped, the elements from the start of the range on are leaked.
    ///
    /// # Panics
    /// If the range ends before it starts, or past the length.
    #[track_caller]
    pub fn drain<R>(&mut self, range: R) -> Drain<'_, T>
    where
        R: RangeBounds<usize>,
    {
        let range = checked_range(self, range);
        Drain::new(self, range)
    }

    /// Takes the elements of a range out, as an iterator, and puts those of `replace_with` in their place when that is dropped.
    ///
    /// The cost is that of moving what lies behind the range at most twice, where the iterator's size hint is too low, else
    /// once. If the iterator is forgotten instead of dropped, elements are leaked.
    ///
    /// # Panics
    /// If the range ends before it starts, or past the length, or the elements are more than `isize::MAX` bytes.
    #[track_caller]
    pub fn splice<R, I>(&mut self, range: R, replace_with: I) -> Splice<'_, I::IntoIter>
    where
        R: RangeBounds<usize>,
        I: IntoIterator<Item = T>,
    {
        Splice { drain: self.drain(range), replace_with: replace_with.into_iter() }
    }

    /// Takes those elements of a range out, as an iterator, of which `condition` says `true`. Those that it was not asked for
    /// stay.
    ///
    /// If the iterator is forgotten instead of dropped, the elements of the vector are leaked.
    ///
    /// # Panics
    /// If the range ends before it starts, or past the length.
    #[track_caller]
    pub fn extract_if<F, R>(&mut self, range: R, condition: F) -> ExtractIf<'_, T, F>
    where
        F: FnMut(&mut T) -> bool,
        R: RangeBounds<usize>,
    {
        let range = checked_range(self, range);
        ExtractIf::new(self, range.start, range.end, condition)
    }

    /// Keeps the elements for which `keep` says `true`, in their order, and drops the others.
    pub fn retain<F>(&mut self, mut keep: F)
    where
        F: FnMut(&T) -> bool,
    {
        self.sweep(|element, _| keep(element));
    }

    /// As [`retain`](Self::retain), with elements that `keep` may change.
    pub fn retain_mut<F>(&mut self, mut keep: F)
    where
        F: FnMut(&mut T) -> bool,
    {
        self.sweep(|element, _| keep(element));
    }

    /// Of neighbours that are equal keeps the first.
    pub fn dedup(&mut self)
    where
        T: PartialEq,
    {
        self.dedup_by(|element, kept| element == kept);
    }

    /// Of neighbours with equal keys keeps the first.
    pub fn dedup_by_key<F, K>(&mut self, mut key: F)
    where
        F: FnMut(&mut T) -> K,
        K: PartialEq,
    {
        self.dedup_by(|element, kept| key(element) == key(kept));
    }

    /// Drops the elements for which `same(element, kept)` says `true`, where `kept` is the element before it that stays.
    pub fn dedup_by<F>(&mut self, mut same: F)
    where
        F: FnMut(&mut T, &mut T) -> bool,
    {
        self.sweep(|element, kept| kept.is_none_or(|kept| !same(element, kept)));
    }

    /// Goes through the elements, drops those for which `keep(element, last one kept)` says `false`, and closes the gaps.
    fn sweep(&mut self, mut keep: impl FnMut(&mut T, Option<&mut T>) -> bool) {
        /// The state of the walk: `..kept` stay, `kept..next` are gaps, `next..len` are still to be seen. Closes the gap
        /// when dropped, so also when a closure or a destructor panics.
        struct Sweep<'a, T> {
            vec: &'a mut PageVec<T>,
            kept: usize,
            next: usize,
            len: usize,
        }

        impl<T> Drop for Sweep<'_, T> {
            fn drop(&mut self) {
                let unseen = self.len - self.next;
                let base = self.vec.as_mut_ptr();
                // SAFETY: `kept <= next <= len`, the length that the vector had; the unseen elements move over gaps.
                unsafe { ptr::copy(base.add(self.next), base.add(self.kept), unseen) };
                self.vec.len = self.kept + unseen;
            }
        }

        let len = mem::take(&mut self.len);
        let mut sweep = Sweep { vec: self, kept: 0, next: 0, len };
        let base = sweep.vec.as_mut_ptr();
        while sweep.next < len {
            // SAFETY: the vector's length is zero for the time of the walk (V2), so these elements are the walk's. An unseen
            // element and the last kept one are initialised and distinct; a kept one goes to a gap; a dropped one becomes
            // a gap before its destructor runs.
            unsafe {
                let element = base.add(sweep.next);
                let last = (sweep.kept > 0).then(|| &mut *base.add(sweep.kept - 1));
                if keep(&mut *element, last) {
                    if sweep.kept < sweep.next {
                        ptr::copy_nonoverlapping(element, base.add(sweep.kept), 1);
                    }
                    sweep.kept += 1;
                    sweep.next += 1;
                } else {
                    sweep.next += 1;
                    ptr::drop_in_place(element);
                }
            }
        }
    }
}

/// A range of elements as start and end, checked as slices check it, with their panics.
#[track_caller]
pub(crate) fn checked_range<T>(elements: &[T], range: impl RangeBounds<usize>) -> Range<usize> {
    // A bound that saturates is past the end of everything that has memory.
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => elements.len(),
    };
    let _ = &elements[start..end];
    start..end
}

/// # Arrays
impl<T, const N: usize> PageVec<[T; N]> {
    /// The elements of all arrays, one after the other. No element moves.
    ///
    /// # Panics
    /// If they are more than `usize::MAX`, which elements without a size can be.
    #[must_use]
    #[track_caller]
    pub fn into_flattened(self) -> PageVec<T> {
        let (base, arrays, capacity) = self.into_raw_parts();
        let len = arrays.checked_mul(N).expect("vec len overflow");
        let capacity = match (size_of::<T>(), N) {
            (0, _) => usize::MAX,
            // Arrays of no elements have no block.
            (_, 0) => 0,
            _ => capacity * N,
        };
        // SAFETY: the block holds so many elements, of the same alignment, and is given up above.
        unsafe { PageVec::from_raw_parts(base.cast(), len, capacity) }
    }
}
