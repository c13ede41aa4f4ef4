//! [`Splice`]: a range of a `PageVec` replaced by what an iterator gives.
//!
//! The range is drained first; the new elements then go into the gap, which is widened as far as the iterator says, and at
//! the end as far as it needs. At every point the [`Drain`] knows where the tail is, and closes whatever gap is left when it
//! is dropped: also when the iterator panics.

use super::{Drain, PageVec};
use core::iter::FusedIterator;
use core::ptr;

/// The iterator of [`PageVec::splice`], over the elements that are taken out. The new ones come in when it is dropped.
#[derive(Debug)]
pub struct Splice<'a, I: Iterator + 'a> {
    pub(super) drain: Drain<'a, I::Item>,
    pub(super) replace_with: I,
}

impl<I: Iterator> Iterator for Splice<'_, I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.drain.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.drain.size_hint()
    }
}

impl<I: Iterator> DoubleEndedIterator for Splice<'_, I> {
    fn next_back(&mut self) -> Option<I::Item> {
        self.drain.next_back()
    }
}

impl<I: Iterator> ExactSizeIterator for Splice<'_, I> {}
impl<I: Iterator> FusedIterator for Splice<'_, I> {}

impl<I: Iterator> Drop for Splice<'_, I> {
    fn drop(&mut self) {
        self.drain.by_ref().for_each(drop);
        if self.drain.tail.is_empty() {
            return self.drain.vec_mut().extend(self.replace_with.by_ref());
        }
        if !self.drain.fill(&mut self.replace_with) {
            return;
        }
        // What the iterator promises saves the detour below.
        let (promised, _) = self.replace_with.size_hint();
        if promised > 0 {
            self.drain.move_tail(promised);
            if !self.drain.fill(&mut self.replace_with) {
                return;
            }
        }
        // Of the rest the number is not known before it is there.
        let mut rest = self.replace_with.by_ref().collect::<PageVec<_>>().into_iter();
        if rest.len() > 0 {
            self.drain.move_tail(rest.len());
            self.drain.fill(&mut rest);
        }
    }
}

/// What a splice does with a drain of which nothing is left to be taken: by D1 and D2 the gap lies between the vector's
/// length and the tail.
impl<T> Drain<'_, T> {
    fn vec_mut(&mut self) -> &mut PageVec<T> {
        // SAFETY: D1, and `&mut self` is exclusive.
        unsafe { self.vec.as_mut() }
    }

    /// Puts new elements into the gap. Says whether it is full.
    fn fill(&mut self, elements: &mut impl Iterator<Item = T>) -> bool {
        let end = self.tail.start;
        let vec = self.vec_mut();
        while vec.len < end {
            let Some(element) = elements.next() else { return false };
            // SAFETY: the place is in the gap, within the storage; no element is there.
            unsafe { vec.as_mut_ptr().add(vec.len).write(element) };
            vec.len += 1;
        }
        true
    }

    /// Widens the gap.
    #[track_caller]
    fn move_tail(&mut self, additional: usize) {
        let tail = self.tail.clone();
        let vec = self.vec_mut();
        vec.reserve_behind(tail.end, additional);
        let start = tail.start + additional;
        // SAFETY: there is room for the tail (D2) behind the wider gap; nothing else is there.
        unsafe {
            let base = vec.as_mut_ptr();
            ptr::copy(base.add(tail.start), base.add(start), tail.len());
        }
        self.tail = start..start + tail.len();
    }
}
