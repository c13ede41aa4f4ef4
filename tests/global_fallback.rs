//! A fallback of the program's own, which sees to it that it gets what is its, and nothing else.

use global::{Block, Random};
use mapalloc::PageAlloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

mod global;

#[global_allocator]
static GLOBAL: PageAlloc<Checked> =
    PageAlloc::with_fallback(Checked).with_small_limit(SMALL_LIMIT).with_fallback_counts(true);

/// The largest size on the fallback heap.
const SMALL_LIMIT: usize = 512;
const FALLBACK_IS_USED: bool = true;

/// A heap that puts a header in front of each block, and ends the process if it is handed a block or a layout that it
/// has not given out.
#[derive(Clone, Copy)]
struct Checked;

struct Header {
    magic: u64,
    size: usize,
}

const LIVE: u64 = 0x6c69_7665_2062_6c6b;

thread_local! {
    /// Calls on this thread. Other threads of the test harness allocate as they please.
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

impl Checked {
    /// The layout with room for the header, which ends where the block begins.
    fn with_header(layout: Layout) -> Option<(Layout, usize)> {
        let room = layout.align().max(size_of::<Header>());
        Some((Layout::from_size_align(layout.size().checked_add(room)?, room).ok()?, room))
    }

    fn count(size: usize) {
        // A thread that is ending may have lost them; then there is no one to look.
        _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
    }
}

// SAFETY: blocks are the system's, whole behind a header of a multiple of their alignment.
unsafe impl GlobalAlloc for Checked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        let Some((whole, room)) = Self::with_header(layout) else { return std::ptr::null_mut() };
        // SAFETY: the size is not zero.
        let start = unsafe { System.alloc(whole) };
        if start.is_null() {
            return start;
        }
        // SAFETY: the block has `room` bytes in front, which hold a header and are aligned for it.
        unsafe {
            let ptr = start.add(room);
            ptr.cast::<Header>().sub(1).write(Header { magic: LIVE, size: layout.size() });
            ptr
        }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        Self::count(layout.size());
        let Some((whole, room)) = Self::with_header(layout) else { std::process::abort() };
        // SAFETY: a block from `alloc` has a header in front, and is the system's from `room` bytes before it.
        unsafe {
            let header = ptr.cast::<Header>().sub(1);
            let Header { magic, size } = header.read();
            if magic != LIVE || size != layout.size() {
                let message = b"the fallback was handed a block that is not its own\n";
                libc::write(2, message.as_ptr().cast(), message.len());
                std::process::abort();
            }
            header.write(Header { magic: 0, size: 0 });
            System.dealloc(ptr.sub(room), whole);
        }
    }
}

/// The fallback's calls on this thread during `body`, and the largest size among them.
fn calls_of(body: impl FnOnce()) -> (u64, usize) {
    let before = CALLS.get();
    LARGEST.set(0);
    body();
    (CALLS.get() - before, LARGEST.get())
}

#[test]
fn the_fallback_gets_what_is_small() {
    let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
    for size in [1, 8, 100, SMALL_LIMIT] {
        let calls = calls_of(|| Block::new(layout(size), size % 2 == 0, 1).free());
        assert_eq!(calls, (2, size), "{size} bytes");
    }
}

#[test]
fn the_fallback_gets_nothing_that_is_larger() {
    let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
    for size in [SMALL_LIMIT + 1, 1000, 5000, 100_000, 5 << 20] {
        let calls = calls_of(|| Block::new(layout(size), size % 2 == 0, 1).free());
        assert_eq!(calls, (0, 0), "{size} bytes");
    }
    let mut random = Random::new(1);
    let (_, largest) = calls_of(|| {
        for seed in 0..200 {
            let mut block = Block::new(random.layout(1 << 20), false, seed);
            block.resize(random.size(1 << 20));
            block.free();
        }
    });
    assert!(largest <= SMALL_LIMIT, "{largest} bytes on the fallback");
}

#[test]
fn a_block_that_grows_leaves_the_fallback_and_comes_back() {
    let layout = Layout::from_size_align(100, 8).expect("a layout");
    let mut block = Block::new(layout, false, 1);
    block.resize(100_000);
    let (calls, _) = calls_of(|| block.resize(200_000));
    assert_eq!(calls, 0);
    let (calls, size) = calls_of(|| block.resize(50));
    assert_eq!((calls, size), (1, 50));
    block.free();
}
