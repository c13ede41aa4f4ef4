//! The results as text: a table for the terminal, Markdown, CSV.

use crate::allocators::Allocator;
use crate::figures::{Cell, peak_ratios, summaries, time_ratios};
use rivals_child::rows::Row;
use std::fmt::Write;
use std::path::Path;

/// This much slower than the fastest rival still counts as equal.
const EQUAL: f64 = 1.0 / 0.95;

/// A row may have this much more memory than the leanest rival that is nearly as fast.
const LEAN: f64 = 1.25;
const NEARLY_AS_FAST: f64 = 1.5;

/// What may be left of everything a second after it was freed, in MiB.
const LEFT: f64 = 8.0;

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".into(), |value| format!("{value:.digits$}"))
}

/// Every figure of every row, a line for each allocator.
pub(crate) fn terminal(rows: &[&Row], chosen: &[&Allocator], cells: &[Vec<Cell>]) -> String {
    let mut text = String::new();
    for (row, cells) in rows.iter().zip(cells) {
        let ratios = time_ratios(cells, chosen);
        let _ = writeln!(
            text,
            "\n{}: {}\n{:<16}{:>26}{:>8}{:>9}{:>9}{:>9}{:>10}{:>9}{:>9}",
            row.name, row.what, "", "ms", "ratio", "peak MiB", "freed", "+1 s", "faults", "calls", "huge MiB"
        );
        for ((cell, allocator), ratio) in cells.iter().zip(chosen).zip(ratios) {
            if let Some(failure) = &cell.failure {
                let _ = writeln!(text, "{:<16}{failure}", allocator.name);
                continue;
            }
            let time = cell
                .time()
                .map_or("-".into(), |time| format!("{:.1} ({:.1}..{:.1})", time.median, time.least, time.largest));
            let _ = write!(
                text,
                "{:<16}{time:>26}{:>8}{:>9}{:>9}{:>9}{:>10}{:>9}{:>9}",
                allocator.name,
                number(ratio, 2),
                number(cell.peak(), 1),
                number(cell.freed(), 1),
                number(cell.rested(), 1),
                number(cell.faults(), 0),
                number(cell.syscalls(), 0),
                number(cell.huge(), 0),
            );
            cell.marks().for_each(|(name, mib)| _ = write!(text, "  {name} {mib:.0}"));
            text.push('\n');
        }
    }
    let _ = writeln!(text, "\n{}", over_all(chosen, cells));
    let _ = writeln!(text, "{}", targets(rows, chosen, cells));
    text
}

/// The figures that sum up, as Markdown.
fn over_all(chosen: &[&Allocator], cells: &[Vec<Cell>]) -> String {
    let mut text = String::from(
        "| | distance from the row's fastest rival | peak RSS, MiB | most left after 1 s, MiB |\n|---|---:|---:|---:|\n",
    );
    let summaries = summaries(cells, chosen);
    for (allocator, summary) in chosen.iter().zip(&summaries) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            allocator.name,
            number(summary.distance, 2),
            number(summary.peak, 1),
            number(summary.left, 1)
        );
    }
    let rows = summaries.first().map_or(0, |summary| summary.rows);
    let _ = writeln!(text, "\nGeometric means over the {rows} rows that every allocator finished.");
    text
}

