//! The handles as `Allocator`s: random sequences of all operations against a model, and the collections of others on them.

#![cfg_attr(feature = "nightly", feature(allocator_api))]

use mapalloc::map::MapOptions;
use mapalloc::{Error, MapAlloc, PageAlloc, page_size};
use proptest::prelude::*;
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::LazyLock;

/// Blocks that no write gets out of unseen.
const GUARDED: MapAlloc = MapAlloc::with_options(MapOptions::new().guard_pages(1, 1).dump(false));

const SLABS: PageAlloc = PageAlloc::new().with_small_limit(0);

/// `excess`: the old layout is the largest that fits, not the one that was asked for.
#[derive(Clone, Debug)]
enum Op {
    Allocate { size: usize, align: usize, zeroed: bool },
    Grow { which: usize, by: usize, align: usize, zeroed: bool, excess: bool },
    Shrink { which: usize, to: usize, align: usize, excess: bool },
    Free { which: usize, excess: bool },
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => Just(0),
        4 => 1..64_usize,
        4 => 64..40_000_usize,
        2 => (1..8_usize).prop_map(|pages| pages * page_size()),
        1 => 40_000..6_000_000_usize,
    ]
}

/// Up to 2 MiB, mostly small.
fn align() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..5_u32, 2 => 5..17_u32, 1 => 17..22_u32].prop_map(|log| 1 << log)
}

fn op() -> impl Strategy<Value = Op> {
    let which = || any::<usize>();
    prop_oneof![
        4 => (size(), align(), any::<bool>()).prop_map(|(size, align, zeroed)| Op::Allocate { size, align, zeroed }),
        4 => (which(), size(), align(), any::<bool>(), any::<bool>())
            .prop_map(|(which, by, align, zeroed, excess)| Op::Grow { which, by, align, zeroed, excess }),
        3 => (which(), any::<usize>(), align(), any::<bool>())
            .prop_map(|(which, to, align, excess)| Op::Shrink { which, to, align, excess }),
        2 => (which(), any::<bool>()).prop_map(|(which, excess)| Op::Free { which, excess }),
    ]
}

/// Blocks are filled and compared in pieces of at most this length.
const CHUNK: usize = 100_003;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Bytes of which no two stretches are alike; a block's begin at its seed.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(next).take(CHUNK + 256).collect()
});

/// A block, all of which is filled from its seed.
struct Block {
    start: NonNull<u8>,
    given: usize,
    layout: Layout,
    seed: u8,
}

impl Block {
    #[track_caller]
    fn new(block: NonNull<[u8]>, layout: Layout, seed: u8) -> Self {
        let (start, given) = (block.cast::<u8>(), block.len());
        assert!(start.addr().get().is_multiple_of(layout.align()), "{start:?} for {layout:?}");
        assert!(given >= layout.size(), "{given} bytes for {layout:?}");
        Self { start, given, layout, seed }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the allocator says that so many bytes are the block's; a block without them is dangling, not null.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.given) }
    }

    fn fill(&mut self) {
        let seed = self.seed;
        for chunk in self.bytes().chunks_mut(CHUNK) {
            chunk.copy_from_slice(&PATTERN[usize::from(seed)..][..chunk.len()]);
        }
    }

    /// The first `len` bytes are as filled from `seed`.
    #[track_caller]
    fn check(&mut self, seed: u8, len: usize) {
        let kept = self.bytes()[..len].chunks(CHUNK).all(|chunk| *chunk == PATTERN[usize::from(seed)..][..chunk.len()]);
        assert!(kept, "not the {len} bytes that were written");
    }

    #[track_caller]
    fn check_zero(&mut self, from: usize) {
        let zero = self.bytes()[from..].chunks(CHUNK).all(|chunk| *chunk == ZEROS[..chunk.len()]);
        assert!(zero, "not zero behind {from} bytes");
    }

    /// A layout that the block fits.
    fn fitting(&self, excess: bool) -> Layout {
        let size = if excess { self.given } else { self.layout.size() };
        Layout::from_size_align(size, self.layout.align()).unwrap()
    }
}

