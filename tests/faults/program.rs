//! A program that goes every way through the crate, makes the same system calls each time, and bears every refusal.

use crate::block::{Block, HEAP};
use crate::fork::in_fork;
use mapalloc::map::{Advice, Features, Fork, Lock, MapOptions, Mapping, Numa, Protect};
use mapalloc::{PageBox, PageVec, Result, page_size};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Runs the whole program; how many of its requests were refused.
pub(crate) fn run() -> usize {
    let mut refused = classes() + pages() + growth() + threads();
    for (n, options) in OPTIONS.into_iter().enumerate() {
        refused += usize::from(mapping(options).is_err());
        refused += usize::from(vector(options, n).is_err());
        refused += usize::from(stable_vector(options).is_err());
        refused += usize::from(boxed(options).is_err());
    }
    refused + usize::from(access().is_err()) + children()
}

/// A part of the program that has every route in it.
pub(crate) fn main_routes() -> usize {
    let vectors = OPTIONS.into_iter().enumerate().filter(|&(n, options)| vector(options, n).is_err()).count();
    a_block_of_each_route() + growth() + vectors + usize::from(mapping(OPTIONS[2]).is_err())
}

fn a_block_of_each_route() -> usize {
    let mut refused = 0;
    for size in [100, 5 * KIB, 100 * KIB, 5 * MIB] {
        let mut block = Block::new(size, 8, false, 3);
        refused += block.as_mut().map_or(1, |block| usize::from(!block.resize(2 * size)));
        block.into_iter().for_each(Block::free);
    }
    refused
}

/// Takes what is there, and counts what is not.
fn keep(blocks: &mut Vec<Block>, block: Option<Block>) -> usize {
    let refused = usize::from(block.is_none());
    blocks.extend(block);
    refused
}

/// More objects of each class than a magazine has, and with some of them more than a slab; freed out of order.
fn classes() -> usize {
    let (mut blocks, mut refused) = (Vec::with_capacity(1000), 0);
    for (n, size) in [1, 24, 100, 700, 3 * KIB, 9 * KIB, 20 * KIB, 32 * KIB].into_iter().enumerate() {
        let count = if size < KIB { 130 } else { 20 };
        for i in 0..count {
            refused += keep(&mut blocks, Block::new(size, 1 << (i % 5), i % 3 == 0, (n + i) as u8));
        }
    }
    for i in 0..blocks.len() / 2 {
        refused += usize::from(!blocks[i].resize(1 + i * 61 % (20 * KIB)));
    }
    for n in (0..blocks.len()).rev().step_by(2) {
        blocks.swap_remove(n / 2).free();
    }
    HEAP.purge();
    blocks.drain(..).for_each(Block::free);
    refused
}

/// Page runs and large blocks, over again so that freed ones are used.
fn pages() -> usize {
    let (mut blocks, mut refused) = (Vec::with_capacity(100), 0);
    let shapes = [
        (33 * KIB, 8),
        (100 * KIB, 4 * KIB),
        (1000 * KIB, 64 * KIB),
        (3 * MIB, 16),
        (4 * MIB, 8),
        (5 * MIB, 8),
        (5 * MIB, 2 * MIB),
        (13 * MIB, 4 * KIB),
        (100 * KIB, MIB),
    ];
    for round in 0..3 {
        for (n, (size, align)) in shapes.into_iter().enumerate() {
            refused += keep(&mut blocks, Block::new(size - round * 4 * KIB, align, (n + round) % 2 == 0, n as u8));
        }
        for n in [3, 1, 0] {
            if n < blocks.len() {
                blocks.swap_remove(n).free();
            }
        }
        if round == 1 {
            HEAP.purge();
        }
    }
    blocks.drain(..).for_each(Block::free);
    // Zeros where every page was written.
    for size in [2 * MIB, 5 * MIB] {
        let used = Block::new(size, 8, false, 1);
        refused += usize::from(used.is_none());
        used.into_iter().for_each(Block::fill_and_free);
        let zeros = Block::new(size, 8, true, 1);
        refused += usize::from(zeros.is_none());
        zeros.into_iter().for_each(Block::free);
    }
    refused
}

/// Two blocks that grow and shrink through all routes in turn.
fn growth() -> usize {
    let mut refused = 0;
    let (first, second) = (Block::new(100, 8, false, 1), Block::new(40 * KIB, 8, true, 2));
    let mut both = [first, second];
    let sizes = [
        5 * KIB,
        50 * KIB,
        60 * KIB,
        500 * KIB,
        MIB + 1,
        3 * MIB,
        15 * MIB,
        17 * MIB,
        90 * MIB,
        400 * MIB,
        20 * MIB,
        6 * MIB,
        2 * MIB,
        1200 * KIB,
        300 * KIB,
        8 * KIB,
        7 * MIB,
        9 * MIB,
        MIB,
        200,
    ];
    for size in sizes {
        for block in both.iter_mut().flatten() {
            refused += usize::from(!block.resize(size));
        }
    }
    refused += both.iter().filter(|block| block.is_none()).count();
    both.into_iter().flatten().for_each(Block::free);
    refused
}

/// A thread that allocates, frees, ends, and leaves some to the one that started it.
fn threads() -> usize {
    let (refused, left) = thread::spawn(|| {
        let (mut blocks, mut refused) = (Vec::with_capacity(200), 0);
        for n in 0..150 {
            refused += keep(&mut blocks, Block::new(64 * (1 + n % 7) * (1 + n % 40), 8, false, n as u8));
        }
        for n in 0..blocks.len() / 3 {
            blocks.swap_remove(n).free();
        }
        (refused, blocks)
    })
    .join()
    .expect("the thread ends well");
    left.into_iter().for_each(Block::free);
    refused
}

