//! The figures of a cell, and what follows from them over rows and allocators.

use crate::allocators::Allocator;
use crate::runs::{Kind, Report};

/// A row on an allocator: the reports of its processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) failure: Option<String>,
    times: Vec<Report>,
    memory: Report,
    syscalls: Option<f64>,
}

/// Least, median and largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) largest: f64,
}

/// The spread of some numbers, of which there is at least one.
pub(crate) fn spread(mut numbers: Vec<f64>) -> Option<Spread> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let (least, largest) = (*numbers.first()?, *numbers.last()?);
    let median = if numbers.len() % 2 == 1 { numbers[middle] } else { (numbers[middle - 1] + numbers[middle]) / 2.0 };
    Some(Spread { least, median, largest })
}

/// The geometric mean.
pub(crate) fn geometric_mean(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| (numbers.iter().map(|n| n.ln()).sum::<f64>() / numbers.len() as f64).exp())
}

const MIB: f64 = 1024.0;

impl Cell {
    pub(crate) fn add(&mut self, result: Result<(Kind, Report), String>) {
        match result {
            Ok((Kind::Time, report)) => self.times.push(report),
            Ok((Kind::Memory, report)) => self.memory = report,
            Ok((Kind::Syscalls, report)) => self.syscalls = report.get("syscalls").copied(),
            Err(reason) => self.failure = Some(reason),
        }
    }

    fn over_rounds(&self, name: &str) -> Option<Spread> {
        if self.failure.is_some() {
            return None;
        }
        spread(self.times.iter().filter_map(|report| report.get(name).copied()).collect())
    }

    /// Milliseconds.
    pub(crate) fn time(&self) -> Option<Spread> {
        let time = self.over_rounds("time")?;
        Some(Spread { least: time.least / 1e6, median: time.median / 1e6, largest: time.largest / 1e6 })
    }

    /// The most MiB resident.
    pub(crate) fn peak(&self) -> Option<f64> {
        self.over_rounds("peak").map(|peak| peak.median / MIB)
    }

    /// Page faults.
    pub(crate) fn faults(&self) -> Option<f64> {
        self.over_rounds("faults").map(|faults| faults.median)
    }

    fn above_start(&self, name: &str) -> Option<f64> {
        Some((self.memory.get(name)? - self.memory.get("start")?) / MIB)
    }

    /// MiB resident beyond the start's, right after everything was freed.
    pub(crate) fn freed(&self) -> Option<f64> {
        self.above_start("freed")
    }

    /// The same, a second later.
    pub(crate) fn rested(&self) -> Option<f64> {
        self.above_start("rested")
    }

    /// MiB of huge pages.
    pub(crate) fn huge(&self) -> Option<f64> {
        self.memory.get("huge").map(|huge| huge / MIB)
    }

    /// System calls on memory.
    pub(crate) fn syscalls(&self) -> Option<f64> {
        self.syscalls
    }

    /// What the row itself noted: MiB resident at points of its own.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (&str, f64)> {
        self.memory.iter().filter(|(name, _)| name.starts_with("after-")).map(|(name, kib)| (&name[..], kib / MIB))
    }
}

/// The least of a figure among the rivals of a row; among all if no rival takes part.
fn least(cells: &[Cell], chosen: &[&Allocator], figure: impl Fn(&Cell) -> Option<f64>) -> Option<f64> {
    let alone = !chosen.iter().any(|allocator| allocator.rival);
    let rivals = cells.iter().zip(chosen).filter(|(_, allocator)| allocator.rival || alone);
    rivals.filter_map(|(cell, _)| figure(cell)).min_by(f64::total_cmp)
}

/// Each allocator's time of a row by the fastest rival's.
pub(crate) fn time_ratios(cells: &[Cell], chosen: &[&Allocator]) -> Vec<Option<f64>> {
    let median = |cell: &Cell| cell.time().map(|time| time.median);
    let fastest = least(cells, chosen, median);
    cells.iter().map(|cell| Some(median(cell)? / fastest?)).collect()
}

/// Each allocator's peak of a row by the leanest rival's.
pub(crate) fn peak_ratios(cells: &[Cell], chosen: &[&Allocator]) -> Vec<Option<f64>> {
    let leanest = least(cells, chosen, Cell::peak);
    cells.iter().map(|cell| Some(cell.peak()? / leanest?)).collect()
}

/// An allocator over all rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    /// Geometric mean of its times by the fastest rival's.
    pub(crate) distance: Option<f64>,
    /// Geometric mean of its peaks in MiB.
    pub(crate) peak: Option<f64>,
    /// Rows in both.
    pub(crate) rows: usize,
    /// The most that was left a second after everything was freed, in MiB.
    pub(crate) left: Option<f64>,
}

/// The summary of every allocator, over the rows that all of them finished.
pub(crate) fn summaries(cells: &[Vec<Cell>], chosen: &[&Allocator]) -> Vec<Summary> {
    let finished = |row: &&Vec<Cell>| row.iter().all(|cell| cell.time().is_some() && cell.peak().is_some());
    let rows: Vec<&Vec<Cell>> = cells.iter().filter(finished).collect();
    let column = |at: usize| {
        let ratios: Vec<f64> = rows.iter().filter_map(|row| time_ratios(row, chosen)[at]).collect();
        let peaks: Vec<f64> = rows.iter().filter_map(|row| row[at].peak()).collect();
        let left = cells.iter().filter_map(|row| row[at].rested()).max_by(f64::total_cmp);
        Summary { distance: geometric_mean(&ratios), peak: geometric_mean(&peaks), rows: rows.len(), left }
    };
    (0..chosen.len()).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0]), Some(Spread { least: 1.0, median: 2.0, largest: 3.0 }));
        assert_eq!(spread(vec![4.0, 1.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(spread(vec![]), None);
    }

    #[test]
    fn a_geometric_mean_multiplies() {
        assert!((geometric_mean(&[0.5, 2.0]).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(geometric_mean(&[]), None);
    }

    #[test]
    fn ratios_are_to_the_best_rival_and_failures_have_none() {
        let chosen = crate::allocators::choose(&["malloc".into(), "jemalloc".into(), "mapalloc".into()]).unwrap();
        let cell = |time: f64| {
            let mut cell = Cell::default();
            cell.add(Ok((Kind::Time, Report::from([("time".into(), time), ("peak".into(), 2048.0)]))));
            cell
        };
        let mut row = vec![cell(4e6), cell(2e6), cell(1e6)];
        assert_eq!(time_ratios(&row, &chosen), [Some(2.0), Some(1.0), Some(0.5)]);
        row[1].add(Err("crashed".into()));
        assert_eq!(time_ratios(&row, &chosen), [Some(1.0), None, Some(0.25)]);
        assert_eq!(summaries(&[row], &chosen)[0].rows, 0);
    }
}
