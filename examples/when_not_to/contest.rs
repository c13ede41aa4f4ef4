//! Ways to do one thing, in turns, and the table of what they took.

use mapalloc::observe::Faults;
use std::fmt::Write;
use std::io;
use std::time::{Duration, Instant};

/// A way to do it. It returns what it found, which is the same for all ways.
pub(crate) struct Way<'a> {
    pub(crate) name: String,
    pub(crate) run: Box<dyn FnMut() -> io::Result<u64> + 'a>,
}

impl<'a> Way<'a> {
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut() -> io::Result<u64> + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// What is said of the times of a table.
pub(crate) struct Scope {
    /// What the ways do, the head of the first column.
    pub(crate) title: String,
    /// How often a run does it: the table has the time of one.
    pub(crate) operations: usize,
    pub(crate) rounds: usize,
}

/// Runs the ways in turns, each after `prepare`, and makes the table.
pub(crate) fn table(
    scope: &Scope,
    mut ways: Vec<Way<'_>>,
    mut prepare: impl FnMut() -> io::Result<()>,
) -> io::Result<String> {
    let mut runs = vec![Vec::new(); ways.len()];
    let mut found = None;
    for round in 0..=scope.rounds {
        for (way, runs) in ways.iter_mut().zip(&mut runs) {
            prepare()?;
            let (run, faults) = Faults::measure(|| {
                let since = Instant::now();
                (way.run)().map(|finding| (finding, since.elapsed()))
            });
            let (finding, time) = run?;
            if *found.get_or_insert(finding) != finding {
                return Err(io::Error::other(format!("{}: {} found something else", scope.title, way.name)));
            }
            if round > 0 {
                runs.push((time, faults));
            }
        }
    }

    let times = |runs: &[(Duration, Faults)]| Spread::of(runs.iter().map(|(time, _)| time.as_secs_f64()).collect());
    let base = times(&runs[0]).median;
    let operations = scope.operations as f64;
    let (factor, unit) = unit(base / operations);
    let mut text =
        format!("| {} | {unit} | × | minor faults | major faults |\n|---|---:|---:|---:|---:|\n", scope.title);
    for (way, runs) in ways.iter().zip(&runs) {
        let time = times(runs);
        let faults = |of: fn(&Faults) -> u64| {
            Spread::of(runs.iter().map(|(_, faults)| of(faults) as f64).collect()).median / operations
        };
        _ = writeln!(
            text,
            "| {} | {} | {:.2} | {} | {} |",
            way.name,
            time.text(factor / operations),
            time.median / base,
            figure(faults(|faults| faults.minor)),
            figure(faults(|faults| faults.major)),
        );
    }
    text.push('\n');
    Ok(text)
}

/// The middle of some measurements, with the smallest and the largest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    largest: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Self { median, least: values[0], largest: values[values.len() - 1] }
    }

    /// All three, times `factor`.
    pub(crate) fn text(self, factor: f64) -> String {
        let [median, least, largest] = [self.median, self.least, self.largest].map(|value| figure(value * factor));
        format!("{median} ({least}..{largest})")
    }
}

/// What to multiply seconds by, and the unit they are in then.
fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        ..1e-6 => (1e9, "ns"),
        ..1e-3 => (1e6, "µs"),
        _ => (1e3, "ms"),
    }
}

/// Three digits or so.
pub(crate) fn figure(value: f64) -> String {
    let decimals = match value {
        0.0 | 100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}
