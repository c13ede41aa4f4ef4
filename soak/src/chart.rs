//! The run as a picture: panels with one time axis, a unit each.

use crate::figures::Figures;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const WIDTH: u32 = 1200;
const HEAD: u32 = 70;
const INK: RGBColor = RGBColor(40, 40, 40);
const PALE: RGBColor = RGBColor(228, 228, 228);

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A curve of a panel.
struct Curve {
    name: &'static str,
    of: fn(&Figures) -> f64,
    colour: RGBColor,
}

const fn curve(name: &'static str, of: fn(&Figures) -> f64, colour: RGBColor) -> Curve {
    Curve { name, of, colour }
}

const BLUE: RGBColor = RGBColor(31, 104, 180);
const ORANGE: RGBColor = RGBColor(216, 110, 20);
const GREEN: RGBColor = RGBColor(46, 140, 60);
const RED: RGBColor = RGBColor(190, 40, 50);

const fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// A panel: unit, height in pixels, whether it shows the rest points only, curves. The rest points are marked on the first
/// curve.
type Contents = (&'static str, u32, bool, Vec<Curve>);

fn panels() -> Vec<Contents> {
    vec![
        (
            "memory, MiB",
            380,
            false,
            vec![
                curve("resident memory of the process", |f| mib(f.rss), BLUE),
                curve("live objects, as the program counts", |f| mib(f.live), GREEN),
                curve("free and perhaps resident, as the allocator counts", |f| mib(f.engine_free), ORANGE),
            ],
        ),
        ("at rest, MiB", 190, true, vec![curve("resident memory at rest", |f| mib(f.rss), BLUE)]),
        ("mappings", 190, false, vec![curve("lines of /proc/self/maps", |f| f.mappings as f64, BLUE)]),
        (
            "tables, MiB",
            190,
            false,
            vec![
                curve("page tables", |f| mib(f.page_tables), BLUE),
                curve("the allocator's tables", |f| mib(f.engine_metadata), ORANGE),
            ],
        ),
        (
            "count",
            190,
            false,
            vec![curve("descriptors", |f| f.descriptors as f64, BLUE), curve("threads", |f| f.threads as f64, RED)],
        ),
    ]
}

/// Draws all samples.
pub fn draw(path: &Path, title: &str, samples: &[Figures]) -> Result<(), Box<dyn Error>> {
    let panels = panels();
    let height = HEAD + panels.iter().map(|(_, height, ..)| height).sum::<u32>();
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw(&Text::new(title, (20, 16), ("sans-serif", 20).into_font().color(&INK)))?;
    let note = "circles: at rest, with everything freed and purged; these are what must not drift";
    area.draw(&Text::new(note, (20, 44), ("sans-serif", 14).into_font().color(&INK)))?;
    let (_, mut rest) = area.split_vertically(HEAD);
    let last = panels.len() - 1;
    let rests: Vec<Figures> = samples.iter().filter(|figures| figures.at_rest).copied().collect();
    for (n, (unit, height, at_rest, curves)) in panels.into_iter().enumerate() {
        let (upper, lower) = rest.split_vertically(height);
        panel(&upper, unit, &curves, if at_rest { &rests } else { samples }, n == last)?;
        rest = lower;
    }
    area.present()?;
    Ok(())
}

fn panel(
    area: &Panel<'_>,
    unit: &str,
    curves: &[Curve],
    samples: &[Figures],
    is_last: bool,
) -> Result<(), Box<dyn Error>> {
    // All panels end where the run did, which is at rest.
    let end = samples.last().map_or(1.0, |figures| figures.at.as_secs_f64()).max(1.0);
    // Minutes where there are many of them.
    let (scale, time) = if end > 300.0 { (60.0, "minutes") } else { (1.0, "seconds") };
    let all = samples.iter().flat_map(|figures| curves.iter().map(|curve| (curve.of)(figures)));
    let highest = all.fold(f64::MIN_POSITIVE, f64::max) * 1.4; // Room for the legend.
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(if is_last { 44 } else { 24 })
        .y_label_area_size(74)
        .build_cartesian_2d(0.0..end / scale, 0.0..highest)?;
    let label = ("sans-serif", 14).into_font().color(&INK);
    let whole = highest >= 8.0;
    let upright = move |value: &f64| if whole { format!("{value:.0}") } else { format!("{value:.2}") };
    let along = |value: &f64| format!("{value:.0}");
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(PALE)
        .light_line_style(WHITE)
        .axis_style(INK)
        .label_style(label.clone())
        .y_labels(6)
        .x_labels(12)
        .y_desc(unit)
        .y_label_formatter(&upright)
        .x_label_formatter(&along);
    if is_last {
        mesh.x_desc(format!("{time} since the start"));
    }
    mesh.draw()?;
    for curve in curves {
        let points = samples.iter().map(|figures| (figures.at.as_secs_f64() / scale, (curve.of)(figures)));
        let colour = curve.colour;
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(1)))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    for curve in curves.iter().take(1) {
        let rests = samples.iter().filter(|figures| figures.at_rest);
        let radius = if rests.clone().count() > 60 { 2 } else { 4 };
        let points = rests.map(|figures| (figures.at.as_secs_f64() / scale, (curve.of)(figures)));
        chart.draw_series(points.map(|point| Circle::new(point, radius, curve.colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(PALE)
        .label_font(label)
        .draw()?;
    Ok(())
}
