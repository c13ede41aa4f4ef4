//! Published benchmarks of the fast path, of cache behaviour and of long lives.

use super::Row;
use super::block::Block;
use super::dice::Dice;
use crate::Stage;
use std::hint::black_box;
use std::sync::mpsc::channel;
use std::thread::scope;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "cache-scratch",
        what: "each thread writes a small block that another thread's neighbours, and one it allocates in its place",
        source: "port of the structure of cache-scratch (Berger, Hoard, ASPLOS 2000)",
        run: |stage| scratch(stage, true),
    },
    Row {
        name: "cache-thrash",
        what: "each thread allocates a small block, writes it many times and frees it",
        source: "port of the structure of cache-thrash (Berger, Hoard, ASPLOS 2000)",
        run: |stage| scratch(stage, false),
    },
    Row {
        name: "glibc-simple",
        what: "blocks of 16 to 4,096 bytes in small groups, one thread",
        source: "model of glibc's benchtests/bench-malloc-simple",
        run: |stage| stage.time(|| simple(300)),
    },
    Row {
        name: "glibc-thread",
        what: "a table of blocks of 4 bytes to 32 KiB by an inverse-square law, replaced at random, in all threads",
        source: "model of glibc's benchtests/bench-malloc-thread",
        run: glibc_thread,
    },
    Row {
        name: "malloc-large",
        what: "20 live buffers of 5 to 25 MiB, 150 replaced at random, every page written",
        source: "model of malloc-large (mimalloc-bench)",
        run: large,
    },
    Row {
        name: "mleak",
        what: "600 rounds of threads that allocate and free a little, with results that outlive them",
        source: "model of mleak (mimalloc-bench)",
        run: mleak,
    },
    Row {
        name: "sh6bench",
        what: "batches of 1 to 999 bytes, freed in and against their order, one thread",
        source: "model of sh6bench (MicroQuill SmartHeap)",
        run: |stage| stage.time(|| drop(sh6(1, 900))),
    },
    Row {
        name: "sh8bench",
        what: "the same in all threads, with a part freed by another thread",
        source: "model of sh8bench (MicroQuill SmartHeap)",
        run: sh8,
    },
];

fn scratch(stage: &mut Stage, inherited: bool) {
    let threads = stage.threads();
    stage.time(|| {
        // The main thread's blocks are neighbours: an allocator that reuses them for others makes their lines bounce.
        let mut first: Vec<Option<Block>> = (0..threads).map(|_| inherited.then(|| Block::new(8))).collect();
        scope(|scope| {
            for block in first.iter_mut() {
                scope.spawn(move || {
                    drop(block.take());
                    for _ in 0..1_000_000 {
                        let mut block = Block::new(8);
                        (0..100).for_each(|n| block.write(n % 8));
                    }
                });
            }
        });
    });
}

fn simple(rounds: usize) {
    for _ in 0..rounds {
        for size in [16, 32, 64, 128, 256, 512, 1024, 2048, 4096] {
            let mut group: Vec<Block> = Vec::with_capacity(400);
            for count in [25, 100, 400] {
                group.extend((0..count).map(|_| Block::new(size)));
                group.clear();
            }
        }
    }
}

fn glibc_thread(stage: &mut Stage) {
    let threads = stage.threads();
    stage.time(|| {
        scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || {
                    let mut dice = Dice::new(thread as u64 + 1);
                    let mut size =
                        move || ((4.0 / (1.0 - dice.below(1 << 20) as f64 / 1_048_577.0)) as usize).min(32768);
                    let mut dice = Dice::new(thread as u64 + 1000);
                    let mut table: Vec<Option<Block>> = (0..1024).map(|_| None).collect();
                    for _ in 0..6_000_000 {
                        table[dice.below(1024)] = Some(Block::new(size()));
                    }
                });
            }
        });
    });
}

fn large(stage: &mut Stage) {
    stage.time(|| {
        let mut dice = Dice::new(1);
        let mut live: Vec<Option<Block>> = (0..20).map(|_| None).collect();
        for _ in 0..150 {
            let mut block = Block::new(dice.between(5 << 20, 25 << 20));
            block.touch_pages();
            live[dice.below(20)] = Some(block);
        }
    });
}

fn mleak(stage: &mut Stage) {
    let threads = stage.threads();
    stage.time(|| {
        for round in 0..600 {
            let (give, take) = channel();
            scope(|scope| {
                for thread in 0..threads {
                    let give = give.clone();
                    scope.spawn(move || {
                        let mut dice = Dice::new((round * threads + thread) as u64 + 1);
                        let mut blocks: Vec<Block> = (0..500).map(|_| Block::new(dice.size(16, 4095))).collect();
                        dice.shuffle(&mut blocks);
                        blocks.truncate(50);
                        let _ = give.send(blocks);
                    });
                }
            });
            drop(give);
            black_box(take.into_iter().count());
        }
    });
}

fn sh6(seed: u64, rounds: usize) -> Vec<Block> {
    let mut dice = Dice::new(seed);
    let mut left = Vec::new();
    for round in 0..rounds {
        let mut batch = Vec::with_capacity(20_000);
        for size in [1, 8, 24, 60, 120, 250, 500, 999] {
            // Small ones are many.
            let count = 20_000 / (size + 20);
            batch.extend((0..count * 2).map(|_| Block::new(size)));
        }
        match round % 3 {
            0 => batch.into_iter().for_each(drop),
            1 => batch.into_iter().rev().for_each(drop),
            _ => {
                let keep = batch.len() - dice.below(batch.len() / 4).max(1);
                left.extend(batch.drain(keep..));
                if left.len() > 20_000 {
                    left.clear();
                }
            }
        }
    }
    left
}

fn sh8(stage: &mut Stage) {
    let threads = stage.threads();
    stage.time(|| {
        let (give, take) = channel();
        scope(|scope| {
            for thread in 0..threads {
                let give = give.clone();
                scope.spawn(move || {
                    for part in 0..20 {
                        let _ = give.send(sh6((thread * 100 + part) as u64 + 1, 15));
                    }
                });
            }
            drop(give);
            scope.spawn(move || take.into_iter().for_each(drop));
        });
    });
}
