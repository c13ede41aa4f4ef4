//! What a row runs on: how many threads it may use, and the clock.

use crate::process;
use std::time::{Duration, Instant};

/// The measurements of one row.
#[derive(Debug)]
pub struct Stage {
    threads: usize,
    patient: bool,
    elapsed: Duration,
    faults: u64,
    marks: Vec<(&'static str, u64)>,
}

impl Stage {
    pub(crate) fn new(threads: usize, patient: bool) -> Stage {
        Stage { threads, patient, elapsed: Duration::ZERO, faults: 0, marks: Vec::with_capacity(8) }
    }

    /// How many threads a row that uses threads should start.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Does the work and adds its time and its page faults to the row's.
    pub fn time<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let faults = process::minor_faults();
        let start = Instant::now();
        let result = work();
        self.elapsed += start.elapsed();
        self.faults += process::minor_faults() - faults;
        result
    }

    /// Notes the resident memory now and, if this run has the time, after each of the pauses.
    pub fn rest(&mut self, pauses: &[(&'static str, Duration)]) {
        for (name, pause) in pauses.iter().filter(|(_, pause)| self.patient || pause.is_zero()) {
            std::thread::sleep(*pause);
            self.marks.push((name, process::rss_kib()));
        }
    }

    pub(crate) fn report(&self) {
        println!("time {}\nfaults {}", self.elapsed.as_nanos(), self.faults);
        self.marks.iter().for_each(|(name, kib)| println!("{name} {kib}"));
    }
}
