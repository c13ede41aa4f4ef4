//! What the figures were measured on, in words.

use std::fs;

/// A sentence on the machine and the run.
pub(crate) fn words(threads: usize, rounds: u16) -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let kernel = read("/proc/sys/kernel/osrelease");
    let version = kernel.trim().split('-').next().unwrap_or_default().to_string();
    format!(
        "{}, {threads} threads, Linux {version}, transparent huge pages: {}; medians of {rounds} processes each, in turns.",
        model.unwrap_or("unknown processor"),
        read("/sys/kernel/mm/transparent_hugepage/enabled").trim(),
    )
}
