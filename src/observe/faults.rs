//! [`Faults`]: what a piece of code faulted in.

use crate::sys;
use core::ops::Sub;

/// Page faults of a thread.
///
/// ```
/// use mapalloc::observe::Faults;
/// use mapalloc::{PageVec, page_size};
///
/// let (_, faults) = Faults::measure(|| {
///     let mut pages = PageVec::new();
///     pages.resize(10 * page_size(), 1_u8);
///     pages
/// });
/// assert!(faults.minor >= 10);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Faults that needed no reading from a device: new pages, copied ones, ones that were in memory already.
    pub minor: u64,
    /// Faults that waited for a device.
    pub major: u64,
}

impl Faults {
    /// The faults of the calling thread so far, by `RUSAGE_THREAD` of
    /// [`getrusage(2)`](https://man7.org/linux/man-pages/man2/getrusage.2.html).
    #[must_use]
    pub fn now() -> Self {
        let (minor, major) = sys::thread_faults();
        Self { minor, major }
    }

    /// Runs code and counts the faults of the calling thread meanwhile.
    pub fn measure<R>(run: impl FnOnce() -> R) -> (R, Self) {
        let before = Self::now();
        let result = run();
        (result, Self::now() - before)
    }
}

impl Sub for Faults {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { minor: self.minor.saturating_sub(earlier.minor), major: self.major.saturating_sub(earlier.major) }
    }
}
