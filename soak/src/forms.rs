//! The forms of the allocator that a run can be on, and the one place where one is chosen.
//!
//! A global allocator is a static, and it serves from before `main` on. So the form is a variable of the environment, which
//! is read at the first allocation and holds for the life of the process and for its children; `--form` starts the program
//! again with it.

use clap::ValueEnum;
use mapalloc::{PageAlloc, Stats};
use std::alloc::{GlobalAlloc, Layout};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// The variable that names the form.
pub const VARIABLE: &str = "SOAK_FORM";
const C_VARIABLE: &CStr = c"SOAK_FORM";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Slabs for every size
    Slabs,
    /// Small objects on malloc
    Default,
    /// The hardened heap
    Hardened,
}

static SLABS: PageAlloc = PageAlloc::new().with_small_limit(0);
static DEFAULT: PageAlloc = PageAlloc::new();
static HARDENED: PageAlloc = PageAlloc::new().hardened();

/// The form as a number, plus one.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl Form {
    /// The form of this process.
    pub fn current() -> Self {
        match CHOSEN.load(Relaxed) {
            0 => Self::choose(),
            1 => Self::Slabs,
            2 => Self::Default,
            _ => Self::Hardened,
        }
    }

    /// As the environment says; it is not changed before `main`, so each thread that comes here finds the same.
    #[cold]
    fn choose() -> Self {
        // SAFETY: the name is a C string, and nobody changes the environment meanwhile.
        let named = unsafe { libc::getenv(C_VARIABLE.as_ptr()) };
        // SAFETY: a string of the environment, where there is one.
        let named = if named.is_null() { c"" } else { unsafe { CStr::from_ptr(named) } };
        let form = match named.to_bytes() {
            b"default" => Self::Default,
            b"hardened" => Self::Hardened,
            _ => Self::Slabs,
        };
        CHOSEN.store(form as u8 + 1, Relaxed);
        form
    }
}

/// The global allocator: the form of the process.
pub struct Heap;

macro_rules! by_form {
    ($heap:ident => $call:expr) => {
        match Form::current() {
            Form::Slabs => {
                let $heap = &SLABS;
                $call
            }
            Form::Default => {
                let $heap = &DEFAULT;
                $call
            }
            Form::Hardened => {
                let $heap = &HARDENED;
                $call
            }
        }
    };
}

impl Heap {
    pub fn stats(&self) -> Stats {
        by_form!(heap => heap.stats())
    }

    /// Gives back what is free, on malloc too, so that what malloc keeps does not pass for a drift.
    pub fn purge(&self) {
        by_form!(heap => heap.purge());
        // SAFETY: a plain call.
        unsafe { libc::malloc_trim(0) };
    }
}

// SAFETY: every call goes to one and the same `PageAlloc`, which keeps the contract.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { by_form!(heap => heap.alloc(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { by_form!(heap => heap.alloc_zeroed(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { by_form!(heap => heap.dealloc(block, layout)) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { by_form!(heap => heap.realloc(block, layout, new_size)) }
    }
}
