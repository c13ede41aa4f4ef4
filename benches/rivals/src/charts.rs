//! The results as pictures: a lane for each row with a dot for each allocator, and the two figures that sum up.

use crate::allocators::Allocator;
use crate::figures::{Cell, peak_ratios, summaries, time_ratios};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use rivals_child::rows::Row;
use std::error::Error;
use std::path::Path;

const INK: RGBColor = RGBColor(40, 40, 40);
const PALE: RGBColor = RGBColor(225, 225, 225);

/// Ratios beyond these ends are drawn at the ends.
const ENDS: (f64, f64) = (0.1, 30.0);

/// Draws all three.
pub(crate) fn draw(
    out: &Path,
    rows: &[&Row],
    chosen: &[&Allocator],
    cells: &[Vec<Cell>],
) -> Result<(), Box<dyn Error>> {
    let lanes = |file: &str, title: &str, ratios: fn(&[Cell], &[&Allocator]) -> Vec<Option<f64>>| {
        let ratios = cells.iter().map(|row| ratios(row, chosen)).collect::<Vec<_>>();
        lanes(&out.join(file), title, rows, chosen, &ratios)
    };
    lanes("time.svg", "Time by the fastest rival's (left is faster)", time_ratios)?;
    lanes("memory.svg", "Peak RSS by the leanest rival's (left is leaner)", peak_ratios)?;
    bars(&out.join("summary.svg"), chosen, cells)
}

fn colour(allocator: &Allocator) -> RGBColor {
    let (red, green, blue) = allocator.colour;
    RGBColor(red, green, blue)
}

fn text<'a>(size: i32, colour: RGBColor, horizontal: HPos) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(&colour).pos(Pos::new(horizontal, VPos::Center))
}

fn lanes(
    file: &Path,
    title: &str,
    rows: &[&Row],
    chosen: &[&Allocator],
    ratios: &[Vec<Option<f64>>],
) -> Result<(), Box<dyn Error>> {
    const LANE: i32 = 17;
    const TOP: i32 = 74;
    const LEFT: i32 = 175;
    const WIDTH: i32 = 700;
    let height = TOP + LANE * rows.len() as i32;
    let area = SVGBackend::new(file, (900, (height + 24) as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw(&Text::new(title, (LEFT, 18), text(17, INK, HPos::Left)))?;
    for (n, allocator) in chosen.iter().enumerate() {
        let x = 20 + n as i32 * 108;
        dot(&area, allocator, (x, 44))?;
        area.draw(&Text::new(allocator.name, (x + 9, 44), text(13, INK, HPos::Left)))?;
    }
    let place = |ratio: f64| {
        let share = (ratio.clamp(ENDS.0, ENDS.1) / ENDS.0).ln() / (ENDS.1 / ENDS.0).ln();
        LEFT + (share * f64::from(WIDTH)) as i32
    };
    for mark in [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0] {
        let x = place(mark);
        let line = if mark == 1.0 { INK } else { PALE };
        area.draw(&PathElement::new([(x, TOP - 6), (x, height)], line))?;
        let label = if mark == ENDS.1 { format!("{mark}x+") } else { format!("{mark}x") };
        area.draw(&Text::new(label, (x, TOP - 13), text(11, INK, HPos::Center)))?;
    }
    for (n, (row, ratios)) in rows.iter().zip(ratios).enumerate() {
        let y = TOP + LANE / 2 + LANE * n as i32;
        area.draw(&PathElement::new([(LEFT, y), (LEFT + WIDTH, y)], PALE))?;
        area.draw(&Text::new(row.name, (LEFT - 8, y), text(12, INK, HPos::Right)))?;
        for (allocator, ratio) in chosen.iter().zip(ratios) {
            if let Some(ratio) = ratio {
                dot(&area, allocator, (place(*ratio), y))?;
            }
        }
    }
    area.present()?;
    Ok(())
}

/// The rivals are circles, our own forms diamonds on top of them.
fn dot(area: &DrawingArea<SVGBackend, Shift>, allocator: &Allocator, (x, y): (i32, i32)) -> Result<(), Box<dyn Error>> {
    let fill = colour(allocator).filled();
    if allocator.rival {
        area.draw(&Circle::new((x, y), 4, fill))?;
    } else {
        area.draw(&Polygon::new([(x - 6, y), (x, y - 6), (x + 6, y), (x, y + 6)], fill))?;
    }
    Ok(())
}

fn bars(file: &Path, chosen: &[&Allocator], cells: &[Vec<Cell>]) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(file, (900, 290)).into_drawing_area();
    area.fill(&WHITE)?;
    let summaries = summaries(cells, chosen);
    let groups = [
        ("Distance from the row's fastest rival", "x", 2, summaries.iter().map(|s| s.distance).collect::<Vec<_>>()),
        ("Peak RSS, MiB (geometric means)", "", 1, summaries.iter().map(|s| s.peak).collect()),
    ];
    for (side, (title, unit, digits, values)) in groups.into_iter().enumerate() {
        let left = side as i32 * 450;
        area.draw(&Text::new(title, (left + 112, 18), text(15, INK, HPos::Left)))?;
        let largest = values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
        for (n, (allocator, value)) in chosen.iter().zip(values).enumerate() {
            let y = 46 + n as i32 * 30;
            area.draw(&Text::new(allocator.name, (left + 106, y), text(13, INK, HPos::Right)))?;
            let Some(value) = value else { continue };
            let end = left + 112 + (value / largest * 270.0) as i32;
            area.draw(&Rectangle::new([(left + 112, y - 10), (end, y + 10)], colour(allocator).filled()))?;
            area.draw(&Text::new(format!("{value:.digits$}{unit}"), (end + 6, y), text(13, INK, HPos::Left)))?;
        }
    }
    area.present()?;
    Ok(())
}