/// Everything that is tested for every trait, with the vectors and boxes that its origin has for it.
macro_rules! on_trait {
    ($name:ident, $($origin:ident)::+, $vec:path, $boxed:path) => {
        mod $name {
            use super::*;
            use $($origin)::+::{AllocError, Allocator};
            use $boxed as Box;
            use $vec as Vec;

            fn run(alloc: impl Allocator, ops: &[Op]) {
                let mut blocks: std::vec::Vec<Block> = std::vec::Vec::new();
                for (op, seed) in ops.iter().zip(0_u8..) {
                    let pick = |which: usize, blocks: &mut std::vec::Vec<Block>| {
                        (!blocks.is_empty()).then(|| blocks.swap_remove(which % blocks.len()))
                    };
                    let mut block = match *op {
                        Op::Allocate { size, align, zeroed } => {
                            let layout = Layout::from_size_align(size, align).unwrap();
                            let block = if zeroed { alloc.allocate_zeroed(layout) } else { alloc.allocate(layout) };
                            let mut block = Block::new(block.unwrap(), layout, seed);
                            if zeroed {
                                block.check_zero(0);
                            }
                            block
                        }
                        Op::Grow { which, by, align, zeroed, excess } => {
                            let Some(old) = pick(which, &mut blocks) else { continue };
                            let fit = old.fitting(excess);
                            let layout = Layout::from_size_align(fit.size() + by, align).unwrap();
                            // SAFETY: the block is the allocator's, the old layout fits it and the new one is not smaller.
                            let grown = unsafe {
                                if zeroed {
                                    alloc.grow_zeroed(old.start, fit, layout)
                                } else {
                                    alloc.grow(old.start, fit, layout)
                                }
                            };
                            let mut block = Block::new(grown.unwrap(), layout, seed);
                            block.check(old.seed, fit.size());
                            if zeroed {
                                block.check_zero(fit.size());
                            }
                            block
                        }
                        Op::Shrink { which, to, align, excess } => {
                            let Some(old) = pick(which, &mut blocks) else { continue };
                            let fit = old.fitting(excess);
                            let layout = Layout::from_size_align(to % (fit.size() + 1), align).unwrap();
                            // SAFETY: the block is the allocator's, the old layout fits it and the new one is not larger.
                            let shrunk = unsafe { alloc.shrink(old.start, fit, layout) };
                            let mut block = Block::new(shrunk.unwrap(), layout, seed);
                            block.check(old.seed, layout.size());
                            block
                        }
                        Op::Free { which, excess } => {
                            let Some(mut old) = pick(which, &mut blocks) else { continue };
                            old.check(old.seed, old.given);
                            // SAFETY: the block is the allocator's and the layout fits it.
                            unsafe { alloc.deallocate(old.start, old.fitting(excess)) };
                            continue;
                        }
                    };
                    block.fill();
                    blocks.push(block);
                }
                for mut block in blocks {
                    block.check(block.seed, block.given);
                    // SAFETY: the block is the allocator's and its layout fits it.
                    unsafe { alloc.deallocate(block.start, block.layout) };
                }
            }

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 48 }))]

                #[test]
                fn any_sequence_on_mappings(ops in prop::collection::vec(op(), 1..40)) {
                    run(MapAlloc::new(), &ops);
                    run(GUARDED, &ops);
                }

                #[test]
                fn any_sequence_on_the_engine(ops in prop::collection::vec(op(), 1..40)) {
                    run(PageAlloc::new(), &ops);
                    run(SLABS, &ops);
                    run(&SLABS, &ops);
                }
            }

            fn refuses(alloc: impl Allocator) {
                let layout = Layout::from_size_align(3_000, 64).unwrap();
                let mut block = Block::new(alloc.allocate(layout).unwrap(), layout, 7);
                block.fill();
                for align in [1, 64, 4096, 1 << 21] {
                    let most = Layout::from_size_align(isize::MAX as usize & !(align - 1), align).unwrap();
                    assert_eq!(alloc.allocate(most), Err(AllocError));
                    assert_eq!(alloc.allocate_zeroed(most), Err(AllocError));
                    // SAFETY: the layout is the block's, and the new one is larger; the block stays the caller's.
                    unsafe {
                        assert_eq!(alloc.grow(block.start, layout, most), Err(AllocError));
                        assert_eq!(alloc.grow_zeroed(block.start, layout, most), Err(AllocError));
                    }
                }
                block.check(7, block.given);
                // SAFETY: as above; nothing has replaced the block.
                unsafe { alloc.deallocate(block.start, layout) };
            }

            #[test]
            fn what_cannot_be_is_an_error_and_changes_nothing() {
                refuses(MapAlloc::new());
                refuses(GUARDED);
                refuses(PageAlloc::new());
                refuses(SLABS);
            }

            #[test]
            fn blocks_without_a_size_are_no_memory() {
                fn empty(alloc: impl Allocator) {
                    for align in [1, 4096, 1 << 30, 1 << 62] {
                        let layout = Layout::from_size_align(0, align).unwrap();
                        let block = alloc.allocate(layout).unwrap();
                        assert_eq!((block.len(), block.cast::<u8>().addr().get() % align), (0, 0));
                        // SAFETY: the block is the allocator's, with this layout.
                        unsafe { alloc.deallocate(block.cast(), layout) };
                    }
                }
                empty(MapAlloc::new());
                empty(GUARDED);
                empty(PageAlloc::new());
                empty(SLABS);
            }

            #[test]
            fn collections_take_both_handles() {
                fn vectors<A: Allocator + Copy>(alloc: A) {
                    let mut vec = Vec::new_in(alloc);
                    vec.extend(0..300_000_u32);
                    vec.truncate(100_000);
                    vec.shrink_to_fit();
                    let copy = vec.clone();
                    assert!(vec.iter().copied().eq(0..100_000));
                    assert_eq!(copy, vec);
                    let boxed = Box::new_in([5_u64; 2_000], alloc);
                    assert_eq!(boxed.iter().sum::<u64>(), 10_000);
                    let nothing = Box::new_in((), alloc);
                    assert_eq!(*nothing, ());
                }
                vectors(MapAlloc::new());
                vectors(GUARDED);
                vectors(PageAlloc::new());
                vectors(SLABS);
                vectors(&SLABS);
            }

            #[test]
            fn the_error_is_the_allocators_as_well() {
                fn allocate() -> Result<(), AllocError> {
                    mapalloc::map::Mapping::new(isize::MAX as usize)?;
                    Ok(())
                }
                assert_eq!(allocate(), Err(AllocError));
                let error: Error = mapalloc::map::Mapping::new(0).unwrap_err();
                assert_eq!(AllocError::from(error), AllocError);
            }
        }
    };
}

