//! A gauge: a number that changes, and how low it has been since somebody last looked.
//!
//! What stays free through a whole interval is what nobody needed in it: the low-water mark of the free memory is the part
//! that can go back to the system (the working-set rule of Bonwick and Adams, Magazines and Vmem, USENIX 2001).

use crate::sync::{AtomicUsize, Ordering::Relaxed, constant};

/// The number and its low-water mark. Writers are ordered by the caller; readers may be anybody.
pub(super) struct Gauge {
    now: AtomicUsize,
    low: AtomicUsize,
}

impl Gauge {
    constant! {
        pub(super) fn new() -> Self {
            Self { now: AtomicUsize::new(0), low: AtomicUsize::new(0) }
        }
    }

    /// The number.
    #[inline(always)]
    pub(super) fn get(&self) -> usize {
        self.now.load(Relaxed)
    }

    /// Changes the number.
    #[inline(always)]
    pub(super) fn set(&self, value: usize) {
        self.now.store(value, Relaxed);
        if value < self.low.load(Relaxed) {
            self.low.store(value, Relaxed);
        }
    }

    /// The lowest that the number has been since the last call, as far as concurrent changes let it be known.
    pub(super) fn lowest(&self) -> usize {
        let now = self.get();
        self.low.swap(now, Relaxed).min(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_remembers_its_low() {
        let gauge = Gauge::new();
        gauge.set(10);
        assert_eq!(gauge.lowest(), 0, "it began at 0");
        assert_eq!(gauge.lowest(), 10);
        gauge.set(3);
        gauge.set(8);
        assert_eq!((gauge.get(), gauge.lowest(), gauge.lowest()), (8, 3, 8));
    }
}
