//! The cost of the loop alone: pairs on an allocator that gives the same block each time.

#![no_main]

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{CStr, c_char, c_int};

struct Constant;

static mut BLOCK: [u8; 64] = [0; 64];

// SAFETY: not an allocator that anything but the loop of pairs may use, which never touches its block; `main` below uses
// nothing else that allocates.
unsafe impl GlobalAlloc for Constant {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        (&raw mut BLOCK).cast()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static GLOBAL: Constant = Constant;

/// The arguments are those of the other programs; the runtime, which allocates, is not started.
///
/// # Safety
/// `argv` is `argc` terminated strings, as the C library passes them.
// SAFETY: the C library's entry point, of which a program has one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let number = |at: usize| {
        // SAFETY: the caller's contract; the numbers asked for are below `argc`, as compared below.
        let text = unsafe { CStr::from_ptr(*argv.add(at)) };
        text.to_str().ok().and_then(|text| text.parse().ok())
    };
    if argc != 4 {
        return 2;
    }
    let (Some(size), Some(count)) = (number(2), number(3)) else { return 2 };
    rivals_child::pairs(size, count);
    0
}