/// The rows in which the slabs miss what they should reach.
fn targets(rows: &[&Row], chosen: &[&Allocator], cells: &[Vec<Cell>]) -> String {
    let Some(own) = chosen.iter().position(|allocator| allocator.name == "mapalloc-slabs") else {
        return String::new();
    };
    let (mut slow, mut fat, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for (row, cells) in rows.iter().zip(cells) {
        let times = time_ratios(cells, chosen);
        if let Some(ratio) = times[own].filter(|ratio| *ratio > EQUAL) {
            slow.push(format!("{} {ratio:.2}", row.name));
        }
        let near = |at: usize| Some(times[at]? <= NEARLY_AS_FAST * times[own]?);
        let rivals = (0..chosen.len()).filter(|&at| chosen[at].rival && near(at) == Some(true));
        let leanest = rivals.filter_map(|at| cells[at].peak()).min_by(f64::total_cmp);
        if let (Some(peak), Some(leanest)) = (cells[own].peak(), leanest)
            && peak > LEAN * leanest
        {
            fat.push(format!("{} {:.2}", row.name, peak / leanest));
        }
        if let Some(left) = cells[own].rested().filter(|left| *left > LEFT) {
            kept.push(format!("{} {left:.1} MiB", row.name));
        }
    }
    let list = |names: Vec<String>| if names.is_empty() { "none".into() } else { names.join(", ") };
    format!(
        "mapalloc-slabs, rows slower than the fastest rival (by more than 5 %): {}\n\n\
         rows with more than 1.25x of the leanest rival's peak (of those within 1.5x of its time): {}\n\n\
         rows with more than 8 MiB left a second after everything is freed: {}\n",
        list(slow),
        list(fat),
        list(kept)
    )
}

/// A table of one figure: a line for each row, a column for each allocator.
fn columns(
    rows: &[&Row],
    chosen: &[&Allocator],
    cells: &[Vec<Cell>],
    figure: impl Fn(&[Cell]) -> Vec<Option<f64>>,
    digits: usize,
) -> String {
    let mut text = String::from("| row |");
    chosen.iter().for_each(|allocator| _ = write!(text, " {} |", allocator.name));
    text.push_str("\n|---|");
    chosen.iter().for_each(|_| text.push_str("---:|"));
    for (row, cells) in rows.iter().zip(cells) {
        let _ = write!(text, "\n| {} |", row.name);
        for (cell, value) in cells.iter().zip(figure(cells)) {
            let _ = match (&cell.failure, value) {
                (Some(failure), _) => write!(text, " {failure} |"),
                (None, value) => write!(text, " {} |", number(value, digits)),
            };
        }
    }
    text.push('\n');
    text
}

/// All as Markdown.
pub(crate) fn markdown(rows: &[&Row], chosen: &[&Allocator], cells: &[Vec<Cell>], machine: &str) -> String {
    let mut text = format!(
        "# Against other allocators\n\n`cargo run --release -p rivals` reprints this page. {machine}\n\n{}\n{}\n",
        over_all(chosen, cells),
        targets(rows, chosen, cells)
    );
    let mut section = |title: &str, table: String| _ = write!(text, "## {title}\n\n{table}\n");
    section(
        "Time, as a ratio to the fastest of the six rivals",
        columns(rows, chosen, cells, |row| time_ratios(row, chosen), 2),
    );
    section("Time, ms", columns(rows, chosen, cells, |row| each(row, |cell| Some(cell.time()?.median)), 1));
    section("Peak RSS, MiB", columns(rows, chosen, cells, |row| each(row, Cell::peak), 1));
    section(
        "Peak RSS, as a ratio to the leanest rival",
        columns(rows, chosen, cells, |row| peak_ratios(row, chosen), 2),
    );
    section(
        "RSS right after everything is freed, MiB above the start",
        columns(rows, chosen, cells, |row| each(row, Cell::freed), 1),
    );
    section("The same, one second later", columns(rows, chosen, cells, |row| each(row, Cell::rested), 1));
    section("Page faults", columns(rows, chosen, cells, |row| each(row, Cell::faults), 0));
    section("Huge pages, MiB", columns(rows, chosen, cells, |row| each(row, Cell::huge), 0));
    text.push_str("## The rows\n\n");
    rows.iter().for_each(|row| _ = writeln!(text, "* `{}`: {}. {}.", row.name, row.what, row.source));
    text
}

fn each(row: &[Cell], figure: impl Fn(&Cell) -> Option<f64>) -> Vec<Option<f64>> {
    row.iter().map(figure).collect()
}

/// All figures, a line for each row and allocator.
pub(crate) fn csv(file: &Path, rows: &[&Row], chosen: &[&Allocator], cells: &[Vec<Cell>]) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_path(file)?;
    writer.write_record([
        "row",
        "allocator",
        "failure",
        "ms",
        "ms least",
        "ms largest",
        "ratio",
        "peak MiB",
        "freed MiB",
        "rested MiB",
        "faults",
        "memory syscalls",
        "huge MiB",
        "marks",
    ])?;
    for (row, cells) in rows.iter().zip(cells) {
        for ((cell, allocator), ratio) in cells.iter().zip(chosen).zip(time_ratios(cells, chosen)) {
            let time = cell.time();
            let marks: Vec<String> = cell.marks().map(|(name, mib)| format!("{name}={mib:.1}")).collect();
            writer.write_record([
                row.name.to_string(),
                allocator.name.to_string(),
                cell.failure.clone().unwrap_or_default(),
                number(time.map(|time| time.median), 3),
                number(time.map(|time| time.least), 3),
                number(time.map(|time| time.largest), 3),
                number(ratio, 3),
                number(cell.peak(), 2),
                number(cell.freed(), 2),
                number(cell.rested(), 2),
                number(cell.faults(), 0),
                number(cell.syscalls(), 0),
                number(cell.huge(), 1),
                marks.join(" "),
            ])?;
        }
    }
    writer.flush()?;
    Ok(())
}
