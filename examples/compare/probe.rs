//! One row on the heap of this process: repeated, timed, and once more to look at its memory.

use crate::rows::Row;
use crate::usage;
use std::cell::Cell;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// A row is repeated until this much time is measured, and at least [`LEAST`] times.
const ENOUGH: Duration = Duration::from_millis(200);
const LEAST: usize = 3;

/// Looks at the memory where a row has the most of it. That takes a while, so not while it is timed.
#[derive(Default)]
pub(crate) struct Probe {
    looking: Cell<bool>,
    huge_kib: Cell<Option<u64>>,
}

impl Probe {
    /// To be called by a row when its memory is at its largest.
    pub(crate) fn at_peak(&self) {
        if self.looking.get() {
            self.huge_kib.set(self.huge_kib.get().max(usage::rollup_kib("AnonHugePages")));
        }
    }
}

/// Measures `row`; the result is as the parent reads it, one `key value` a line.
pub(crate) fn measure(row: &Row) -> String {
    let probe = Probe::default();
    (row.run)(&probe);
    let before = usage::minor_faults();
    let mut times = Vec::new();
    while times.len() < LEAST || times.iter().sum::<Duration>() < ENOUGH {
        let since = Instant::now();
        (row.run)(&probe);
        times.push(since.elapsed());
    }
    let faults = (usage::minor_faults() - before) as f64 / times.len() as f64;
    probe.looking.set(true);
    (row.run)(&probe);

    times.sort();
    let operations = row.operations as f64;
    let mut text = format!("time {}\n", times[times.len() / 2].as_secs_f64() / operations);
    _ = writeln!(text, "faults {}", faults / operations);
    for (key, value) in [("peak", usage::peak_rss_kib()), ("huge", probe.huge_kib.get())] {
        if let Some(kib) = value {
            _ = writeln!(text, "{key} {}", kib as f64 / 1024.0);
        }
    }
    text
}
