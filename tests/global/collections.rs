//! The standard library's collections, which is what most allocations are.

use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::fmt::Write;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, RwLock};
use std::thread;

#[test]
fn vectors_grow_shrink_and_start_zeroed() {
    let mut numbers = Vec::new();
    for n in 0..600_000_u64 {
        numbers.push(n);
    }
    assert!(numbers.iter().copied().eq(0..600_000));
    numbers.truncate(1000);
    numbers.shrink_to_fit();
    assert!(numbers.iter().copied().eq(0..1000));
    for len in [1, 1000, 5000, 100_000, 9 << 20] {
        let mut zeros = vec![0_u8; len];
        assert!(zeros.iter().step_by(997).all(|&byte| byte == 0));
        zeros.fill(0xff);
    }
    let nested: Vec<Vec<u32>> = (0..2000).map(|n| vec![n; n as usize % 300]).collect();
    assert!(nested.iter().enumerate().all(|(n, inner)| inner.iter().all(|&m| m as usize == n)));
    let boxed: Box<[u16]> = (0..40_000).collect();
    assert_eq!(boxed.len(), 40_000);
}

#[test]
fn maps_sets_and_queues() {
    let mut hash = HashMap::new();
    let mut tree = BTreeMap::new();
    for n in 0..30_000_u32 {
        hash.insert(format!("key {n}"), n);
        tree.insert(n.reverse_bits(), vec![n]);
    }
    for n in (0..30_000).step_by(2) {
        assert_eq!(hash.remove(&format!("key {n}")), Some(n));
        assert_eq!(tree.remove(&n.reverse_bits()), Some(vec![n]));
    }
    assert_eq!((hash.len(), tree.len()), (15_000, 15_000));
    assert!(hash.iter().all(|(key, n)| *key == format!("key {n}")));
    let set: HashSet<_> = hash.into_keys().collect();
    assert!(set.contains("key 29999"));

    let mut heap: BinaryHeap<_> = tree.into_values().collect();
    let mut queue = VecDeque::new();
    while let Some(top) = heap.pop() {
        queue.push_front(top);
    }
    assert!(queue.iter().is_sorted());
}

#[test]
fn strings() {
    let mut text = String::new();
    for n in 0..40_000 {
        write!(text, "{n},").expect("a String takes all");
    }
    let parts: Vec<String> = text.split_terminator(',').map(str::to_owned).collect();
    assert!(parts.iter().enumerate().all(|(n, part)| *part == n.to_string()));
    assert_eq!(parts.concat().len(), text.len() - parts.len());
}

#[test]
fn over_aligned_types() {
    #[repr(align(64))]
    struct Line([u8; 64]);
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    let lines: Vec<Box<Line>> = (0..500).map(|n| Box::new(Line([n as u8; 64]))).collect();
    let mut pages: Vec<Page> = Vec::new();
    for n in 0..100_u8 {
        pages.push(Page([n; 4096]));
        assert_eq!(pages.as_ptr().addr() % 4096, 0);
    }
    assert!(
        lines
            .iter()
            .enumerate()
            .all(|(n, line)| (&raw const **line).addr().is_multiple_of(64) && line.0[63] == n as u8)
    );
    assert!(pages.iter().enumerate().all(|(n, page)| page.0[4095] == n as u8));
}

#[test]
fn shared_between_threads() {
    let shared = Arc::new((RwLock::new(HashMap::new()), Mutex::new(Vec::new())));
    let (sender, receiver) = sync_channel::<Box<dyn Fn() -> String + Send>>(16);
    let threads: Vec<_> = (0..4_usize)
        .map(|i| {
            let (shared, sender) = (Arc::clone(&shared), sender.clone());
            thread::spawn(move || {
                for n in 0..500 {
                    shared.0.write().expect("no panic").insert((i, n), vec![n; i * 40]);
                    shared.1.lock().expect("no panic").push(Arc::<str>::from(format!("{i} {n}")));
                    let copy = Arc::clone(&shared);
                    sender
                        .send(Box::new(move || format!("{}", copy.0.read().expect("no panic")[&(i, n)].len())))
                        .expect("the receiver lives");
                }
            })
        })
        .collect();
    drop(sender);
    let lengths: usize = receiver.iter().map(|length| length().parse::<usize>().expect("a number")).sum();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(lengths, 500 * 40 * (1 + 2 + 3));
    assert_eq!(shared.1.lock().expect("no panic").len(), 2000);
    drop(shared);
}
