//! A full-text index of the files under some directories, on `PageAlloc` as the global allocator.
//!
//! ```text
//! cargo run --release --example index -- [DIR...] [--query WORDS]... [--threads N] [--rounds N]
//! ```
//!
//! It reads every text file, builds an inverted index, answers queries with the best documents and where in them to look,
//! and says what that cost: time, resident memory and page faults, the allocator's own figures, and the same job on the
//! system's malloc side by side. Without a directory it indexes this repository, which is a short job; try
//! `~/.cargo/registry/src` for a longer one. `--allocator NAME` runs it once in this process and compares nothing.
//!
//! The comparison starts the program again as child processes, one per heap and round, in turns, after a first round that
//! fills the page cache and is not counted; see `common/heap.rs` for how a process gets its heap. All runs must find the
//! same, or the program fails.
#![allow(
    clippy::cast_possible_truncation,
    reason = "numbers of documents and terms are 32 bits: an index of more than four billion is out of scope"
)]

#[path = "../common/children.rs"]
#[allow(dead_code, reason = "shared with other examples, each of which uses a part")]
mod children;
mod cli;
mod corpus;
#[path = "../common/heap.rs"]
#[allow(dead_code, reason = "shared with other examples, each of which uses a part")]
mod heap;
mod index;
mod job;
mod query;
mod report;
#[path = "../common/usage.rs"]
#[allow(dead_code, reason = "shared with other examples, each of which uses a part")]
mod usage;

use cli::Cli;
use heap::{Chosen, Kind};
use std::io::{self, Write};
use std::process::{Command, ExitCode};

#[global_allocator]
static GLOBAL: Chosen = Chosen::new();

/// Something could not be read; the rest was done.
const INCOMPLETE: u8 = 1;
/// A run failed, or the heaps led to different answers. (2 is clap's, for a wrong command line.)
const FAILED: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::read();
    let result = match cli.allocator {
        Some(kind) if kind != Kind::of_process() => on_another_heap(kind),
        Some(kind) => Ok(once(&cli, kind)),
        None if cli.machine => Ok(once(&cli, Kind::of_process())),
        None => side_by_side(&cli),
    };
    let written = result.and_then(|(text, status)| {
        io::stdout().write_all(text.as_bytes()).map_err(|error| format!("cannot write the report: {error}"))?;
        Ok(status)
    });
    ExitCode::from(written.unwrap_or_else(|message| {
        eprintln!("index: {message}");
        FAILED
    }))
}

/// The job in this process.
fn once(cli: &Cli, kind: Kind) -> (String, u8) {
    let bar = if cli.machine { indicatif::ProgressBar::hidden() } else { children::progress("files") };
    let outcome = job::run(cli, &bar);
    for failure in &outcome.failures {
        eprintln!("index: {failure}");
    }
    let text = if cli.machine { report::machine(&outcome) } else { report::single(kind, &outcome) };
    (text, if outcome.failures.is_empty() { 0 } else { INCOMPLETE })
}

/// This program with the same arguments in the place of this process, from its first allocation on the heap `kind`.
fn on_another_heap(kind: Kind) -> Result<(String, u8), String> {
    use std::os::unix::process::CommandExt;
    let failed = |error| format!("cannot start again: {error}");
    let program = std::env::current_exe().map_err(failed)?;
    let variable = heap::VARIABLE.to_str().expect("an ASCII name");
    Err(failed(Command::new(program).args(std::env::args_os().skip(1)).env(variable, kind.name()).exec()))
}

/// The job in children, every heap in every round.
fn side_by_side(cli: &Cli) -> Result<(String, u8), String> {
    let arguments = cli.child_arguments();
    let bar = children::progress("runs");
    bar.set_length((usize::from(cli.rounds) * Kind::ALL.len() + 1) as u64);
    bar.tick();

    // Fills the page cache, and says what cannot be read, once.
    let first = child(Kind::Malloc, &arguments)?;
    bar.suspend(|| eprint!("{}", first.errors));
    bar.inc(1);
    let mut runs = Kind::ALL.map(|kind| (kind, Vec::new()));
    for _ in 0..cli.rounds {
        for (kind, runs) in &mut runs {
            runs.push(child(*kind, &arguments)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let text = report::compare(&runs)?;
    Ok((text, if first.status == Some(0) { 0 } else { INCOMPLETE }))
}

fn child(kind: Kind, arguments: &[std::ffi::OsString]) -> Result<children::Finished, String> {
    let finished = children::run(kind, arguments)?;
    match finished.status {
        Some(0 | 1) => Ok(finished),
        status => Err(format!("the run on {} failed ({status:?}):\n{}", kind.label(), finished.errors)),
    }
}
