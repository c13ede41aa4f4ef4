//! Clearing memory that may be resident only in part, at the price of the part that is.
//!
//! A memset over pages that are not there faults every one of them in, just to write the zeros that they would read
//! anyway; giving all pages back makes the next user fault in again what was there. So the kernel is asked which pages
//! are resident ([`mincore(2)`](https://man7.org/linux/man-pages/man2/mincore.2.html)), and only those are cleared.

use crate::page::page_size;
use crate::sys::{self, PageAdvice};
use core::ptr::NonNull;

/// Up to this many bytes a memset costs less than the question.
const MIN_QUESTION: usize = 1 << 20;

/// Pages that one question is about.
const PAGES: usize = 2048;

/// Makes `len` bytes read zero.
///
/// # Safety
/// `base..base + len` is whole pages of anonymous memory, readable and writable, and the caller's alone.
pub(crate) unsafe fn zero_pages(base: NonNull<u8>, len: usize) {
    if len <= MIN_QUESTION {
        // SAFETY: the caller's contract.
        return unsafe { base.write_bytes(0, len) };
    }
    // A page that was swapped out is not resident, and not zero either.
    let swap = sys::may_swap();
    let page = page_size();
    let mut resident = [0; PAGES];
    let mut done = 0;
    while done < len {
        let bytes = (len - done).min(PAGES * page);
        let answer = &mut resident[..bytes / page];
        // SAFETY: the range lies within the caller's.
        unsafe {
            let start = base.add(done);
            match sys::residency(start, bytes, answer) {
                Ok(()) => zero_by_residency(start, answer, swap),
                Err(_) => discard(start, bytes),
            }
        }
        done += bytes;
    }
}

/// Clears the pages that `resident` marks, and drops what may be swapped out between them.
///
/// # Safety
/// As for [`zero_pages`], for the pages that `resident` is about.
unsafe fn zero_by_residency(base: NonNull<u8>, resident: &[u8], swap: bool) {
    let page = page_size();
    let mut start = 0;
    for group in resident.chunk_by(|a, b| a & 1 == b & 1) {
        let len = group.len() * page;
        // SAFETY: the group lies within the caller's range.
        unsafe {
            let first = base.add(start);
            if group[0] & 1 != 0 {
                for at in (0..len).step_by(page) {
                    zero_resident(first.add(at), page);
                }
            } else if swap {
                discard(first, len);
            }
        }
        start += len;
    }
}

/// Clears a resident page, unless it reads zero already: it may be the kernel's shared zero page, to which a write would
/// give memory.
///
/// # Safety
/// As for [`zero_pages`], for one page.
unsafe fn zero_resident(base: NonNull<u8>, page: usize) {
    // SAFETY: a page is a multiple of 16 bytes, aligned to more, and initialised, since anonymous memory always is.
    let words = unsafe { core::slice::from_raw_parts(base.cast::<u128>().as_ptr(), page / 16) };
    if words.iter().any(|&word| word != 0) {
        // SAFETY: the caller's contract; `words` is not used again.
        unsafe { base.write_bytes(0, page) };
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
        let page = page_size();
        for stride in [1, 2, 7, 300] {
            let mut pages = Mapping::new(5000 * page).unwrap();
            for at in (0..5000).step_by(stride) {
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
        unsafe { zero_by_residency(base, &[1, 0, 0, 1, 1, 0, 1, 0], true) };
        assert!(pages.iter().all(|&byte| byte == 0));
    }

    #[test]
    #[cfg(not(miri))]
    fn what_was_not_resident_stays_so() {
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
        assert_eq!(resident.iter().filter(|&&page| page & 1 != 0).count(), 20);
    }
}
