//! Children that do the work on one heap each, what several runs of them amount to, and a bar meanwhile.

use indicatif::{ProgressBar, ProgressStyle};
use std::process::{Command, Stdio};

/// What a child left: its standard output, its standard error and its exit status.
pub(crate) struct Finished {
    pub(crate) output: String,
    pub(crate) errors: String,
    pub(crate) status: Option<i32>,
}

/// Runs a command until it ends.
pub(crate) fn run(command: &mut Command) -> Result<Finished, String> {
    let done = command.stdin(Stdio::null()).output();
    let done = done.map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    Ok(Finished {
        output: String::from_utf8_lossy(&done.stdout).into_owned(),
        errors: String::from_utf8_lossy(&done.stderr).into_owned(),
        status: done.status.code(),
    })
}

/// The lines of `output` that begin with the word `key`, without it.
pub(crate) fn lines<'a>(output: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    output.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix(' '))
}

/// The number on the first line that begins with the word `key`.
pub(crate) fn number(output: &str, key: &str) -> Option<f64> {
    lines(output, key).next()?.trim().parse().ok()
}

/// The middle of some measurements, with the smallest and the largest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` if there are no measurements.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max })
    }
}

/// A bar for work in steps of `what`, hidden unless standard error is a terminal.
pub(crate) fn progress(what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}").expect("a valid template");
    ProgressBar::new(0).with_style(style).with_message(what.to_owned())
}
