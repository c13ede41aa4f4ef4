//! What page tables cost: their memory, and the time to fill them, to copy them for a child, and to clear them.
//!
//! Memory is given back before it is unmapped, to see whether its tables go with it.

use crate::Scale;
use crate::contest::{Spread, figure};
use mapalloc::map::MapOptions;
use mapalloc::observe::Areas;
use std::fmt::Write;
use std::io;
use std::time::Instant;

const LEN: usize = 1 << 30;

/// What is touched: a byte in so many, with huge pages or not.
const ROWS: [(&str, usize, bool); 3] = [
    ("every page", 4 << 10, false),
    ("a page in each 2 MiB", 2 << 20, false),
    ("every page, huge pages", 4 << 10, true),
];

/// What one run of a row measured.
struct Run {
    touched: usize,
    /// The tables in use, and after the memory has been given back.
    tables_kib: [f64; 2],
    /// Seconds to touch, to fork and to decommit.
    times: [f64; 3],
}

pub(crate) fn table(scale: Scale) -> io::Result<String> {
    let len = LEN / scale.divisor;
    let mut runs = ROWS.map(|_| Vec::new());
    for round in 0..=scale.rounds {
        for ((_, step, huge), runs) in ROWS.iter().zip(&mut runs) {
            let run = measure(len, *step, *huge)?;
            if round > 0 {
                runs.push(run);
            }
        }
    }
    let mut text = format!(
        "### Page tables\n\n| {} MiB mapped | MiB resident | KiB of tables | ms to touch | ms of a fork | ms to decommit | KiB of tables then |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
        len >> 20
    );
    for ((name, ..), runs) in ROWS.iter().zip(&runs) {
        let of = |value: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(value).collect());
        let resident = of(&|run| run.touched as f64).median / 1048576.0;
        let [tables, left] = [0, 1].map(|n| of(&|run| run.tables_kib[n]).median);
        let [touch, fork, decommit] = [0, 1, 2].map(|n| of(&|run| run.times[n]).text(1e3));
        _ = writeln!(
            text,
            "| {name} | {} | {tables:.0} | {touch} | {fork} | {decommit} | {left:.0} |",
            figure(resident)
        );
    }
    text.push('\n');
    Ok(text)
}

fn measure(len: usize, step: usize, huge: bool) -> io::Result<Run> {
    let before = tables_kib()?;
    let mut pages = MapOptions::new().huge_pages(huge).map(len)?;
    let since = Instant::now();
    pages.iter_mut().step_by(step).for_each(|byte| *byte = 1);
    let touch = since.elapsed();
    let in_use = tables_kib()? - before;
    let touched = Areas::of(&pages)?.resident;
    let fork = fork_seconds()?;
    let since = Instant::now();
    pages.decommit(0..len)?;
    let decommit = since.elapsed();
    let left = tables_kib()? - before;
    Ok(Run { touched, tables_kib: [in_use, left], times: [touch.as_secs_f64(), fork, decommit.as_secs_f64()] })
}

/// The time of a `fork`, until the parent goes on.
fn fork_seconds() -> io::Result<f64> {
    let since = Instant::now();
    // SAFETY: the child ends at once, and the process has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: in the child, which runs nothing of the parent's.
        0 => unsafe { libc::_exit(0) },
        child => {
            let time = since.elapsed().as_secs_f64();
            // SAFETY: a child that nobody has waited for; the status is not wanted.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            Ok(time)
        }
    }
}

/// The memory of the process' page tables.
fn tables_kib() -> io::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPTE:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    number.ok_or_else(|| io::Error::other("no VmPTE in /proc/self/status"))
}
