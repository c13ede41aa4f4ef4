//! The work of each row of the table, through the global allocator as any program would do it.
//!
//! Pointers go through `black_box`, since a compiler may leave out an allocation that nobody looks at; what is written is
//! checked before it is freed.

use crate::probe::Probe;
use mapalloc::PageVec;
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::hint::black_box;
use std::sync::mpsc::sync_channel;
use std::thread;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const PAGE: usize = 4 * KIB;

/// One line of a table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What `run` does this many times: the table has the time of one.
    pub(crate) operations: usize,
    pub(crate) run: fn(&Probe),
}

const fn row(name: &'static str, operations: usize, run: fn(&Probe)) -> Row {
    Row { name, operations, run }
}

/// Malloc against `PageAlloc`.
pub(crate) const HEAPS: [Row; 14] = [
    row("64 B, alloc and free", 2_000_000, |probe| churn(probe, layout(64, 8), 64, 2_000_000)),
    row("16 B to 1 KiB, 100,000 live", 1_000_000, population),
    row("4 KiB, alloc and free", 1_000_000, |probe| churn(probe, layout(4 * KIB, 8), 64, 1_000_000)),
    row("8 KiB page-aligned, alloc and free", 300_000, |probe| churn(probe, layout(8 * KIB, PAGE), 64, 300_000)),
    row("64 KiB page-aligned, alloc and free", 50_000, |probe| churn(probe, layout(64 * KIB, PAGE), 64, 50_000)),
    row("1 MiB, all pages touched", 500, |probe| churn(probe, layout(MIB, 8), 1, 500)),
    row("64 MiB, all pages touched", 4, |probe| churn(probe, layout(64 * MIB, 8), 1, 4)),
    row("256 KiB zeroed, all pages touched", 2_000, |probe| zeroed(probe, 256 * KIB, PAGE, 2_000)),
    row("64 MiB zeroed, a page in each MiB touched", 50, |probe| zeroed(probe, 64 * MIB, MIB, 50)),
    row("Vec pushed to 512 MiB", 1, |probe| grow(probe, Vec::new(), Vec::push)),
    row("1,000 Vecs growing to 200 KiB together", 1, many_vectors),
    row("Vec to 16 MiB in steps of 4 KiB", 4096, small_steps),
    row("freed on another thread, 16 B to 2 KiB", 400_000, |probe| hand_over(probe, 400_000, 2 * KIB)),
    row("freed on another thread, 64 KiB", 20_000, |probe| hand_over(probe, 20_000, 64 * KIB)),
];

/// Objects of one size: where malloc stops being the better home for them.
pub(crate) const SIZES: [Row; 8] = [
    of_size::<32>("32 B"),
    of_size::<72>("72 B"),
    of_size::<256>("256 B"),
    of_size::<512>("512 B"),
    of_size::<1024>("1,024 B"),
    of_size::<1040>("1,040 B"),
    of_size::<2048>("2 KiB"),
    of_size::<4096>("4 KiB"),
];

/// What must not cost more where there is more of everything.
pub(crate) const SCALE: [Row; 10] = [
    live_objects::<1_000>("1,000 live objects of 64 bytes"),
    live_objects::<10_000>("10,000 live objects of 64 bytes"),
    live_objects::<100_000>("100,000 live objects of 64 bytes"),
    live_objects::<1_000_000>("1,000,000 live objects of 64 bytes"),
    live_objects::<10_000_000>("10,000,000 live objects of 64 bytes"),
    live_mappings::<1>("1 live mapping of 5 MiB"),
    live_mappings::<100>("100 live mappings of 5 MiB"),
    live_mappings::<10_000>("10,000 live mappings of 5 MiB"),
    row("alone, 64 bytes", 4_000_000, |probe| together(probe, 1)),
    row("two threads, 64 bytes each", 4_000_000, |probe| together(probe, 2)),
];

/// The oldest of so many is freed, and a new one made.
const fn live_objects<const LIVE: usize>(name: &'static str) -> Row {
    const fn count(live: usize) -> usize {
        if live < 1_000_000 { 4_000_000 } else { 4 * live }
    }
    row(name, count(LIVE), |probe| churn(probe, layout(64, 8), LIVE, count(LIVE)))
}

