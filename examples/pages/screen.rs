//! Steps as text for a terminal.

use crate::cost::Cost;
use crate::guide::{Row, Step};
use crate::kind::{Cell, Kind, cells, count, pages_per_cell};
use crate::usage;
use mapalloc::observe::System;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::thread::sleep;
use std::time::Duration;

/// Where pictures begin, behind the longest label.
const MARGIN: usize = 20;

/// Prints, and waits until it has been read.
pub(crate) fn print(text: &str, pause: Duration) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    drop(out);
    sleep(pause);
    Ok(())
}

/// What the system allows.
pub(crate) fn system() -> String {
    let system = System::now();
    let pools: Vec<_> = system.pools.iter().map(|&(size, free)| format!("{free} of {}", bytes(size))).collect();
    let limit = |limit: Option<usize>| limit.map_or_else(|| "no limit".into(), bytes);
    format!(
        "pages of {}, huge pages {:?}, free in the pools: {}\n\
         memory promised: {:?}; {} processors, {} areas\n\
         addresses: {}, data: {}, locked: {}, control group: {}\n\n",
        bytes(system.page_size),
        system.huge_pages,
        if pools.is_empty() { "no pools".into() } else { pools.join(", ") },
        system.overcommit,
        system.processors,
        system.areas.map_or_else(|| "an unknown number of".into(), |areas| format!("at most {areas}")),
        limit(system.address_space),
        limit(system.data),
        limit(system.locked),
        limit(system.cgroup),
    )
}

/// What the cells mean.
pub(crate) fn legend(colours: bool) -> String {
    let mut text = String::new();
    for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Gone) {
        _ = write!(text, "{} {}  ", paint(&glyph(Cell { kind, present: 1.0 }).to_string(), kind, colours), kind.name());
    }
    text.push_str("\nthe height of a resident cell is the share of its pages that are in memory\n");
    text
}

/// A step, `number` of them all.
pub(crate) fn step(number: usize, step: &Step, colours: bool) -> String {
    let mut text = format!("\n{number}. {}\n", step.title);
    for row in &step.rows {
        _ = write!(text, "  {:width$}", row.label, width = MARGIN - 2);
        let mut lines: Vec<String> = Vec::new();
        if !row.pages.is_empty() {
            lines.push(picture(&row.pages, colours));
            lines.push(counts(&row.pages));
        }
        lines.extend(row.cost.as_ref().map(cost));
        lines.extend(row.note.clone());
        text.push_str(&lines.join(&format!("\n{:MARGIN$}", "")));
        text.push('\n');
    }
    text
}

/// What the whole tour cost.
pub(crate) fn total() -> String {
    let peak = usage::peak_rss_kib().map_or_else(|| "an unknown amount".into(), mib);
    format!("\nthe whole tour: {} minor faults, at most {peak} resident\n", usage::minor_faults())
}

/// What is to be said of a row: the figures in a line, and the note.
pub(crate) fn remarks(row: &Row) -> impl Iterator<Item = String> {
    let counts = (!row.pages.is_empty()).then(|| counts(&row.pages));
    let figures: Vec<_> = counts.into_iter().chain(row.cost.as_ref().map(cost)).collect();
    [figures.join(" · ")].into_iter().chain(row.note.clone()).filter(|line| !line.is_empty())
}

fn picture(pages: &[Kind], colours: bool) -> String {
    let cells: Vec<_> = cells(pages).collect();
    let mut text = String::new();
    for run in cells.chunk_by(|a, b| a.kind == b.kind) {
        let glyphs: String = run.iter().map(|&cell| glyph(cell)).collect();
        text.push_str(&paint(&glyphs, run[0].kind, colours));
    }
    text
}

/// How many pages are of each kind that there is.
fn counts(pages: &[Kind]) -> String {
    let of_kind = |kind| (kind, count(pages, |other| other == kind));
    let counts: Vec<_> = Kind::ALL.into_iter().map(of_kind).filter(|(_, count)| *count > 0).collect();
    let counts: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
    let (each, all) = (pages_per_cell(pages), pages.len());
    format!("{} of {all} pages, {each} a cell", counts.join(", "))
}

fn cost(cost: &Cost) -> String {
    let mut text = format!("{} minor, {} major faults, {}", cost.faults.minor, cost.faults.major, time(cost.time));
    if let Some((before, after)) = cost.resident {
        let sign = if after < before { '-' } else { '+' };
        _ = write!(text, ", {} resident ({sign}{})", mib(after), mib(after.abs_diff(before)));
    }
    text
}

/// In the largest unit that it is a multiple of.
fn bytes(bytes: usize) -> String {
    match bytes.trailing_zeros() {
        30.. if bytes > 0 => format!("{} GiB", bytes >> 30),
        20.. if bytes > 0 => format!("{} MiB", bytes >> 20),
        10.. if bytes > 0 => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1e-3 { format!("{:.0} µs", seconds * 1e6) } else { format!("{:.2} ms", seconds * 1e3) }
}

fn glyph(Cell { kind, present }: Cell) -> char {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    match kind {
        Kind::Gone => ' ',
        Kind::Reserved => '╌',
        Kind::Untouched => '·',
        Kind::Shared => '░',
        // A single page of many is seen too.
        Kind::Resident => HEIGHTS[((present * 8.0).round() as usize).clamp(1, 8) - 1],
        Kind::Huge => '▓',
        Kind::Locked => '▚',
        Kind::ReadOnly => '▒',
        Kind::Guard => '╳',
    }
}

fn paint(text: &str, kind: Kind, colours: bool) -> String {
    let colour = match kind {
        Kind::Gone => return text.to_owned(),
        Kind::Reserved | Kind::Untouched => 90,
        Kind::Shared => 36,
        Kind::Resident => 32,
        Kind::Huge => 34,
        Kind::Locked => 35,
        Kind::ReadOnly => 33,
        Kind::Guard => 31,
    };
    if colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}
