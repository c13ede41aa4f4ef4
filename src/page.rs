//! Page arithmetic, with the page size read from the system at run time.
//!
//! Invariants: the page size is a power of two, at least 4 KiB, and never changes once read. Rounding never wraps: what
//! does not fit in `usize` is `None`.

use crate::sys;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The unit in which transparent huge pages come on the supported systems: 2 MiB.
///
/// Alignment to it is an optimisation only (page tables move whole, huge pages fit); nothing depends on it.
pub(crate) const HUGE_UNIT: usize = 2 << 20;

/// Memory of at least this many bytes that is about to be written whole is asked to be huge pages: one fault then does the
/// work of 512. Below it, and for memory that may be used sparsely, a stray touch must not cost 2 MiB.
pub(crate) const DENSE_HUGE_MIN: usize = 4 << 20;

static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);

/// The size of a page in bytes, as the running kernel has it (4, 16 or 64 KiB on the supported systems).
///
/// Read once by [`sysconf(3)`](https://man7.org/linux/man-pages/man3/sysconf.3.html) and kept; it never allocates.
#[inline]
pub fn page_size() -> usize {
    match PAGE_SIZE.load(Relaxed) {
        0 => read_page_size(),
        size => size,
    }
}

#[cold]
fn read_page_size() -> usize {
    let size = sys::page_size();
    PAGE_SIZE.store(size, Relaxed);
    size
}

/// `n` rounded up to a multiple of `unit`, a power of two; `None` if that is past `usize::MAX`.
#[inline]
pub(crate) const fn checked_round_up(n: usize, unit: usize) -> Option<usize> {
    debug_assert!(unit.is_power_of_two());
    match n.checked_add(unit - 1) {
        Some(sum) => Some(sum & !(unit - 1)),
        None => None,
    }
}

/// `n` rounded up to a multiple of `unit`, a power of two, for `n` known to leave room for it.
#[inline(always)]
pub(crate) const fn round_up(n: usize, unit: usize) -> usize {
    debug_assert!(unit.is_power_of_two());
    (n + (unit - 1)) & !(unit - 1)
}

/// `n` rounded down to a multiple of `unit`, a power of two.
#[inline(always)]
pub(crate) const fn round_down(n: usize, unit: usize) -> usize {
    debug_assert!(unit.is_power_of_two());
    n & !(unit - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_size_is_a_power_of_two() {
        assert!(page_size().is_power_of_two());
        assert!(page_size() >= 4096);
        assert_eq!(page_size(), page_size());
    }

    #[test]
    fn rounding_keeps_multiples_and_refuses_to_wrap() {
        assert_eq!(checked_round_up(0, 4096), Some(0));
        assert_eq!(checked_round_up(1, 4096), Some(4096));
        assert_eq!(checked_round_up(4096, 4096), Some(4096));
        assert_eq!(checked_round_up(usize::MAX, 4096), None);
        assert_eq!(checked_round_up(usize::MAX - 4095, 4096), Some(usize::MAX - 4095));
        assert_eq!(round_up(4097, 4096), 8192);
        assert_eq!(round_down(8191, 4096), 4096);
    }
}
