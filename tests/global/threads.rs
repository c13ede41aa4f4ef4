//! Threads that come and go: objects outlive their thread, and destructors of thread-locals allocate.

use super::model::{Block, KIB, MIB, Random};
use std::alloc::Layout;
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;

fn some_blocks(seed: u64, count: usize) -> Vec<Block> {
    let mut random = Random::new(seed);
    (0..count).map(|n| Block::new(random.layout(MIB), n % 3 == 0, seed << 16 | n as u64)).collect()
}

#[test]
fn objects_outlive_their_thread() {
    for round in 0..12 {
        let threads: Vec<_> = (0..4).map(|i| thread::spawn(move || some_blocks(round * 4 + i, 60))).collect();
        let mut held = Vec::new();
        for thread in threads {
            held.extend(thread.join().expect("no panic"));
        }
        // Half of them are freed here, half on a thread that has never allocated any.
        let rest = held.split_off(held.len() / 2);
        held.into_iter().for_each(Block::free);
        thread::spawn(move || rest.into_iter().for_each(Block::free)).join().expect("no panic");
    }
}

#[test]
fn many_short_threads() {
    for round in 0..60_u64 {
        let threads: Vec<_> = (0..4)
            .map(|i| thread::spawn(move || some_blocks(round << 8 | i, 5).into_iter().for_each(Block::free)))
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}

#[test]
fn one_thread_allocates_and_the_others_free() {
    let (sender, receiver) = channel::<Block>();
    let receiver = Arc::new(std::sync::Mutex::new(receiver));
    let consumers: Vec<_> = (0..3)
        .map(|_| {
            let receiver = Arc::clone(&receiver);
            thread::spawn(move || {
                loop {
                    let block = receiver.lock().expect("no panic").recv();
                    let Ok(block) = block else { break };
                    block.free();
                }
            })
        })
        .collect();
    let mut random = Random::new(11);
    for seed in 0..4000 {
        let size = random.size(64 * KIB);
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        sender.send(Block::new(layout, seed % 2 == 0, seed)).expect("the consumers live");
    }
    drop(sender);
    consumers.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

/// How many destructors have run to their end.
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// When dropped, it frees what it holds, and allocates and frees more.
struct Late(RefCell<Vec<Block>>);

impl Late {
    fn made_at_first_use() -> Self {
        Self(RefCell::new(some_blocks(7, 3)))
    }

    const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Block::free);
        some_blocks(99, 40).into_iter().for_each(Block::free);
        let strings: Vec<String> = (0..100).map(|n| format!("{n:>100}")).collect();
        assert_eq!(strings[7].trim_start(), "7");
        ENDED.fetch_add(1, Relaxed);
    }
}

thread_local! {
    static EARLY: Late = const { Late::new() };
    static LAZY: Late = Late::made_at_first_use();
}

#[test]
fn destructors_of_thread_locals_may_allocate() {
    let before = ENDED.load(Relaxed);
    let start = Arc::new(Barrier::new(6));
    let threads: Vec<_> = (0..6)
        .map(|i| {
            let start = Arc::clone(&start);
            thread::spawn(move || {
                start.wait();
                // In either order, and with or without allocations of the thread's own before.
                if i % 2 == 0 {
                    some_blocks(i, 10).into_iter().for_each(Block::free);
                }
                let (first, second) = if i % 3 == 0 { (&EARLY, &LAZY) } else { (&LAZY, &EARLY) };
                first.with(|late| late.0.borrow_mut().extend(some_blocks(i, 30)));
                second.with(|late| late.0.borrow_mut().extend(some_blocks(i + 50, 30)));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(ENDED.load(Relaxed) - before, 12);
}
