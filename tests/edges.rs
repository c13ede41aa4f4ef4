//! Sizes and alignments at the edges of the routes and of what a layout can say, on the default form and on slabs for every
//! size, called directly.

use mapalloc::map::{MapOptions, Mapping};
use mapalloc::{PageAlloc, PageBox, PageVec, page_size};
use std::alloc::{GlobalAlloc, Layout};

static DEFAULT: PageAlloc = PageAlloc::new();
static SLABS_ONLY: PageAlloc = PageAlloc::new().with_small_limit(0);
static BOTH: [&PageAlloc; 2] = [&DEFAULT, &SLABS_ONLY];

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Where one route ends: the small limit, the classes, runs that grow in place, runs, growth slots.
const ENDS: [usize; 5] = [KIB, 32 * KIB, MIB, 4 * MIB, 16 * MIB];

/// The ends, with what lies next to them.
fn sizes() -> Vec<usize> {
    let page = page_size();
    let around = |end: usize| [end - 1, end, end + 1];
    let mut sizes: Vec<usize> = ENDS.into_iter().chain([page]).flat_map(around).collect();
    sizes.push(1);
    sizes
}

struct Block {
    heap: &'static PageAlloc,
    ptr: *mut u8,
    layout: Layout,
}

/// Every byte at the start, a few in each page, or in each sixth of a large block, and the last one.
fn places(size: usize) -> impl Iterator<Item = usize> {
    let step = if size > MIB { 6 * 4096 } else { 509 };
    (0..size.min(100)).chain((0..size).step_by(step)).chain([size - 1])
}

fn expected(at: usize) -> u8 {
    (at as u8).wrapping_add((at >> 12) as u8) | 1
}

impl Block {
    fn new(heap: &'static PageAlloc, size: usize, align: usize, zeroed: bool) -> Option<Self> {
        let layout = Layout::from_size_align(size, align).expect("a layout");
        // SAFETY: no size is zero.
        let ptr = unsafe { if zeroed { heap.alloc_zeroed(layout) } else { heap.alloc(layout) } };
        let block = Self { heap, ptr, layout };
        assert_eq!(ptr.addr() % align, 0, "{layout:?} at {ptr:?}");
        (!ptr.is_null()).then_some(block)
    }

    fn byte(&self, at: usize) -> u8 {
        assert!(at < self.layout.size());
        // SAFETY: within the block, which is this value's, and is read only where it was written or zeroed.
        unsafe { self.ptr.add(at).read() }
    }

    fn fill(&mut self) {
        for at in places(self.layout.size()) {
            // SAFETY: `places` are within the block.
            unsafe { self.ptr.add(at).write(expected(at)) };
        }
    }

    fn realloc(&mut self, size: usize) -> bool {
        // SAFETY: the block is live with this layout; the size is neither zero nor too large.
        let ptr = unsafe { self.heap.realloc(self.ptr, self.layout, size) };
        if ptr.is_null() {
            return false;
        }
        assert_eq!(ptr.addr() % self.layout.align(), 0, "{:?} to {size}", self.layout);
        self.ptr = ptr;
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("a layout");
        true
    }

    fn free(self) {
        // SAFETY: the block is live with this layout, and gone after this.
        unsafe { self.heap.dealloc(self.ptr, self.layout) };
    }
}

#[test]
fn every_size_at_an_end_has_every_byte_and_is_zero_where_it_must_be() {
    for heap in BOTH {
        for size in sizes() {
            for align in [1, 8, 16, 32, page_size(), 64 * KIB, 2 * MIB] {
                // The second one finds what the first has left.
                for zeroed in [false, true, true] {
                    let mut block = Block::new(heap, size, align, zeroed).expect("so much memory");
                    if zeroed {
                        let other = places(size).find(|&at| block.byte(at) != 0);
                        assert_eq!(other, None, "{size} bytes at {align} are not zero");
                    }
                    block.fill();
                    assert!(places(size).all(|at| block.byte(at) == expected(at)));
                    block.free();
                }
            }
        }
    }
}