const OPTIONS: [MapOptions; 7] = [
    MapOptions::new(),
    MapOptions::new().guard_pages(1, 1),
    MapOptions::new().guard_pages(1, 2).on_fork(Fork::Wipe).dump(false),
    MapOptions::new().on_fork(Fork::Omit).populate(true),
    MapOptions::new().lock(Lock::OnFault).best_effort(Features::LOCK).align(1 << 16),
    MapOptions::new().name(c"test").numa(Numa::Prefer(1)).best_effort(Features::NAME.union(Features::NUMA)),
    MapOptions::new()
        .lock(Lock::Now)
        .guard_pages(0, 1)
        .populate(true)
        .dump(false)
        .best_effort(Features::LOCK.union(Features::POPULATE).union(Features::DUMP).union(Features::GUARDS)),
];

fn assert_all(bytes: &[u8], expected: u8) {
    assert!(bytes.iter().all(|&byte| byte == expected), "contents changed");
}

/// A mapping through all its changes, each of which either happens or leaves the contents as they were.
fn mapping(options: MapOptions) -> Result<()> {
    let page = page_size();
    let mut pages = options.map(8 * page)?;
    pages.fill(7);
    // Growth: what is new is zero, what was there stays.
    for len in [9 * page, 16 * page, 40 * page] {
        let before = pages.len();
        let grown = if len == 16 * page { pages.grow_in_place(len) } else { pages.grow(len) };
        assert_all(&pages[..8 * page], 7);
        assert_all(&pages[8 * page..], 0);
        assert!(grown.is_err() || pages.len() >= len, "grown to {} from {before}", pages.len());
    }
    pages.fill(7);
    let len = pages.len();
    if pages.decommit(page..len / 2).is_ok() {
        assert_all(&pages[page..len / 2], 0);
        assert_all(&pages[len / 2..], 7);
    }
    assert_all(&pages[..page], 7);
    pages.fill(7);
    _ = pages.advise(0..page, Advice::WillNeed);
    _ = pages.uncommit(6 * page);
    assert_all(&pages[..6 * page], 7);
    _ = pages.commit(7 * page);
    assert_all(&pages[..6 * page], 7);
    _ = pages.shrink(3 * page);
    assert_all(&pages[..3 * page], 7);
    let mut reserved = options.reserve(30 * page)?;
    reserved.commit(2 * page)?;
    reserved.fill(5);
    let outcome = reserved.grow(50 * page).and_then(|()| reserved.shrink(page));
    assert_all(&reserved[..page], 5);
    outcome?;
    let plain = Mapping::new(page)?;
    assert_all(&plain, 0);
    Ok(())
}

/// A vector that grows by moving, shrinks, and becomes other things.
fn vector(options: MapOptions, n: usize) -> Result<()> {
    let mut vec = if n == 0 { PageVec::try_with_capacity(10)? } else { PageVec::with_options(10, options)? };
    let mut outcome = Ok(());
    for i in 0..6000_u32 {
        outcome = vec.try_push(i);
        if outcome.is_err() {
            break;
        }
    }
    let is_right = |vec: &[u32]| assert!(vec.iter().zip(0..).all(|(&element, i)| element == i), "elements changed");
    is_right(&vec);
    vec.truncate(2000);
    vec.shrink_to_fit();
    is_right(&vec);
    _ = vec.try_reserve_exact(1 << 18);
    is_right(&vec);
    let boxed = vec.into_boxed_slice();
    is_right(&boxed);
    let shared = PageVec::from(boxed).into_shared();
    is_right(&shared.slice(..shared.len() / 2));
    outcome
}

/// A vector whose elements stay where they are.
fn stable_vector(options: MapOptions) -> Result<()> {
    let mut vec = PageVec::<u16>::try_with_reserved(40_000, options)?;
    let outcome = vec.try_reserve(10_000);
    if outcome.is_ok() {
        vec.extend(0..10_000);
    }
    vec.truncate(10);
    vec.shrink_to_fit();
    _ = vec.decommit();
    assert!(vec.iter().copied().eq((0..10).take(vec.len())), "elements changed");
    outcome
}

fn boxed(options: MapOptions) -> Result<()> {
    let boxed = PageBox::with_options([3_u8; 9000], options)?;
    assert_all(&*boxed, 3);
    let plain = PageBox::try_new([4_u8; 5000]);
    drop(boxed);
    assert_all(&*plain?, 4);
    Ok(())
}

/// Access taken away and given back. (What a guard opens must be closed again, or the program ends: no fault is borne there.)
fn access() -> Result<()> {
    let mut vec = PageVec::try_with_capacity(10_000)?;
    vec.extend(std::iter::repeat_n(6_u8, 10_000));
    match vec.into_read_only() {
        Ok(frozen) => {
            assert_all(&frozen, 6);
            match frozen.into_writable() {
                Ok(vec) => assert_all(&vec, 6),
                Err(refused) => assert_all(&refused.into_inner(), 6),
            }
        }
        Err(refused) => assert_all(&refused.into_inner(), 6),
    }
    Ok(())
}

/// A child of `fork`, which can do all of the heap's work and drop what it did not get; whether it was refused something.
fn children() -> usize {
    let held = PageBox::with_options([1_u8; 5000], MapOptions::new().on_fork(Fork::Omit));
    let block = Block::new(5000, 8, false, 9);
    let code = in_fork(|| {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            drop(held);
            block.iter().for_each(Block::check);
            a_block_of_each_route()
        }));
        outcome.map_or(101, |refused| i32::from(refused > 0))
    });
    assert!(code == 0 || code == 1, "a child ended with {code}");
    block.into_iter().for_each(Block::free);
    code as usize
}