on_trait!(api2_02, allocator_api2_02::alloc, allocator_api2_02::vec::Vec, allocator_api2_02::boxed::Box);
on_trait!(api2_04, allocator_api2_04::alloc, allocator_api2_04::vec::Vec, allocator_api2_04::boxed::Box);
#[cfg(feature = "nightly")]
on_trait!(nightly, std::alloc, std::vec::Vec, std::boxed::Box);

/// `hashbrown` goes by version 0.2, and uses what it gets beyond what it asked for.
mod hash_maps {
    use super::*;
    use allocator_api2_02::alloc::Allocator;
    use hashbrown::HashMap;

    fn count<A: Allocator>(alloc: A) {
        let mut map = HashMap::new_in(alloc);
        for n in 0..200_000_u64 {
            *map.entry(n % 50_000).or_insert(0) += n;
        }
        map.retain(|n, _| n % 2 == 0);
        map.shrink_to_fit();
        assert_eq!(map.len(), 25_000);
        assert!(map.iter().all(|(n, sum)| *sum == 4 * n + 300_000));
    }

    #[test]
    fn on_both_handles() {
        count(MapAlloc::new());
        count(GUARDED);
        count(PageAlloc::new());
        count(SLABS);
    }

    #[test]
    fn the_rest_of_the_page_is_capacity() {
        let map: HashMap<u64, u64, _, _> = HashMap::with_capacity_in(1, MapAlloc::new());
        let exact: HashMap<u64, u64, _, _> = HashMap::with_capacity_in(1, SLABS);
        assert!(map.capacity() > 8 * exact.capacity(), "{} and {}", map.capacity(), exact.capacity());
    }
}

