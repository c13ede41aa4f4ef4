//! Clearing memory that may be resident only in part, at the price of the part that is.
//!
//! A memset over pages that are not there faults every one of them in, just to write the zeros that they would read
//! anyway; giving all pages back makes the next user fault in again what was there. So the kernel is asked which pages
//! are resident ([`mincore(2)`](https://man7.org/linux/man-pages/man2/mincore.2.html)): where most are, those are cleared
//! and the gaps are given back, and where few are, all are given back.
//!
//! A gap is never taken for zero, since a page that was swapped out is not resident either.

use crate::page::page_size;
use crate::sys::{self, PageAdvice};
use core::ptr::NonNull;

/// Up to this many bytes a memset costs less than the question.
const MIN_QUESTION: usize = 1 << 20;

/// Pages that one question is about, and the first one, which finds out whether it is worth asking on.
const PAGES: usize = 2048;
const FIRST_PAGES: usize = 64;

/// The kernel is not called for more gaps than this in the pages of one question.
const MAX_GAPS: usize = 64;

/// Makes `len` bytes read zero.
///
/// # Safety
/// `base..base + len` is whole pages of anonymous memory, readable and writable, and the caller's alone.
pub(crate) unsafe fn zero_pages(base: NonNull<u8>, len: usize) {
    if len <= MIN_QUESTION {
        // SAFETY: the caller's contract.
        return unsafe { base.write_bytes(0, len) };
    }
    let page = page_size();
    let mut resident = [0; PAGES];
    let mut done = 0;
    while done < len {
        let pages = if done == 0 { FIRST_PAGES } else { PAGES };
        let bytes = (len - done).min(pages * page);
        let answer = &mut resident[..bytes / page];
        // SAFETY: the ranges lie within the caller's.
        unsafe {
            let start = base.add(done);
            if sys::residency(start, bytes, answer).is_err() || !is_dense(answer) {
                return discard(start, len - done);
            }
            zero_by_residency(start, answer);
        }
        done += bytes;
    }
}

/// Whether nearly all pages of a range are resident, as far as a few samples show.
///
/// # Safety
/// `base..base + len` is whole pages of the caller's.
pub(crate) unsafe fn looks_resident(base: NonNull<u8>, len: usize) -> bool {
    const SAMPLES: usize = 8;
    let page = page_size();
    let pages = len / page;
    let mut resident = [0; FIRST_PAGES];
    let resident = &mut resident[..FIRST_PAGES.min(pages)];
    let last = pages - resident.len();
    (0..SAMPLES).all(|sample| {
        // SAFETY: a sample ends within the range.
        let known = unsafe {
            let start = base.add(last * sample / (SAMPLES - 1) * page);
            sys::residency(start, resident.len() * page, resident)
        };
        known.is_ok() && resident.iter().filter(|&&page| page & 1 != 0).count() * 8 >= resident.len() * 7
    })
}

/// Whether clearing the resident pages costs less than faulting them in again.
fn is_dense(resident: &[u8]) -> bool {
    let pages = resident.iter().filter(|&&page| page & 1 != 0).count();
    let gaps = resident.windows(2).filter(|pair| pair[0] & 1 > pair[1] & 1).count();
    pages * 2 >= resident.len() && gaps <= MAX_GAPS
}

/// Clears the pages that `resident` marks, and gives back those between them.
///
/// # Safety
/// As for [`zero_pages`], for the pages that `resident` is about.
unsafe fn zero_by_residency(base: NonNull<u8>, resident: &[u8]) {
    let mut start = 0;
    for group in resident.chunk_by(|a, b| a & 1 == b & 1) {
        let len = group.len() * page_size();
        // SAFETY: the group lies within the caller's range.
        unsafe {
            let first = base.add(start);
            if group[0] & 1 != 0 {
                first.write_bytes(0, len);
            } else {
                discard(first, len);
            }
        }
        start += len;
    }
}

/// Gives a range back, or clears it where the kernel keeps it (locked pages).
///
/// # Safety
/// As for [`zero_pages`].
unsafe fn discard(base: NonNull<u8>, len: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        if sys::advise(base, len, PageAdvice::DontNeed).is_err() {
            base.write_bytes(0, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Mapping;

    #[test]
    fn all_bytes_read_zero_whatever_was_resident() {
        const PAGES: usize = if cfg!(miri) { 20 } else { 5000 };
        let page = page_size();
        for stride in [1, 2, 7, 300] {
            let mut pages = Mapping::new(PAGES * page).unwrap();
            for at in (0..PAGES).step_by(stride) {
                pages[at * page + at % page] = 1;
            }
            let base = NonNull::new(pages.as_mut_ptr()).unwrap();
            // SAFETY: the mapping is this test's alone.
            unsafe { zero_pages(base, pages.len()) };
            assert!(pages.iter().all(|&byte| byte == 0), "every {stride}th page");
        }
    }

    #[test]
    fn swapped_pages_are_dropped_and_the_others_cleared() {
        let page = page_size();
        let mut pages = Mapping::new(8 * page).unwrap();
        pages.fill(1);
        let base = NonNull::new(pages.as_mut_ptr()).unwrap();
        // SAFETY: the mapping is this test's alone. The answer calls every other page swapped out.
        unsafe { zero_by_residency(base, &[1, 0, 0, 1, 1, 0, 1, 0]) };
        assert!(pages.iter().all(|&byte| byte == 0));
    }

    #[test]
    #[cfg(not(miri))]
    fn what_is_touched_whole_looks_resident() {
        let page = page_size();
        let mut pages = Mapping::new(5000 * page).unwrap();
        let base = NonNull::new(pages.as_mut_ptr()).unwrap();
        // SAFETY: the mapping is this test's alone.
        let looks = || unsafe { looks_resident(base, 5000 * page) };
        assert!(!looks());
        pages[..4000 * page].fill(1);
        assert!(!looks());
        pages[4000 * page..].fill(1);
        assert!(looks());
    }

    #[test]
    #[cfg(not(miri))]
    fn sparse_memory_does_not_become_resident() {
        let page = page_size();
        let mut pages = Mapping::new(2000 * page).unwrap();
        for at in (0..2000).step_by(100) {
            pages[at * page] = 1;
        }
        let base = NonNull::new(pages.as_mut_ptr()).unwrap();
        let mut resident = [0; 2000];
        // SAFETY: the mapping is this test's alone.
        unsafe {
            zero_pages(base, pages.len());
            sys::residency(base, pages.len(), &mut resident).unwrap();
        }
        assert!(resident.iter().filter(|&&page| page & 1 != 0).count() <= 20);
    }
}
