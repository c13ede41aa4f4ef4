//! A plugin with a `PageAlloc` of its own, apart from whatever the host has: it allocates on every route, in its host's
//! threads and in its own, and frees all of it.
//!
//! It uses nothing of the standard library that has a destructor for each thread: such a destructor keeps a library loaded
//! for as long as the thread lives.

use mapalloc::PageAlloc;
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::ffi::c_void;
use std::ptr::{null, null_mut};

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_small_limit(0);

/// Objects, runs of pages, a growth slot, and mappings of their own.
const SIZES: [usize; 8] = [24, 700, 5 << 10, 30 << 10, 100 << 10, 900 << 10, 3 << 20, 12 << 20];

/// Allocates, checks and frees on every route; whether all was as it should be.
fn exercise(byte: u8) -> bool {
    let mut blocks = [(null_mut::<u8>(), 0); SIZES.len() * 3];
    for (n, block) in blocks.iter_mut().enumerate() {
        let size = SIZES[n % SIZES.len()];
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        // SAFETY: no size is zero; the block is written within its size.
        unsafe {
            let start = if n % 2 == 0 { alloc(layout) } else { alloc_zeroed(layout) };
            if start.is_null() || (n % 2 == 1 && *start.add(size / 2) != 0) {
                return false;
            }
            start.write(byte);
            start.add(size - 1).write(byte ^ n as u8);
            *block = (start, size);
        }
    }
    let mut right = true;
    for (n, &(start, size)) in blocks.iter().enumerate() {
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        // SAFETY: allocated above with this layout; every second is half as large again before it is freed.
        unsafe {
            right &= *start == byte && *start.add(size - 1) == byte ^ n as u8;
            if n % 2 == 0 {
                let grown = realloc(start, layout, size / 2 * 3);
                right &= !grown.is_null() && *grown == byte && *grown.add(size - 1) == byte ^ n as u8;
                dealloc(grown, Layout::from_size_align_unchecked(size / 2 * 3, 8));
            } else {
                dealloc(start, layout);
            }
        }
    }
    right
}

extern "C" fn thread(byte: *mut c_void) -> *mut c_void {
    std::ptr::without_provenance_mut(usize::from(exercise(byte.addr() as u8)))
}

/// Does the plugin's work in the calling thread, and in as many threads of its own as it is told; 1 if all was well.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_work(byte: u8, threads: u32) -> i32 {
    let mut right = exercise(byte);
    for n in 0..threads {
        let mut id = 0;
        let mut answer = null_mut();
        // SAFETY: both are live; the thread is joined once.
        unsafe {
            let argument = std::ptr::without_provenance_mut(usize::from(byte.wrapping_add(n as u8)));
            if libc::pthread_create(&mut id, null(), thread, argument) != 0 {
                return 0;
            }
            right &= exercise(byte.wrapping_mul(3));
            libc::pthread_join(id, &mut answer);
        }
        right &= answer.addr() == 1;
    }
    i32::from(right)
}

/// Frees 64 MiB that were touched: the free starts the background thread.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_leave_much_idle() {
    let layout = Layout::from_size_align(64 << 20, 8).expect("a layout");
    // SAFETY: the block is written within its size and freed with its layout.
    unsafe {
        let block = alloc(layout);
        if !block.is_null() {
            block.write_bytes(1, layout.size());
            dealloc(block, layout);
        }
    }
}

/// Live objects of the plugin's, of every route.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_live() -> usize {
    let stats = GLOBAL.stats();
    stats.slab.live + stats.run.live + stats.large.live
}
