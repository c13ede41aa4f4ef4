//! Many live objects of one size.

use super::Row;
use super::block::Block;
use super::dice::Dice;
use crate::Stage;

const SOURCE: &str = "model of trees and lists; sizes between a C allocator's classes, commonest in Rust programs";

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "population-24",
        what: "1,000,000 live objects of 24 bytes, 2,000,000 replaced at random",
        source: SOURCE,
        run: |stage| population(stage, 24, 1_000_000, 2_000_000),
    },
    Row {
        name: "population-40",
        what: "1,000,000 live objects of 40 bytes, 2,000,000 replaced at random",
        source: SOURCE,
        run: |stage| population(stage, 40, 1_000_000, 2_000_000),
    },
    Row {
        name: "population-48",
        what: "1,000,000 live objects of 48 bytes, 2,000,000 replaced at random",
        source: SOURCE,
        run: |stage| population(stage, 48, 1_000_000, 2_000_000),
    },
    Row {
        name: "population-512",
        what: "60,000 live objects of 512 bytes, 3,000,000 replaced at random",
        source: "model of nodes and sectors: a size that puts all objects on few cache sets",
        run: |stage| population(stage, 512, 60_000, 3_000_000),
    },
];

fn population(stage: &mut Stage, size: usize, live: usize, replaced: usize) {
    stage.time(|| {
        let mut dice = Dice::new(1);
        let mut all: Vec<Block> = (0..live).map(|_| Block::new(size)).collect();
        (0..replaced).for_each(|_| all[dice.below(live)] = Block::new(size));
    });
}
