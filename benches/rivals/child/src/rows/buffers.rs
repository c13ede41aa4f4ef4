//! Buffers: one after another of one size, written in every page or in the first only.

use super::Row;
use super::block::Block;
use crate::Stage;

const SOURCE: &str =
    "model of I/O and frame buffers; reuse asked for in jemalloc's tracker (objects of 8 MiB and more)";

macro_rules! touched {
    ($name:literal, $size:expr, $times:expr) => {
        Row {
            name: concat!("buffers-", $name, "-touched"),
            what: concat!($name, " buffers, one after another, a byte of every page written"),
            source: SOURCE,
            run: |stage| one_after_another(stage, $size, $times, Block::touch_pages),
        }
    };
}

macro_rules! untouched {
    ($name:literal, $size:expr, $times:expr) => {
        Row {
            name: concat!("buffers-", $name, "-untouched"),
            what: concat!($name, " buffers, one after another, only the first byte written"),
            source: SOURCE,
            run: |stage| one_after_another(stage, $size, $times, |_| ()),
        }
    };
}

pub(super) const ROWS: &[Row] = &[
    touched!("64K", 64 << 10, 1_000_000),
    touched!("256K", 256 << 10, 300_000),
    touched!("1M", 1 << 20, 80_000),
    touched!("4M", 4 << 20, 20_000),
    touched!("16M", 16 << 20, 500),
    touched!("64M", 64 << 20, 12),
    untouched!("64K", 64 << 10, 4_000_000),
    untouched!("1M", 1 << 20, 4_000_000),
    untouched!("16M", 16 << 20, 50_000),
];

fn one_after_another(stage: &mut Stage, size: usize, times: usize, touch: fn(&mut Block)) {
    stage.time(|| (0..times).for_each(|_| touch(&mut Block::new(size))));
}
