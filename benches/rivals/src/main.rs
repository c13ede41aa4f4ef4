//! PageAlloc against the allocators that a Rust program can pick.
//!
//! ```text
//! cargo run --release -p rivals -- [--only WORDS]... [--rounds N] [--allocators A,B] [--threads N] [--out DIR]
//! ```
//!
//! Builds one program for each allocator (`child`), runs every row on each of them in turns, and prints a table; a whole
//! run also writes the table, all figures as CSV and the charts that the README shows to `docs/rivals`. A figure is from a
//! process of its own. Nothing else should run meanwhile.

mod allocators;
mod builds;
mod charts;
mod figures;
mod machine;
mod runs;
mod table;

use allocators::{ALLOCATORS, Allocator};
use clap::Parser;
use figures::Cell;
use indicatif::{ProgressBar, ProgressStyle};
use rivals_child::rows::{self, Row};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures global allocators against each other.
#[derive(Parser, Debug)]
struct Cli {
    /// Only rows with these words in their name; may be given several times
    #[arg(long, value_name = "WORDS")]
    only: Vec<String>,

    /// Measured processes for each time
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Only these allocators, separated by commas; mapalloc-never and mapalloc-always have the other policies for huge pages, scudo and hardened-malloc are what mapalloc-hardened is to be compared with
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    allocators: Vec<String>,

    /// Threads of the rows that use threads; as many as there are processors if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Where to write the table, the figures and the charts; a whole run writes to docs/rivals if not told otherwise
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Count the system calls on memory too, under strace: a further process for each row and allocator
    #[arg(long)]
    syscalls: bool,

    /// Print the names of the rows
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let rows: Vec<&Row> =
        rows::all().filter(|row| cli.only.is_empty() || cli.only.iter().any(|w| row.name.contains(&w[..]))).collect();
    if cli.list {
        rows.iter().for_each(|row| println!("{:<24} {}\n{:24} {}", row.name, row.what, "", row.source));
        return ExitCode::SUCCESS;
    }
    match compare(&cli, &rows) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("rivals: {message}");
            ExitCode::FAILURE
        }
    }
}

fn compare(cli: &Cli, rows: &[&Row]) -> Result<(), String> {
    let chosen = allocators::choose(&cli.allocators)?;
    if rows.is_empty() {
        return Err("no row has these words in its name; --list prints them".into());
    }
    let threads = match cli.threads {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let programs: Vec<Result<PathBuf, String>> = chosen.iter().map(|allocator| builds::build(allocator)).collect();
    for (allocator, program) in chosen.iter().zip(&programs) {
        if let Err(reason) = program {
            eprintln!("{} does not build:\n{reason}", allocator.name);
        }
    }
    let cells = measure(cli, rows, &chosen, &programs, threads);
    let text = table::markdown(rows, &chosen, &cells, &machine::words(threads, cli.rounds));
    print!("{}", table::terminal(rows, &chosen, &cells));
    let usual = ALLOCATORS.iter().filter(|allocator| allocator.usual).count();
    let whole = cli.only.is_empty() && chosen.iter().filter(|allocator| allocator.usual).count() == usual;
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/rivals");
    let Some(out) = cli.out.clone().or(whole.then_some(default)) else { return Ok(()) };
    let failed = |error: &dyn std::fmt::Display| format!("cannot write the results: {error}");
    std::fs::create_dir_all(&out).map_err(|error| failed(&error))?;
    std::fs::write(out.join("table.md"), text).map_err(|error| failed(&error))?;
    table::csv(&out.join("results.csv"), rows, &chosen, &cells).map_err(|error| failed(&error))?;
    charts::draw(&out, rows, &chosen, &cells).map_err(|error| failed(&error))
}

/// A cell for every row and allocator: times round after round, then the memory in one more run that rests at the end.
fn measure(
    cli: &Cli,
    rows: &[&Row],
    chosen: &[&Allocator],
    programs: &[Result<PathBuf, String>],
    threads: usize,
) -> Vec<Vec<Cell>> {
    let mut cells = vec![vec![Cell::default(); chosen.len()]; rows.len()];
    let passes = usize::from(cli.rounds) + 1 + usize::from(cli.syscalls);
    let bar = ProgressBar::new((rows.len() * chosen.len() * passes) as u64);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta} {msg}") {
        bar.set_style(style);
    }
    let run = &|row: &Row, at: usize, cell: &mut Cell, kind| {
        bar.inc(1);
        match &programs[at] {
            Err(_) => cell.failure = Some("does not build".into()),
            Ok(_) if cell.failure.is_some() => {}
            Ok(program) => cell.add(runs::run(program, row.name, threads, kind)),
        }
    };
    for pass in 0..passes {
        for (row, cells) in rows.iter().zip(&mut cells) {
            bar.set_message(row.name);
            if pass == usize::from(cli.rounds) {
                // They rest most of the time, and their time is not taken: two at once.
                for (pair, cells) in cells.chunks_mut(2).enumerate() {
                    std::thread::scope(|scope| {
                        for (other, cell) in cells.iter_mut().enumerate() {
                            scope.spawn(move || run(row, 2 * pair + other, cell, runs::Kind::Memory));
                        }
                    });
                }
                continue;
            }
            let kind = if pass < usize::from(cli.rounds) { runs::Kind::Time } else { runs::Kind::Syscalls };
            // Each round begins with another allocator.
            for turn in 0..chosen.len() {
                let at = (turn + pass) % chosen.len();
                run(row, at, &mut cells[at], kind);
            }
        }
    }
    bar.finish_and_clear();
    cells
}
