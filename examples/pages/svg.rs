//! Steps as a drawing: a strip of cells for each row, its remarks below it.

use crate::guide::{Row, Step};
use crate::kind::{Cell, Kind, cells};
use crate::screen::remarks;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

const LEFT: usize = 130;
const CELL: usize = 12;
const STRIP: usize = 18;
const WIDTH: usize = 960;

/// Writes the drawing, and makes the folder that it is to be in.
pub(crate) fn write(path: &Path, steps: &[Step]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, draw(steps))
}

fn draw(steps: &[Step]) -> String {
    let mut body = String::new();
    legend(&mut body);
    let mut y = 60;
    for (number, step) in (1..).zip(steps) {
        y += 26;
        words(&mut body, 10, y, 14, &format!("{number}. {}", step.title));
        y += 8;
        for row in &step.rows {
            y = strip(&mut body, row, y);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" fill=\"#282828\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n",
        height = y + 20
    )
}

fn legend(body: &mut String) {
    words(body, 10, 24, 17, "What happens to pages");
    let mut x = 10;
    for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Gone) {
        cell(body, x, 38, 1, Cell { kind, present: 1.0 });
        words(body, x + CELL + 5, 52, 12, kind.name());
        x += 108;
    }
}

/// A row from `y` on; returns where it ends.
fn strip(body: &mut String, row: &Row, y: usize) -> usize {
    words(body, 24, y + 14, 12, &row.label);
    let mut below = y;
    if !row.pages.is_empty() {
        let cells: Vec<_> = cells(&row.pages).collect();
        let mut x = LEFT;
        for run in cells.chunk_by(|a, b| a == b) {
            cell(body, x, y, run.len(), run[0]);
            x += run.len() * CELL;
        }
        below += STRIP;
    }
    for line in remarks(row) {
        below += 14;
        words(body, LEFT, below, 11, &line);
    }
    below + 8
}

/// Equal cells side by side; in resident ones the share of the pages that are in memory is filled.
fn cell(body: &mut String, x: usize, y: usize, count: usize, Cell { kind, present }: Cell) {
    let Some(colour) = colour(kind) else { return };
    let width = count * CELL;
    rectangle(body, x, y as f64, width, STRIP as f64, "#eeeeee");
    let height = if kind == Kind::Resident { present * STRIP as f64 } else { STRIP as f64 };
    rectangle(body, x, (y + STRIP) as f64 - height, width, height, colour);
}

fn rectangle(body: &mut String, x: usize, y: f64, width: usize, height: f64, colour: &str) {
    _ = writeln!(
        body,
        "<rect x=\"{x}\" y=\"{y:.1}\" width=\"{width}\" height=\"{height:.1}\" fill=\"{colour}\" stroke=\"#ffffff\" \
         stroke-width=\"0.5\"/>"
    );
}

fn words(body: &mut String, x: usize, y: usize, size: usize, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    _ = writeln!(body, "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\">{text}</text>");
}

const fn colour(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Gone => return None,
        Kind::Reserved => "#eeeeee",
        Kind::Untouched => "#cfd8dc",
        Kind::Shared => "#80cbc4",
        Kind::Resident => "#43a047",
        Kind::Huge => "#1e63b8",
        Kind::Locked => "#8e24aa",
        Kind::ReadOnly => "#f9a825",
        Kind::Guard => "#c62828",
    })
}
