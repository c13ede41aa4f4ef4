//! The rows of the comparison: what each does, and whose workload it is.
//!
//! A row times its work by `Stage::time`, frees all that it allocated before it returns (or leaves it to the drop at its
//! end), joins its threads, and gives the same sequence of requests each time: its random numbers are seeded.

mod aligned;
mod block;
mod buffers;
mod classics;
mod collections;
mod dice;
mod growth;
mod phases;
mod populations;
mod programs;
mod servers;
mod threads;
mod zeroed;

use crate::Stage;

/// One workload.
#[derive(Debug)]
pub struct Row {
    /// Short, without spaces: what `--only` finds.
    pub name: &'static str,
    /// What it does, in a line.
    pub what: &'static str,
    /// The published program or the report that it ports or models.
    pub source: &'static str,
    /// Does it.
    pub run: fn(&mut Stage),
}

/// All of them, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Row> {
    [
        servers::ROWS,
        classics::ROWS,
        programs::ROWS,
        collections::ROWS,
        populations::ROWS,
        phases::ROWS,
        threads::ROWS,
        aligned::ROWS,
        growth::ROWS,
        zeroed::ROWS,
        buffers::ROWS,
    ]
    .into_iter()
    .flatten()
}
