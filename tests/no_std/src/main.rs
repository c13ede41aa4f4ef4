//! A program without the standard library. It brings a panic handler of its own, of which there can be only one: if any
//! part of `mapalloc` linked `std`, it would not build.

#![no_std]
#![no_main]

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{c_char, c_int};
use core::panic::PanicInfo;
use mapalloc::map::MapOptions;
use mapalloc::{PageBox, PageVec, page_size};

/// What `alloc` asks for, and the containers do not need.
struct Malloc;

// SAFETY: blocks of the C library, aligned to 16 bytes; more than that it refuses.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > 16 {
            return core::ptr::null_mut();
        }
        // SAFETY: any size will do.
        unsafe { libc::malloc(layout.size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block is one of `malloc`.
        unsafe { libc::free(block.cast()) };
    }
}

#[global_allocator]
static GLOBAL: Malloc = Malloc;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: it ends the process.
    unsafe { libc::abort() }
}

/// Named by the unwind tables of the precompiled `alloc`, and never called: panics abort.
// SAFETY: without `std` nobody else defines it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

// SAFETY: this is the program's only `main`.
#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    let mut vec: PageVec<u64> = (0..100_000).collect();
    vec.retain(|n| n % 2 == 0);
    assert_eq!(vec.as_ptr().addr() % page_size(), 0);
    assert_eq!(vec.iter().sum::<u64>(), 2_499_950_000);

    let mut guarded = PageVec::with_options(1, MapOptions::new().guard_pages(1, 1)).unwrap();
    guarded.extend_from_slice(&vec);
    assert_eq!(guarded, vec);

    let text = PageBox::<str>::from("no standard library");
    assert_eq!(text.len(), 19);
    assert!(PageVec::<u8>::try_with_capacity(isize::MAX as usize).is_err());
    0
}