#[test]
fn from_every_size_to_every_other() {
    for heap in BOTH {
        for align in [8, page_size(), 2 * MIB] {
            for from in sizes() {
                for to in sizes() {
                    let mut block = Block::new(heap, from, align, false).expect("so much memory");
                    block.fill();
                    assert!(block.realloc(to), "{from} to {to} at {align}");
                    let kept = from.min(to);
                    let changed = places(from).find(|&at| at < kept && block.byte(at) != expected(at));
                    assert_eq!(changed, None, "{from} to {to} bytes at {align}");
                    block.fill();
                    block.free();
                }
            }
        }
    }
}

#[test]
fn every_alignment_up_to_a_gigabyte() {
    for heap in BOTH {
        for align in (0..=30).map(|shift| 1 << shift) {
            for size in [1, page_size() - 1, page_size(), page_size() + 1, 5 * MIB] {
                let Some(mut block) = Block::new(heap, size, align, true) else {
                    // Twice the alignment in addresses: more than a machine with a limit has.
                    assert!(align >= 64 * MIB, "{size} bytes at {align}");
                    eprintln!("no room for {size} bytes at a multiple of {align}");
                    continue;
                };
                assert_eq!((block.byte(0), block.byte(size - 1)), (0, 0));
                block.fill();
                for other in [size + 1, 2 * size, 1] {
                    let before = block.layout.size();
                    if block.realloc(other) {
                        let kept = before.min(other).min(100);
                        assert!((0..kept).all(|at| block.byte(at) == expected(at)), "{before} to {other} at {align}");
                        block.fill();
                    }
                }
                block.free();
            }
        }
    }
    SLABS_ONLY.purge();
}

#[test]
fn the_largest_size_of_each_alignment_is_null() {
    for heap in BOTH {
        for align in (0..=30).map(|shift| 1_usize << shift) {
            let largest = isize::MAX as usize & !(align - 1);
            for size in [largest, largest - align.min(page_size()), largest / 2 + 1] {
                for zeroed in [false, true] {
                    assert!(Block::new(heap, size, align, zeroed).is_none(), "{size} bytes at {align}");
                }
                for held in [100, 5 * KIB, 100 * KIB, 2 * MIB, 5 * MIB] {
                    let mut block = Block::new(heap, held, align.min(64 * KIB), false).expect("so much memory");
                    block.fill();
                    assert!(!block.realloc(isize::MAX as usize & !(64 * KIB - 1)), "{held} to the largest size");
                    let changed = places(held).find(|&at| block.byte(at) != expected(at));
                    assert_eq!(changed, None, "a refused reallocation of {held} bytes");
                    block.free();
                }
            }
        }
    }
}

#[test]
fn nothing_is_a_size_of_containers() {
    // `GlobalAlloc` is never asked for it; pages are.
    assert!(Mapping::new(0).is_err());
    assert!(MapOptions::new().reserve(0).is_err());
    let mut bytes = PageVec::<u8>::new();
    bytes.shrink_to_fit();
    assert_eq!((bytes.len(), bytes.capacity()), (0, 0));
    for len in [0, 1, page_size() - 1, page_size(), page_size() + 1, 0] {
        bytes.resize(len, 7);
        bytes.shrink_to_fit();
        assert!(bytes.len() == len && bytes.iter().all(|&byte| byte == 7));
        let boxed = bytes.into_boxed_slice();
        assert_eq!(boxed.len(), len);
        bytes = PageVec::from(boxed);
    }
    let mut units = PageVec::<()>::new();
    units.resize(1 << 20, ());
    units.shrink_to_fit();
    assert_eq!(units.len(), 1 << 20);
    drop(PageBox::new(()));
    drop(PageBox::new([0_u64; 0]));
    assert_eq!(PageBox::<[u64]>::try_new_uninit_slice(0).expect("no memory is needed").len(), 0);
    assert!(PageVec::<u8>::try_with_capacity(isize::MAX as usize).is_err());
    assert!(PageVec::<u64>::try_with_capacity(usize::MAX / 8 + 1).is_err());
    assert!(PageBox::<[u8]>::try_new_uninit_slice(isize::MAX as usize - page_size()).is_err());
    assert!(bytes.try_reserve(usize::MAX).is_err() && bytes.is_empty());
}
