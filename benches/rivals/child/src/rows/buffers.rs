//! Buffers: one after another of one size, touched or not.

use super::Row;
use crate::Stage;
use std::hint::black_box;

pub(super) const ROWS: &[Row] = &[Row {
    name: "buffers-64K-touched",
    what: "64 KiB buffers, one after another, a byte in each page written",
    source: "",
    run: |stage| touched(stage, 64 << 10, 100_000),
}];

fn touched(stage: &mut Stage, size: usize, rounds: usize) {
    stage.time(|| {
        for _ in 0..rounds {
            let mut buffer: Vec<u8> = Vec::with_capacity(size);
            buffer.spare_capacity_mut().iter_mut().step_by(4096).for_each(|byte| _ = byte.write(1));
            black_box(&buffer);
        }
    });
}
