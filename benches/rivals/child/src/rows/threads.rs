//! Threads that free what others allocated, and threads that live briefly.

use super::Row;
use super::block::Block;
use super::dice::Dice;
use crate::Stage;
use std::hint::black_box;
use std::sync::mpsc::sync_channel;
use std::thread::{scope, spawn};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "freeing-thread",
        what: "all threads but one allocate 16 B to 2 KiB, the last one frees, in batches of 100",
        source: "model of one dedicated freeing thread, as reported against jemalloc and tcmalloc",
        run: freeing,
    },
    Row {
        name: "channel-16K",
        what: "16 KiB buffers filled by one thread, dropped by another",
        source: "model of network buffers sent through a channel",
        run: |stage| channel(stage, 16 << 10, 200_000),
    },
    Row {
        name: "channel-32K",
        what: "32 KiB buffers filled by one thread, dropped by another",
        source: "model of network buffers sent through a channel",
        run: |stage| channel(stage, 32 << 10, 100_000),
    },
    Row {
        name: "short-threads",
        what: "10,000 threads, some at a time, each with 50 blocks of 16 B to 16 KiB",
        source: "model of a thread for each task; traces of threads in RSS are a common report",
        run: short,
    },
];

fn freeing(stage: &mut Stage) {
    let producers = stage.threads().saturating_sub(1).max(1);
    stage.time(|| {
        let (give, take) = sync_channel::<Vec<Block>>(64);
        let free = spawn(move || take.into_iter().for_each(drop));
        scope(|scope| {
            for seed in 0..producers {
                let give = give.clone();
                scope.spawn(move || {
                    let mut dice = Dice::new(seed as u64 + 1);
                    for _ in 0..40_000 / producers {
                        let batch = (0..100).map(|_| Block::new(dice.size(16, 2047))).collect();
                        give.send(batch).expect("the freeing thread");
                    }
                });
            }
        });
        drop(give);
        free.join().expect("the freeing thread");
    });
}

fn channel(stage: &mut Stage, size: usize, count: usize) {
    stage.time(|| {
        let (give, take) = sync_channel::<Vec<u8>>(32);
        let free = spawn(move || take.into_iter().map(|buffer| buffer.len()).sum::<usize>());
        (0..count)
            .for_each(|_| give.send(black_box(Vec::from_iter(std::iter::repeat_n(1, size)))).expect("a receiver"));
        drop(give);
        black_box(free.join().expect("the receiver"));
    });
}

fn short(stage: &mut Stage) {
    let together = stage.threads();
    stage.time(|| {
        for first in (0..10_000).step_by(together) {
            scope(|scope| {
                for seed in first..first + together {
                    scope.spawn(move || {
                        let mut dice = Dice::new(seed as u64 + 1);
                        black_box((0..50).map(|_| Block::new(dice.size(16, 16383))).collect::<Vec<_>>());
                    });
                }
            });
        }
    });
}
