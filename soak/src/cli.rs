//! The command line.

use crate::forms::Form;
use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;

/// A long mixed load on mapalloc, and a watch on what must not grow
///
/// Threads allocate, change, check and free objects of every kind, among forks, files and rings to other processes. After
/// each cycle of phases everything is freed, and what the process then holds must not have grown since the second quarter
/// of the run: memory, mappings, descriptors, threads, page tables. Ctrl-C ends the run early.
///
/// Status 0: nothing is wrong. 1: contents have changed, something failed, or a figure has drifted. 2: a wrong command line.
#[derive(Parser, Debug)]
pub struct Cli {
    /// How long, in minutes
    #[arg(long, value_name = "N", default_value = "3", value_parser = minutes)]
    pub minutes: Duration,

    /// The allocator
    #[arg(long, value_enum)]
    pub form: Option<Form>,

    /// Threads that work on objects, beside those that come and go; one more than there are processors if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: Option<u16>,

    /// The most that is in use at a time
    #[arg(long, value_name = "MIB", default_value_t = 192, value_parser = clap::value_parser!(u32).range(8..=65_536))]
    pub live_mib: u32,

    /// Where to draw the run
    #[arg(long, value_name = "PATH", default_value = "target/soak.svg")]
    pub svg: PathBuf,

    /// Where to write the figures of each second; beside the picture if not given
    #[arg(long, value_name = "PATH")]
    pub csv: Option<PathBuf>,

    /// Leaks so many bytes in each cycle on purpose, to see that the watch notices
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub leak: usize,

    /// Flips a byte in a live object on purpose, to see that the checks notice
    #[arg(long)]
    pub corrupt: bool,
}

/// Of a run shorter than this the quarters are too few cycles to be compared.
const SHORTEST: f64 = 0.1;
const LONGEST: f64 = 7.0 * 24.0 * 60.0;

fn minutes(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (SHORTEST..=LONGEST).contains(&minutes) => Ok(Duration::from_secs_f64(minutes * 60.0)),
        _ => Err(format!("a number of minutes from {SHORTEST} to {LONGEST} is wanted")),
    }
}
