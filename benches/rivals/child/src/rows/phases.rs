//! Programs whose memory rises and falls.

use super::Row;
use super::block::Block;
use super::dice::Dice;
use crate::Stage;
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "bursts-freed",
        what: "200 MiB of 16 B to 64 KiB, freed at random to 10 %; memory at 0, 1 and 10 s",
        source: "model of memory that does not fall after a burst (mimalloc #776, mimalloc_rust #141)",
        run: bursts,
    },
    Row {
        name: "size-phases",
        what: "64 MiB of one size after another, 2 % of each kept",
        source: "model of phases of changing object size",
        run: sizes,
    },
    Row {
        name: "mixed-burst",
        what: "300,000 objects of 16 B to 1 KiB, freed in random order",
        source: "model of a request that takes much memory, once",
        run: mixed,
    },
];

fn bursts(stage: &mut Stage) {
    let mut live = stage.time(|| {
        let mut dice = Dice::new(1);
        let (mut live, mut bytes) = (Vec::new(), 0);
        while bytes < 200 << 20 {
            let mut block = Block::new(dice.size(16, 65535));
            block.touch_pages();
            bytes += block.size();
            live.push(block);
        }
        dice.shuffle(&mut live);
        live.truncate(live.len() / 10);
        live
    });
    stage.rest(&[
        ("after-0s", Duration::ZERO),
        ("after-1s", Duration::from_secs(1)),
        ("after-10s", Duration::from_secs(9)),
    ]);
    stage.time(|| live.clear());
}

fn sizes(stage: &mut Stage) {
    stage.time(|| {
        let mut kept = Vec::new();
        for size in [48, 96, 200, 480, 1000, 2100, 5000, 12_000, 33_000, 70_000, 150_000] {
            let phase: Vec<Block> = (0..(64 << 20) / size).map(|_| Block::new(size)).collect();
            kept.extend(phase.into_iter().step_by(50));
        }
    });
}

fn mixed(stage: &mut Stage) {
    stage.time(|| {
        let mut dice = Dice::new(1);
        let mut all: Vec<Block> = (0..300_000).map(|_| Block::new(dice.between(16, 1024))).collect();
        dice.shuffle(&mut all);
    });
}
