//! Single operations: malloc against `PageAlloc`, and `Vec` against `PageVec`, whose table the README shows. Whole
//! workloads, and other allocators, are in `benches/rivals`.
//!
//! ```text
//! cargo run --release --example compare -- [--rounds N] [--row WORDS]... [--list]
//! ```
//!
//! Every figure is from a child process that does one row on one heap and nothing else, so that the peak of its resident
//! memory is that row's; the heaps take turns, round after round, so that a change in the machine's mood meets them all.
//! A child repeats its row, after one run that is not counted, and reports the median; the table has the median of the
//! rounds and, in brackets, the least and the largest. `×` is the ratio of the medians to malloc's: below 1 is faster.
//! See `common/heap.rs` for how a process gets its heap, and what that costs each alike.
//!
//! Nothing else should run meanwhile. `MiB huge` is `AnonHugePages`, where the row has the most memory; what it says
//! depends on the kernel's setting, which is printed with the table.

#[path = "../common/children.rs"]
mod children;
#[path = "../common/heap.rs"]
mod heap;
#[path = "../common/kind.rs"]
mod kind;
mod probe;
mod rows;
#[path = "../common/usage.rs"]
mod usage;

use children::{Spread, number};
use clap::Parser;
use heap::Chosen;
use kind::Kind;
use rows::Row;
use std::fmt::Write;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: Chosen = Chosen::new();

/// Measures PageAlloc against malloc, and PageVec against Vec; prints Markdown.
#[derive(Parser, Debug)]
#[command(name = "compare")]
struct Cli {
    /// Measured processes for each figure
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Only rows with these words in their name; may be given several times
    #[arg(long = "row", value_name = "WORDS")]
    filters: Vec<String>,

    /// Print the names of the rows
    #[arg(long)]
    list: bool,

    /// Measure one row in this process, for the parent (internal): its table, column and number
    #[arg(long, hide = true, num_args = 3)]
    measure: Option<Vec<usize>>,
}

/// A table: for each column a name, the heap it runs on, and its form of the rows.
struct Table {
    title: &'static str,
    columns: &'static [(&'static str, Kind, &'static [Row])],
}

const TABLES: [Table; 4] = [
    Table {
        title: "global allocator",
        columns: &[
            (Kind::Malloc.label(), Kind::Malloc, &rows::HEAPS),
            (Kind::Default.label(), Kind::Default, &rows::HEAPS),
            (Kind::Slabs.label(), Kind::Slabs, &rows::HEAPS),
        ],
    },
    Table {
        title: "32 MiB of objects, one for another",
        columns: &[
            (Kind::Malloc.label(), Kind::Malloc, &rows::SIZES),
            (Kind::Slabs.label(), Kind::Slabs, &rows::SIZES),
        ],
    },
    Table {
        title: "scale",
        columns: &[
            (Kind::Malloc.label(), Kind::Malloc, &rows::SCALE),
            (Kind::Slabs.label(), Kind::Slabs, &rows::SCALE),
        ],
    },
    Table {
        title: "container",
        columns: &[("Vec on malloc", Kind::Malloc, &rows::VEC), ("PageVec", Kind::Malloc, &rows::PAGE_VEC)],
    },
];

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some([table, column, row]) = cli.measure.as_deref() {
        let rows = TABLES.get(*table).and_then(|table| table.columns.get(*column)).map(|(_, _, rows)| *rows);
        let Some(row) = rows.and_then(|rows| rows.get(*row)) else { return ExitCode::from(2) };
        print!("{}", probe::measure(row));
        return ExitCode::SUCCESS;
    }
    let wanted = |row: &Row| cli.filters.is_empty() || cli.filters.iter().any(|words| row.name.contains(&words[..]));
    if cli.list {
        for table in &TABLES {
            table.columns[0]
                .2
                .iter()
                .filter(|row| wanted(row))
                .for_each(|row| println!("{}: {}", table.title, row.name));
        }
        return ExitCode::SUCCESS;
    }
    match tables(&cli, &wanted) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("compare: {message}");
            ExitCode::FAILURE
        }
    }
}

