//! Where mapping loses, and what pages cost: prints the tables of `docs/when-not-to.md`.
//!
//! ```text
//! cargo run --release --example when_not_to -- [--small] [--rounds N] [--dir DIR]
//! ```
//!
//! A table has several ways to do one thing. They take turns, round after round, after a first round that is not counted;
//! each must find the same, or the program fails. The table has the median of the rounds and, in brackets, the least and
//! the largest; `×` is the ratio of the medians to the first way's.
//!
//! `files` makes and removes what is read, `view` maps it, `contest` measures; the other files are a table or two each.
//! Nothing else should run meanwhile.

mod contest;
mod files;
mod random;
mod scattered;
mod sequential;
mod small;
mod tables;
mod view;

use clap::Parser;
use files::Folder;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures mapping against reading, huge pages against small ones, and page tables; prints Markdown.
#[derive(Parser, Debug)]
#[command(name = "when_not_to")]
struct Cli {
    /// A sixty-fourth of the memory and the files: to see that it runs, not to measure
    #[arg(long)]
    small: bool,

    /// Measured runs of each way
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Where the files are made that are read, in a folder of their own that is removed again
    #[arg(long, value_name = "DIR", default_value = "target")]
    dir: PathBuf,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Scale {
    rounds: usize,
    /// What all sizes are divided by.
    divisor: usize,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match tables(&cli) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("when_not_to: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tables(cli: &Cli) -> io::Result<String> {
    let scale = Scale { rounds: cli.rounds.into(), divisor: if cli.small { 64 } else { 1 } };
    let folder = Folder::new(&cli.dir)?;
    let mut text = small::table(scale, &folder)?;
    text.push_str(&sequential::tables(scale, &folder)?);
    text.push_str(&random::tables(scale, &folder)?);
    text.push_str(&scattered::table(scale)?);
    text.push_str(&tables::table(scale)?);
    footer(&mut text, scale);
    Ok(text)
}

fn footer(text: &mut String, scale: Scale) {
    let read = |path| std::fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned());
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    _ = writeln!(
        text,
        "Median of {} runs each (least..largest); kernel {}, transparent huge pages: {}, {processors} processors.",
        scale.rounds,
        read("/proc/sys/kernel/osrelease"),
        read("/sys/kernel/mm/transparent_hugepage/enabled"),
    );
    if cfg!(debug_assertions) || scale.divisor > 1 {
        text.push_str(
            "\n**Small or not optimised: these figures say nothing. Run it with `--release` and without `--small`.**\n",
        );
    }
}
