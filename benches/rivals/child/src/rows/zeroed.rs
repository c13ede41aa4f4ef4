//! Memory that is asked for as zeros.

use super::Row;
use super::block::Block;

const MIB: usize = 1 << 20;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "zeroed-sparse",
        what: "64 MiB of zeros, a byte in each MiB written, 500 times",
        source: "model of mimalloc #1104 (calloc of large arrays of which little is used)",
        run: |stage| {
            stage.time(|| {
                for _ in 0..500 {
                    let mut block = Block::zeroed(64 * MIB);
                    (0..block.size()).step_by(MIB).for_each(|at| block.write(at));
                }
            });
        },
    },
    Row {
        name: "zeroed-sparse-kept",
        what: "100 arrays of 64 MiB of zeros alive at once, a byte in each MiB written",
        source: "model of mimalloc #1104, with the arrays alive together",
        run: |stage| {
            stage.time(|| {
                let mut all: Vec<Block> = (0..100).map(|_| Block::zeroed(64 * MIB)).collect();
                all.iter_mut().for_each(|block| (0..block.size()).step_by(MIB).for_each(|at| block.write(at)));
            });
        },
    },
    Row {
        name: "zeroed-full",
        what: "32 MiB of zeros, all written, 20 times",
        source: "model of vec![0; n] that is then filled",
        run: |stage| stage.time(|| (0..20).for_each(|_| Block::zeroed(32 * MIB).fill())),
    },
    Row {
        name: "zeroed-256K",
        what: "256 KiB of zeros, all written, 20,000 times",
        source: "model of vec![0; n] as a read buffer",
        run: |stage| stage.time(|| (0..20_000).for_each(|_| Block::zeroed(256 << 10).fill())),
    },
];