/// So many stay, untouched; one more is made and freed again and again, its first byte written.
const fn live_mappings<const LIVE: usize>(name: &'static str) -> Row {
    const COUNT: usize = 2_000_000;
    row(name, COUNT, |probe| {
        let layout = layout(5 * MIB, 8);
        let make = || {
            // SAFETY: the size is not 0.
            let ptr = black_box(unsafe { alloc(layout) });
            assert!(!ptr.is_null(), "out of memory");
            ptr
        };
        let live: Vec<*mut u8> = (0..LIVE).map(|_| make()).collect();
        for number in 0..COUNT {
            let ptr = make();
            // SAFETY: allocated with this layout, and freed once.
            unsafe {
                ptr.write_volatile(number as u8);
                dealloc(ptr, layout);
            }
        }
        probe.at_peak();
        // SAFETY: as above.
        live.into_iter().for_each(|ptr| unsafe { dealloc(ptr, layout) });
    })
}

/// So many threads at the same time, each with a few objects that it replaces.
fn together(probe: &Probe, threads: usize) {
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut ring: Vec<Option<Object>> = (0..64).map(|_| None).collect();
                for number in 0..4_000_000 {
                    ring[number % 64] = None;
                    ring[number % 64] = Some(Object::new(layout(64, 8), number));
                }
            });
        }
    });
    probe.at_peak();
}

const LIVE_BYTES: usize = 32 * MIB;

const fn of_size<const SIZE: usize>(name: &'static str) -> Row {
    row(name, 5 * (LIVE_BYTES / SIZE), |probe| {
        let mut objects: Vec<_> = (0..LIVE_BYTES / SIZE).map(|number| Object::new(layout(SIZE, 8), number)).collect();
        let mut choose = Random(4);
        for number in 0..4 * objects.len() {
            let place = choose.below(objects.len());
            objects[place] = Object::new(layout(SIZE, 8), number);
        }
        probe.at_peak();
    })
}

/// `Vec` on malloc against `PageVec`: the two have the same name and place.
pub(crate) const VEC: [Row; 4] = [
    row(CONTAINERS[0], 1, |probe| grow(probe, Vec::new(), Vec::push)),
    row(CONTAINERS[1], 1, |probe| {
        let mut vec = Vec::new();
        slices(probe, |slice| vec.extend_from_slice(slice));
        assert_eq!(vec[vec.len() - 1], CHUNK as u64 - 1);
    }),
    row(CONTAINERS[2], 1, |probe| {
        let vec: Vec<u64> = (0..64 * MIB as u64 / 8).collect();
        copies(probe, || black_box(&vec).clone()[5], vec[5]);
    }),
    row(CONTAINERS[3], 10, |probe| {
        for _ in 0..10 {
            let mut vec = vec![0_u8; 64 * MIB];
            touch_some(probe, &mut vec);
        }
    }),
];

/// The same for `PageVec`.
pub(crate) const PAGE_VEC: [Row; 4] = [
    row(CONTAINERS[0], 1, |probe| grow(probe, PageVec::new(), PageVec::push)),
    row(CONTAINERS[1], 1, |probe| {
        let mut vec = PageVec::new();
        slices(probe, |slice| vec.extend_from_slice(slice));
        assert_eq!(vec[vec.len() - 1], CHUNK as u64 - 1);
    }),
    row(CONTAINERS[2], 1, |probe| {
        let vec: PageVec<u64> = (0..64 * MIB as u64 / 8).collect();
        copies(probe, || black_box(&vec).clone()[5], vec[5]);
    }),
    row(CONTAINERS[3], 10, |probe| {
        for _ in 0..10 {
            // SAFETY: a zero byte is a `u8`.
            let mut vec: PageVec<u8> = unsafe { PageVec::zeroed_unchecked(64 * MIB) };
            touch_some(probe, &mut vec);
        }
    }),
];

const CONTAINERS: [&str; 4] = [
    "pushed to 512 MiB",
    "extended to 256 MiB by 64 KiB",
    "64 MiB made and cloned",
    "64 MiB of zeros, a page in each MiB touched",
];

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

/// An allocation with its number in each page.
struct Object {
    ptr: *mut u8,
    layout: Layout,
    number: usize,
}

// SAFETY: an object owns its memory, as a `Box<[u8]>` does.
unsafe impl Send for Object {}

impl Object {
    fn new(layout: Layout, number: usize) -> Self {
        // SAFETY: no layout of this program is of size 0.
        let ptr = black_box(unsafe { alloc(layout) });
        assert!(!ptr.is_null(), "out of memory");
        for at in (0..layout.size()).step_by(PAGE) {
            // SAFETY: sizes are multiples of 16 and at least that, so each page has room for a byte inside the object.
            unsafe { ptr.add(at).write_volatile(number as u8) };
        }
        Self { ptr, layout, number }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        for at in (0..self.layout.size()).step_by(PAGE) {
            // SAFETY: as in `new`, which has written these bytes.
            let found = unsafe { self.ptr.add(at).read_volatile() };
            assert_eq!(found, self.number as u8, "contents changed");
        }
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(black_box(self.ptr), self.layout) };
    }
}

