//! Each route of `PageAlloc` against malloc, called through `GlobalAlloc` as a handle.
//!
//! ```text
//! cargo bench --bench alloc                      # all of it
//! cargo bench --bench alloc -- 'small'           # one group
//! cargo bench --bench alloc -- 'zeroed/.*/malloc'
//! ```
//!
//! Criterion measures one allocator after the other, not in turns, and all in one process, where each meets what the ones
//! before have left. So these figures are for finding out what a change did to one route; for ratios between allocators
//! use `cargo run --release --example compare`, which takes turns in processes of their own.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mapalloc::PageAlloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const PAGE: usize = 4 * KIB;

static DEFAULT: PageAlloc = PageAlloc::new();
static SLABS_ONLY: PageAlloc = PageAlloc::new().with_small_limit(0);

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

/// Runs `$body` with `$heap` bound to each allocator in turn. A macro and not `dyn`: a global allocator's calls are
/// direct, so these should be too.
macro_rules! each_heap {
    (|$name:ident, $heap:ident| $body:expr) => {{
        {
            let ($name, $heap) = ("malloc", &System);
            $body;
        }
        {
            let ($name, $heap) = ("PageAlloc", &DEFAULT);
            $body;
        }
        {
            let ($name, $heap) = ("PageAlloc slabs", &SLABS_ONLY);
            $body;
        }
    }};
}

/// A block and its layout. Not a guard: what is measured is the call, and where it is.
struct Block(*mut u8, Layout);

// SAFETY: a block owns its memory, as a `Box<[u8]>` does.
unsafe impl Send for Block {}

#[inline]
fn alloc(heap: &impl GlobalAlloc, layout: Layout) -> Block {
    // SAFETY: no layout here is of size 0.
    let ptr = black_box(unsafe { heap.alloc(black_box(layout)) });
    assert!(!ptr.is_null());
    Block(ptr, layout)
}

#[inline]
fn free(heap: &impl GlobalAlloc, block: Block) {
    // SAFETY: every caller frees to the heap that the block is from, once, with its layout.
    unsafe { heap.dealloc(block.0, block.1) };
}

/// Writes a byte every `step`.
fn touch(block: &Block, from: usize, step: usize) {
    for at in (from..block.1.size()).step_by(step) {
        // SAFETY: inside the block.
        unsafe { block.0.add(at).write_volatile(1) };
    }
}

fn pair(group: &mut BenchmarkGroup<'_, WallTime>, id: String, layout: Layout, step: Option<usize>) {
    each_heap!(|name, heap| group.bench_function(BenchmarkId::new(&id, name), |b| {
        b.iter(|| {
            let block = alloc(heap, layout);
            if let Some(step) = step {
                touch(&block, 0, step);
            }
            free(heap, block);
        });
    }));
}

fn sizes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("small");
    for size in [16, 64, 256, 1024] {
        pair(&mut group, format!("{size} B"), layout(size, 8), None);
    }
    group.finish();
    let mut group = criterion.benchmark_group("slab");
    for kib in [2, 8, 32] {
        pair(&mut group, format!("{kib} KiB"), layout(kib * KIB, 8), None);
    }
    group.finish();
    let mut group = criterion.benchmark_group("page-aligned");
    for kib in [4, 16, 64] {
        pair(&mut group, format!("{kib} KiB"), layout(kib * KIB, PAGE), None);
    }
    group.finish();
    let mut group = criterion.benchmark_group("large");
    for mib in [1, 8, 64] {
        pair(&mut group, format!("{mib} MiB untouched"), layout(mib * MIB, 8), None);
        pair(&mut group, format!("{mib} MiB touched"), layout(mib * MIB, 8), Some(PAGE));
    }
    group.finish();
}

fn zeroed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("zeroed");
    for (id, size) in [("64 KiB", 64 * KIB), ("1 MiB", MIB), ("64 MiB", 64 * MIB)] {
        for sparse in [false, true] {
            let id = format!("{id} {}", if sparse { "sparse" } else { "untouched" });
            each_heap!(|name, heap| group.bench_function(BenchmarkId::new(&id, name), |b| {
                b.iter(|| {
                    let layout = layout(size, 8);
                    // SAFETY: the size is not 0.
                    let block = Block(black_box(unsafe { heap.alloc_zeroed(black_box(layout)) }), layout);
                    assert!(!block.0.is_null());
                    if sparse {
                        touch(&block, 100, size / 16);
                    }
                    free(heap, block);
                });
            }));
        }
    }
    group.finish();
}

