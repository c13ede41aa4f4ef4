//! Any sequence of calls against a model: alignment, no overlap, contents kept, zeros zero.

use super::model::{BOUNDARIES, Block, KIB, LARGEST, MIB};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// The most that a sequence holds at a time, so that a test needs no large machine.
const BUDGET: usize = 192 * MIB;

#[derive(Clone, Debug)]
enum Call {
    Alloc {
        layout: Layout,
        zeroed: bool,
    },
    Realloc {
        which: Index,
        size: usize,
    },
    Free {
        which: Index,
    },
    /// Another thread frees it; alone, the thread itself.
    Pass {
        which: Index,
    },
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 1..=KIB,
        4 => KIB..=32 * KIB,
        2 => 32 * KIB..=4 * MIB,
        1 => 4 * MIB..=LARGEST,
        // Next to a boundary, on both sides.
        4 => (select(&BOUNDARIES[..]), 0..=32_usize).prop_map(|(at, off)| (at + off).saturating_sub(16).clamp(1, LARGEST)),
        1 => (1..=64_usize).prop_map(|pages| pages * mapalloc::page_size()),
    ]
}

fn layouts() -> impl Strategy<Value = Layout> {
    let aligns = prop_oneof![8 => 0..=4_u32, 2 => 5..=12_u32, 1 => 13..=21_u32];
    (sizes(), aligns).prop_map(|(size, log)| Layout::from_size_align(size, 1 << log).expect("a valid layout"))
}

fn calls(most: usize) -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        6 => (layouts(), any::<bool>()).prop_map(|(layout, zeroed)| Call::Alloc { layout, zeroed }),
        3 => (any::<Index>(), sizes()).prop_map(|(which, size)| Call::Realloc { which, size }),
        3 => any::<Index>().prop_map(|which| Call::Free { which }),
        2 => any::<Index>().prop_map(|which| Call::Pass { which }),
    ];
    vec(call, 1..=most)
}

/// One thread's blocks: in a list to choose from, and by address to find overlaps.
#[derive(Default)]
struct Model {
    blocks: Vec<Block>,
    ranges: BTreeMap<usize, usize>,
    live_bytes: usize,
    seed: u64,
}

impl Model {
    fn insert(&mut self, block: Block) {
        let range = block.range();
        let before = self.ranges.range(..range.end).next_back();
        assert!(before.is_none_or(|(_, &end)| end <= range.start), "{range:x?} overlaps {before:x?}");
        self.live_bytes += range.len();
        self.ranges.insert(range.start, range.end);
        self.blocks.push(block);
    }

    fn remove(&mut self, which: Index) -> Option<Block> {
        if self.blocks.is_empty() {
            return None;
        }
        let block = self.blocks.swap_remove(which.index(self.blocks.len()));
        self.live_bytes -= block.range().len();
        self.ranges.remove(&block.range().start);
        Some(block)
    }

    /// Performs `call`; what is to be passed on is returned.
    fn call(&mut self, call: &Call, budget: usize) -> Option<Block> {
        match *call {
            Call::Alloc { layout, zeroed } => {
                if self.live_bytes + layout.size() <= budget {
                    self.seed += 1;
                    self.insert(Block::new(layout, zeroed, self.seed));
                }
            }
            Call::Realloc { which, size } => {
                if let Some(mut block) = self.remove(which) {
                    if self.live_bytes + size <= budget {
                        block.resize(size);
                    }
                    self.insert(block);
                }
            }
            Call::Free { which } => {
                if let Some(block) = self.remove(which) {
                    block.free();
                }
            }
            Call::Pass { which } => return self.remove(which),
        }
        None
    }

    fn free_all(self) {
        self.blocks.into_iter().for_each(Block::free);
    }
}

fn run_thread(seed: u64, calls: &[Call], budget: usize, out: &Sender<Block>, passed: &Receiver<Block>) {
    let mut model = Model { seed: seed << 32, ..Model::default() };
    for call in calls {
        if let Some(block) = model.call(call, budget) {
            out.send(block).expect("the next thread lives until this one ends");
        }
        passed.try_iter().for_each(Block::free);
    }
    model.free_all();
}

/// `cases`, or as many as `PROPTEST_CASES` says. No files with failures: they would be written next to a shared source.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { default } else { ProptestConfig { cases, ..default } }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn any_sequence_keeps_the_promises(calls in calls(120)) {
        let mut model = Model::default();
        for call in &calls {
            if let Some(block) = model.call(call, BUDGET) {
                block.free();
            }
        }
        model.free_all();
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn any_sequence_keeps_the_promises_on_threads_that_free_for_each_other(sequences in vec(calls(80), 4)) {
        let threads = sequences.len();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..threads).map(|_| channel()).unzip();
        thread::scope(|scope| {
            for (i, passed) in receivers.into_iter().enumerate() {
                let (calls, out) = (&sequences[i], senders[(i + 1) % threads].clone());
                scope.spawn(move || {
                    run_thread(i as u64, calls, BUDGET / threads, &out, &passed);
                    // Until the one before has ended: no block is left in a channel.
                    drop(out);
                    passed.iter().for_each(Block::free);
                });
            }
            drop(senders);
        });
    }
}
