//! Published benchmarks of servers: objects that live a while and are freed by other threads.

use super::Row;
use super::block::Block;
use super::dice::Dice;
use crate::Stage;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::thread::scope;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "larson",
        what: "1,000 slots a thread, 8 to 1,000 bytes, replaced at random; a successor thread takes over the slots",
        source: "port of the structure of larson (Larson and Krishnan, ISMM 1998; in mimalloc-bench)",
        run: |stage| larson(stage, 8, 1000, 1000, 60_000),
    },
    Row {
        name: "larson-sized",
        what: "the same with 5,000 slots and 16 bytes to 8 KiB (every free in Rust is sized)",
        source: "port of the structure of larson-sized (mimalloc-bench)",
        run: |stage| larson(stage, 16, 8192, 5000, 25_000),
    },
    Row {
        name: "mstress",
        what: "blocks of all sizes, a share kept, swapped between threads that are made anew each round",
        source: "model of mstress (mimalloc's test-stress, D. Leijen)",
        run: mstress,
    },
    Row {
        name: "rptest",
        what: "16 B to 8 KiB, linear and exponential mixes, written whole, handed to the next thread",
        source: "model of rptest (rpmalloc-benchmark, M. Jansson)",
        run: rptest,
    },
    Row {
        name: "xmalloc-test",
        what: "half of the threads allocate 64-byte-ish blocks, the others free them, in batches of 120",
        source: "model of xmalloc-test (Lever and Boreham, USENIX 2000; in mimalloc-bench)",
        run: xmalloc,
    },
    Row {
        name: "alloc-test",
        what: "a table of blocks, sizes by a Pareto-like law, replaced at random and read back",
        source: "model of alloc-test (node-dot-cpp; in mimalloc-bench)",
        run: alloc_test,
    },
];

fn larson(stage: &mut Stage, least: usize, largest: usize, slots: usize, rounds: usize) {
    let threads = stage.threads();
    stage.time(|| {
        let mut tables: Vec<Vec<Block>> = (0..threads)
            .map(|thread| {
                let mut dice = Dice::new(thread as u64 + 1);
                (0..slots).map(|_| Block::new(dice.between(least, largest))).collect()
            })
            .collect();
        for generation in 0..25 {
            // Each table goes to a thread that has allocated none of it.
            scope(|scope| {
                for (thread, table) in tables.iter_mut().enumerate() {
                    scope.spawn(move || {
                        let mut dice = Dice::new((generation * threads + thread) as u64 + 100);
                        for _ in 0..rounds {
                            let slot = dice.below(slots);
                            table[slot] = Block::new(dice.between(least, largest));
                        }
                    });
                }
            });
        }
    });
}

fn mstress(stage: &mut Stage) {
    let threads = stage.threads();
    stage.time(|| {
        let shared: Vec<Mutex<Option<Block>>> = (0..1000).map(|_| Mutex::new(None)).collect();
        for round in 0..25 {
            scope(|scope| {
                for thread in 0..threads {
                    let shared = &shared;
                    scope.spawn(move || {
                        let mut dice = Dice::new((round * threads + thread) as u64 + 1);
                        let (mut live, mut kept) = (Vec::new(), Vec::new());
                        for _ in 0..20_000 {
                            let largest = if dice.below(1000) == 0 { 256 << 10 } else { 1024 };
                            live.push(Block::new(dice.size(8, largest)));
                            if dice.below(100) < 20 {
                                kept.push(Block::new(dice.size(8, 512)));
                            }
                            if dice.below(100) < 66 && !live.is_empty() {
                                let at = dice.below(live.len());
                                live.swap_remove(at);
                            }
                            if dice.below(100) < 25 && !live.is_empty() {
                                let at = dice.below(live.len());
                                let slot = &shared[dice.below(shared.len())];
                                let mine = live.swap_remove(at);
                                let other = slot.lock().expect("no panics").replace(mine);
                                live.extend(other);
                            }
                        }
                    });
                }
            });
        }
    });
}

fn rptest(stage: &mut Stage) {
    let threads = stage.threads();
    stage.time(|| {
        let mut handed: Vec<Vec<Block>> = (0..threads).map(|_| Vec::new()).collect();
        for round in 0..12 {
            handed.rotate_left(1);
            scope(|scope| {
                for (thread, taken) in handed.iter_mut().enumerate() {
                    scope.spawn(move || {
                        let mut dice = Dice::new((round * threads + thread) as u64 + 1);
                        taken.clear();
                        let mut live: Vec<Block> = Vec::new();
                        for step in 0..20_000 {
                            let size = if round % 2 == 0 { dice.between(16, 8000) } else { dice.size(16, 8000) };
                            let mut block = Block::new(size);
                            block.fill();
                            if live.len() < 3_000 {
                                live.push(block);
                            } else {
                                live[(step * 7919) % 3_000] = block;
                            }
                        }
                        *taken = live;
                    });
                }
            });
        }
    });
}

fn xmalloc(stage: &mut Stage) {
    let pairs = stage.threads().div_ceil(2);
    stage.time(|| {
        scope(|scope| {
            for pair in 0..pairs {
                let (give, take) = sync_channel::<Vec<Block>>(16);
                scope.spawn(move || {
                    let mut dice = Dice::new(pair as u64 + 1);
                    for _ in 0..40_000 / pairs {
                        let batch = (0..120).map(|_| Block::new(dice.between(1, 8) * 32)).collect();
                        give.send(batch).expect("a receiver");
                    }
                });
                scope.spawn(move || take.into_iter().for_each(drop));
            }
        });
    });
}

fn alloc_test(stage: &mut Stage) {
    let threads = stage.threads();
    stage.time(|| {
        scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || {
                    let mut dice = Dice::new(thread as u64 + 1);
                    let mut table: Vec<Option<Block>> = (0..32_768).map(|_| None).collect();
                    for _ in 0..1_500_000 {
                        // Both the slot and the size are small far more often than large.
                        let slot = dice.below(32_768).min(dice.below(32_768));
                        table[slot] = match &table[slot] {
                            Some(_) => None,
                            None => Some(Block::new(dice.size(8, 1023))),
                        };
                    }
                });
            }
        });
    });
}