fn tables(cli: &Cli, wanted: &dyn Fn(&Row) -> bool) -> Result<String, String> {
    let runs = |table: &Table| table.columns[0].2.iter().filter(|row| wanted(row)).count() * table.columns.len();
    let bar = children::progress("measurements");
    bar.set_length((TABLES.iter().map(runs).sum::<usize>() * usize::from(cli.rounds)) as u64);
    let mut text = String::new();
    for (t, table) in TABLES.iter().enumerate().filter(|(_, table)| runs(table) > 0) {
        header(&mut text, table);
        for (r, row) in table.columns[0].2.iter().enumerate().filter(|(_, row)| wanted(row)) {
            let mut outputs = vec![Vec::new(); table.columns.len()];
            for _ in 0..cli.rounds {
                for (c, (column, kind, _)) in table.columns.iter().enumerate() {
                    let arguments = [t, c, r].map(|number| number.to_string());
                    let finished = children::run(heap::command(*kind)?.arg("--measure").args(arguments))?;
                    if finished.status != Some(0) {
                        return Err(format!("{} on {column} failed:\n{}", row.name, finished.errors));
                    }
                    outputs[c].push(finished.output);
                    bar.inc(1);
                }
            }
            line(&mut text, row, &outputs).ok_or_else(|| format!("{}: a child reported no time", row.name))?;
        }
        text.push('\n');
    }
    bar.finish_and_clear();
    footer(&mut text, cli);
    Ok(text)
}

fn header(text: &mut String, table: &Table) {
    _ = write!(text, "| {} ", table.title);
    for (c, (name, ..)) in table.columns.iter().enumerate() {
        _ = write!(text, "| {name} {}", if c == 0 { "" } else { "| × " });
    }
    _ = writeln!(text, "| MiB peak | MiB huge | faults |");
    _ = writeln!(text, "|---{}|---|---|---|", "|---:".repeat(2 * table.columns.len() - 1));
}

/// Appends the line of `row`, with the outputs of the children by column; `None` if one says no time.
fn line(text: &mut String, row: &Row, outputs: &[Vec<String>]) -> Option<()> {
    let spread = |outputs: &[String], key| Spread::of(outputs.iter().filter_map(|text| number(text, key)).collect());
    let base = spread(outputs.first()?, "time")?.median;
    _ = write!(text, "| {} ", row.name);
    for (c, outputs) in outputs.iter().enumerate() {
        let Spread { median, min, max } = spread(outputs, "time")?;
        let (factor, unit) = unit(median);
        let figures = [median, min, max].map(|seconds| figure(seconds * factor));
        _ = write!(text, "| {} {unit} ({}..{}) ", figures[0], figures[1], figures[2]);
        if c > 0 {
            _ = write!(text, "| {:.2} ", median / base);
        }
    }
    for key in ["peak", "huge", "faults"] {
        let of =
            |outputs: &Vec<String>| spread(outputs, key).map_or_else(|| "n/a".into(), |spread| figure(spread.median));
        _ = write!(text, "| {} ", outputs.iter().map(of).collect::<Vec<_>>().join(" / "));
    }
    text.push_str("|\n");
    Some(())
}

fn footer(text: &mut String, cli: &Cli) {
    let read =
        |path| std::fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text: String| text.trim().to_owned());
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    _ = writeln!(
        text,
        "Median of {} processes each (least..largest), time and faults of one operation; kernel {}, transparent huge pages: \
         {}, {processors} processors.",
        cli.rounds,
        read("/proc/sys/kernel/osrelease"),
        read("/sys/kernel/mm/transparent_hugepage/enabled"),
    );
    if cfg!(debug_assertions) {
        text.push_str("\n**Not optimised: these figures say nothing. Run it with `--release`.**\n");
    }
}

/// What to multiply seconds by, and the unit they are in then.
fn unit(seconds: f64) -> (f64, &'static str) {
    if seconds < 1e-6 {
        (1e9, "ns")
    } else if seconds < 1e-3 {
        (1e6, "µs")
    } else {
        (1e3, "ms")
    }
}

/// Three digits or so.
fn figure(value: f64) -> String {
    let decimals = if value == 0.0 || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}