/// The size after this one.
type Next = fn(usize) -> usize;

fn growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("realloc");
    let steps: [(&str, usize, Next); 2] = [
        ("doubling to 64 MiB", 64 * MIB, |size| size * 2),
        ("steps of 16 KiB to 8 MiB", 8 * MIB, |size| size + 16 * KIB),
    ];
    for (id, end, next) in steps {
        group.throughput(Throughput::Bytes(end as u64));
        each_heap!(|name, heap| group.bench_function(BenchmarkId::new(id, name), |b| {
            b.iter(|| {
                let mut block = alloc(heap, layout(64, 8));
                let mut written = 0;
                while block.1.size() < end {
                    touch(&block, written, PAGE);
                    written = block.1.size().next_multiple_of(PAGE);
                    let size = next(block.1.size()).min(end);
                    // SAFETY: the block is live with this layout; the new size is neither 0 nor too large.
                    let ptr = black_box(unsafe { heap.realloc(block.0, block.1, size) });
                    assert!(!ptr.is_null());
                    block = Block(ptr, layout(size, 8));
                }
                // SAFETY: the first byte was written before the first growth.
                assert_eq!(unsafe { block.0.read() }, 1);
                free(heap, block);
            });
        }));
    }
    group.finish();
}

/// A batch of random sizes, freed in another order than made.
fn batches(criterion: &mut Criterion) {
    const COUNT: usize = 1000;
    let mut group = criterion.benchmark_group("batch");
    group.throughput(Throughput::Elements(COUNT as u64));
    for (id, largest) in [("16 B to 1 KiB", KIB), ("16 B to 32 KiB", 32 * KIB), ("16 B to 256 KiB", 256 * KIB)] {
        // The same sizes for every allocator: a power of two and a part of it, so that small ones are the most.
        let mut state = 1_u64;
        let mut random = move |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % end
        };
        let layouts: Vec<Layout> = (0..COUNT)
            .map(|_| {
                let scale = 16 << random(largest.ilog2() as usize - 3);
                layout((scale + random(scale)).min(largest), 8)
            })
            .collect();
        let mut order: Vec<usize> = (0..COUNT).collect();
        (1..COUNT).for_each(|i| order.swap(i, random(i + 1)));
        each_heap!(|name, heap| group.bench_function(BenchmarkId::new(id, name), |b| {
            let mut blocks: Vec<Option<Block>> = Vec::with_capacity(COUNT);
            b.iter(|| {
                blocks.clear();
                blocks.extend(layouts.iter().map(|&layout| Some(alloc(heap, layout))));
                for &i in &order {
                    free(heap, blocks[i].take().expect("each index once"));
                }
            });
        }));
    }
    group.finish();
}

/// One thread allocates, another frees; batches of 200 through a channel, so that the channel costs little.
fn across_threads(criterion: &mut Criterion) {
    const BATCH: usize = 200;
    let mut group = criterion.benchmark_group("freed elsewhere");
    group.throughput(Throughput::Elements(BATCH as u64));
    for size in [64, KIB, 8 * KIB, 64 * KIB] {
        each_heap!(|name, heap| {
            let (sender, receiver) = sync_channel::<Vec<Block>>(4);
            thread::scope(|scope| {
                scope.spawn(move || receiver.into_iter().flatten().for_each(|block| free(heap, block)));
                group.bench_function(BenchmarkId::new(format!("{size} B"), name), |b| {
                    b.iter(|| {
                        let blocks = (0..BATCH).map(|_| alloc(heap, layout(size, 8))).collect();
                        sender.send(blocks).expect("the other thread lives");
                    });
                });
                drop(sender);
            });
        });
    }
    group.finish();
}

/// Short times: the whole file is to be done in a few minutes.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(400))
}

criterion_group! {
    name = benches;
    config = short();
    targets = sizes, zeroed, growth, batches, across_threads
}
criterion_main!(benches);