/// `count` times an object is made and, when `live` newer ones are there, freed.
fn churn(probe: &Probe, layout: Layout, live: usize, count: usize) {
    let mut ring: Vec<Option<Object>> = (0..live).map(|_| None).collect();
    for number in 0..count {
        let place = &mut ring[number % live];
        // Freed first, so that no more than `live` are there at a time.
        drop(place.take());
        *place = Some(Object::new(layout, number));
    }
    probe.at_peak();
}

/// A program's heap: many objects of mixed sizes, one in the place of another.
fn population(probe: &Probe) {
    let mut random = Random(1);
    let mut make = |number| Object::new(layout(16 * (1 + random.below(64)), 8), number);
    let mut objects: Vec<_> = (0..100_000).map(&mut make).collect();
    let mut choose = Random(2);
    for number in 0..900_000 {
        let place = choose.below(objects.len());
        objects[place] = make(number);
    }
    probe.at_peak();
}

fn zeroed(probe: &Probe, size: usize, step: usize, count: usize) {
    let layout = layout(size, 8);
    for _ in 0..count {
        // SAFETY: the size is not 0.
        let ptr = black_box(unsafe { alloc_zeroed(layout) });
        assert!(!ptr.is_null(), "out of memory");
        for at in (0..size).step_by(step) {
            // SAFETY: inside the allocation, which is zeroed.
            unsafe {
                assert_eq!(ptr.add(at).read_volatile(), 0, "not zero");
                ptr.add(at).write_volatile(1);
            }
        }
        probe.at_peak();
        // SAFETY: allocated above with this layout.
        unsafe { dealloc(black_box(ptr), layout) };
    }
}

fn grow<V: std::ops::Deref<Target = [u64]>>(probe: &Probe, mut vec: V, push: fn(&mut V, u64)) {
    const COUNT: usize = 512 * MIB / 8;
    for n in 0..COUNT {
        push(&mut vec, n as u64);
    }
    probe.at_peak();
    for at in (0..COUNT).step_by(509) {
        assert_eq!(vec[at], at as u64, "contents changed");
    }
}

fn many_vectors(probe: &Probe) {
    let mut vecs: Vec<Vec<[usize; 8]>> = (0..1000).map(|_| Vec::new()).collect();
    for n in 0..200 * KIB / 64 {
        for vec in &mut vecs {
            vec.push([n; 8]);
        }
    }
    probe.at_peak();
    for vec in &vecs {
        assert!(vec.iter().step_by(61).enumerate().all(|(n, chunk)| chunk[7] == n * 61), "contents changed");
    }
}

fn small_steps(probe: &Probe) {
    let mut vec: Vec<u8> = Vec::new();
    for step in 0..16 * MIB / PAGE {
        vec.reserve_exact(PAGE);
        vec.resize(vec.len() + PAGE, step as u8);
    }
    probe.at_peak();
    assert!((0..16 * MIB / PAGE).all(|step| vec[step * PAGE + 5] == step as u8), "contents changed");
}

/// One thread allocates, another frees, in batches, so that the channel costs little.
fn hand_over(probe: &Probe, count: usize, largest: usize) {
    const BATCH: usize = 200;
    let (sender, receiver) = sync_channel::<Vec<Object>>(4);
    thread::scope(|scope| {
        scope.spawn(move || receiver.iter().for_each(drop));
        let mut random = Random(3);
        for batch in 0..count / BATCH {
            let objects = (0..BATCH).map(|n| {
                let size = if largest > 2 * KIB { largest } else { 16 * (1 + random.below(largest / 16)) };
                Object::new(layout(size, 8), batch + n)
            });
            sender.send(objects.collect()).expect("the other thread lives");
        }
        probe.at_peak();
        drop(sender);
    });
}

const CHUNK: usize = 64 * KIB / 8;

fn slices(probe: &Probe, mut extend: impl FnMut(&[u64])) {
    let chunk: Vec<u64> = (0..CHUNK as u64).collect();
    for _ in 0..256 * MIB / (64 * KIB) {
        extend(black_box(&chunk));
    }
    probe.at_peak();
}

fn copies(probe: &Probe, mut copy: impl FnMut() -> u64, expected: u64) {
    assert_eq!(copy(), expected, "contents changed");
    probe.at_peak();
}

fn touch_some(probe: &Probe, bytes: &mut [u8]) {
    for at in (0..bytes.len()).step_by(MIB) {
        assert_eq!(std::mem::replace(&mut black_box(&mut *bytes)[at], 1), 0, "not zero");
    }
    probe.at_peak();
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}
