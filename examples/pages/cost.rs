//! What a piece of code costs: time, faults, and how the memory of the process changes.

use crate::usage;
use mapalloc::observe::Faults;
use std::time::{Duration, Instant};

/// What a piece of code cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) time: Duration,
    pub(crate) faults: Faults,
    /// The resident memory of the process before and after, in KiB, if the kernel says it.
    pub(crate) resident: Option<(u64, u64)>,
}

/// Runs code and measures it.
pub(crate) fn measure<R>(run: impl FnOnce() -> R) -> (R, Cost) {
    let before = usage::rollup_kib("Rss");
    let since = Instant::now();
    let (result, faults) = Faults::measure(run);
    let time = since.elapsed();
    let resident = before.zip(usage::rollup_kib("Rss"));
    (result, Cost { time, faults, resident })
}
