//! The heap of a process, chosen as it starts: malloc or one of two forms of `PageAlloc`.
//!
//! An executable has one `#[global_allocator]`, and a comparison needs several. So the parent starts itself again, once
//! per heap, and names the heap in an environment variable; [`Chosen`] reads it at the very first allocation, before
//! `main`, and keeps to it. Every heap pays for that with the same well-predicted branch, malloc too, so it cancels out
//! of every ratio, and all heaps run the same code at the same addresses. The example `index` has no such branch.

use crate::kind::Kind;
use mapalloc::PageAlloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// The environment variable that has the [name](Kind::name) of a process's heap.
const VARIABLE: &CStr = c"MAPALLOC_EXAMPLE_HEAP";

static PAGE_ALLOC: PageAlloc = PageAlloc::new();
static SLABS_ONLY: PageAlloc = PageAlloc::new().with_small_limit(0);

/// The start of a command that runs this executable on the heap `kind`.
pub(crate) fn command(kind: Kind) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|error| format!("where is this executable? {error}"))?;
    let mut command = Command::new(program);
    command.env(VARIABLE.to_str().expect("an ASCII name"), kind.name());
    Ok(command)
}

/// The heap that this process was started with.
fn of_process() -> Kind {
    // SAFETY: the name is a C string, and nothing in this program changes the environment.
    let value = unsafe { libc::getenv(VARIABLE.as_ptr()) };
    if value.is_null() {
        return Kind::Default;
    }
    // SAFETY: `getenv` returned a C string of the environment, which nobody changes.
    let name = unsafe { CStr::from_ptr(value) }.to_bytes();
    Kind::ALL.into_iter().find(|kind| kind.name().as_bytes() == name).unwrap_or(Kind::Default)
}

/// The global allocator: one of [`Kind`], the same one from the first allocation to the last.
pub(crate) struct Chosen {
    /// [`NONE`], [`MALLOC`], [`DEFAULT`] or another value for the slabs.
    kind: AtomicU8,
}

impl Chosen {
    pub(crate) const fn new() -> Self {
        Self { kind: AtomicU8::new(NONE) }
    }

    #[inline]
    fn kind(&self) -> u8 {
        match self.kind.load(Relaxed) {
            NONE => self.choose(),
            kind => kind,
        }
    }

    /// `getenv` neither allocates nor locks, and racing threads find the same value.
    #[cold]
    fn choose(&self) -> u8 {
        let kind = of_process() as u8 + 1;
        self.kind.store(kind, Relaxed);
        kind
    }
}

/// Not chosen yet.
const NONE: u8 = 0;
const MALLOC: u8 = Kind::Malloc as u8 + 1;
const DEFAULT: u8 = Kind::Default as u8 + 1;

// SAFETY: every call goes to one and the same allocator for the life of the process, with the caller's arguments as they
// came, so each contract is passed through.
unsafe impl GlobalAlloc for Chosen {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, passed through.
        unsafe {
            match self.kind() {
                MALLOC => System.alloc(layout),
                DEFAULT => PAGE_ALLOC.alloc(layout),
                _ => SLABS_ONLY.alloc(layout),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, passed through.
        unsafe {
            match self.kind() {
                MALLOC => System.alloc_zeroed(layout),
                DEFAULT => PAGE_ALLOC.alloc_zeroed(layout),
                _ => SLABS_ONLY.alloc_zeroed(layout),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract, passed through.
        unsafe {
            match self.kind() {
                MALLOC => System.dealloc(ptr, layout),
                DEFAULT => PAGE_ALLOC.dealloc(ptr, layout),
                _ => SLABS_ONLY.dealloc(ptr, layout),
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract, passed through.
        unsafe {
            match self.kind() {
                MALLOC => System.realloc(ptr, layout, new_size),
                DEFAULT => PAGE_ALLOC.realloc(ptr, layout, new_size),
                _ => SLABS_ONLY.realloc(ptr, layout, new_size),
            }
        }
    }
}