/// `blink-alloc` takes its chunks from another allocator, by version 0.4.
#[test]
fn an_arena_takes_its_chunks_from_a_handle() {
    use allocator_api2_04::{alloc::Allocator, vec::Vec};

    fn fill<A: Allocator>(alloc: A) {
        let mut arena = blink_alloc::BlinkAlloc::new_in(alloc);
        for round in 0..3_u64 {
            let mut rows = Vec::new_in(&arena);
            for n in 0..200 {
                let mut row = Vec::new_in(&arena);
                row.extend(n..n + 500 + round);
                rows.push(row);
            }
            assert!(rows.iter().zip(0..).all(|(row, n)| row.iter().copied().eq(n..n + 500 + round)));
            drop(rows);
            arena.reset();
        }
    }
    fill(MapAlloc::new());
    fill(PageAlloc::new());
    fill(SLABS);
}

/// What the kernel and the engine say of the memory.
#[cfg(not(miri))]
mod memory {
    use super::*;
    use allocator_api2_04::alloc::Allocator;
    use allocator_api2_04::vec::Vec;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    /// Whether the mark lies at the address, seen from outside the language.
    fn holds(address: usize, mark: u64) -> bool {
        let mut bytes = [0; 8];
        let memory = File::open("/proc/self/mem").unwrap();
        memory.read_exact_at(&mut bytes, address as u64).is_ok() && u64::from_ne_bytes(bytes) == mark
    }

    #[test]
    fn pages_go_back_at_once() {
        const MARK: u64 = 0x7061_6765_7320_676f;
        let per_page = page_size() / 8;
        let mut vec = Vec::new_in(MapAlloc::new());
        vec.resize(8 * per_page, MARK);
        let (first, last) = (vec.as_ptr().addr(), vec.as_ptr().addr() + 7 * page_size());
        assert!(holds(first, MARK) && holds(last, MARK));
        vec.truncate(per_page);
        vec.shrink_to_fit();
        assert!(!holds(last, MARK), "the end of a block that shrank should be gone");
        assert!(holds(vec.as_ptr().addr(), MARK));
        let first = vec.as_ptr().addr();
        drop(vec);
        assert!(!holds(first, MARK), "a block that was freed should be gone");
    }

    /// The page faults of this thread that needed no reading.
    fn faults() -> i64 {
        // SAFETY: all of it is numbers, which may be zero, and the call fills it in.
        unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
            usage.ru_minflt
        }
    }

    #[test]
    fn growing_moves_pages() {
        let small = Layout::from_size_align(3 << 20, 8).unwrap();
        let large = Layout::from_size_align(600 << 20, 1 << 16).unwrap();
        let alloc = MapAlloc::new();
        let mut block = Block::new(alloc.allocate(small).unwrap(), small, 1);
        block.fill();
        // Whatever lies behind the block, it does not grow there.
        let _obstacle = alloc.allocate(small).unwrap();
        let before = faults();
        // SAFETY: the block has this layout, and the new one is larger.
        let grown = unsafe { alloc.grow_zeroed(block.start, small, large) }.unwrap();
        let faults = faults() - before;
        let pages = (small.size() / page_size()) as i64;
        assert!(faults < pages / 8, "{faults} faults for {pages} pages: a copy");
        let mut grown = Block { start: grown.cast(), given: small.size() + page_size(), layout: large, seed: 1 };
        grown.check(1, small.size());
        grown.check_zero(small.size());
        // SAFETY: the block has this layout.
        unsafe { alloc.deallocate(grown.start, large) };
    }

    #[test]
    fn the_engine_has_what_page_alloc_gives() {
        let live = || SLABS.stats().large.live_bytes;
        let vec: Vec<u8, _> = Vec::with_capacity_in(1 << 30, SLABS);
        assert!(live() >= 1 << 30);
        drop(vec);
        assert!(live() < 1 << 30);
    }
}
