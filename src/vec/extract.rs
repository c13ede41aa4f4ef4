//! [`ExtractIf`]: the elements of a range of a `PageVec` that meet a condition, taken out one by one.
//!
//! # Invariants of an [`ExtractIf`]
//! * **E1** The vector's length is zero for the time of the walk (V2); it had `len` elements.
//! * **E2** `..kept` and `next..len` are elements that belong to the iterator, `kept..next` are gaps;
//!   `kept <= next <= len`.

use super::PageVec;
use core::fmt;
use core::ptr;

/// The iterator of [`PageVec::extract_if`]. The elements that stay are put together when it is dropped.
#[must_use = "nothing is taken out unless the iterator is asked"]
pub struct ExtractIf<'a, T, F> {
    vec: &'a mut PageVec<T>,
    condition: F,
    kept: usize,
    next: usize,
    end: usize,
    len: usize,
}

impl<'a, T, F> ExtractIf<'a, T, F> {
    /// For a range that is known to be within the length.
    pub(super) fn new(vec: &'a mut PageVec<T>, start: usize, end: usize, condition: F) -> Self {
        debug_assert!(start <= end && end <= vec.len);
        let len = core::mem::take(&mut vec.len);
        // E1 and E2 hold from here on.
        Self { vec, condition, kept: start, next: start, end, len }
    }
}

impl<T, F: FnMut(&mut T) -> bool> Iterator for ExtractIf<'_, T, F> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let base = self.vec.as_mut_ptr();
        while self.next < self.end {
            // SAFETY: E2: the element at `next` is initialised and the iterator's. If the condition panics, it stays where it
            // is; afterwards it is given away, or moved to the first gap, and `next` goes past it.
            unsafe {
                let element = base.add(self.next);
                let is_taken = (self.condition)(&mut *element);
                self.next += 1;
                if is_taken {
                    return Some(element.read());
                }
                if self.kept + 1 < self.next {
                    ptr::copy_nonoverlapping(element, base.add(self.kept), 1);
                }
                self.kept += 1;
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.end - self.next))
    }
}

impl<T, F> Drop for ExtractIf<'_, T, F> {
    fn drop(&mut self) {
        let unseen = self.len - self.next;
        if self.kept < self.next {
            let base = self.vec.as_mut_ptr();
            // SAFETY: E2: the unseen elements move over the gaps.
            unsafe { ptr::copy(base.add(self.next), base.add(self.kept), unseen) };
        }
        // V1: what was kept and what was not seen lie together now.
        self.vec.len = self.kept + unseen;
    }
}

impl<T: fmt::Debug, F> fmt::Debug for ExtractIf<'_, T, F> {
    /// The element that is looked at next.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: E2.
        let next = (self.next < self.end).then(|| unsafe { &*self.vec.as_ptr().add(self.next) });
        f.debug_struct("ExtractIf").field("next", &next).finish_non_exhaustive()
    }
}
