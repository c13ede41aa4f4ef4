//! The heap of the process, chosen once: malloc or one of two forms of `PageAlloc`.
//!
//! An executable has one `#[global_allocator]`, and a comparison needs several. So the parent starts itself again, once
//! per heap, and names the heap in an environment variable; [`Chosen`] reads it at the very first allocation, before
//! `main`, and keeps to it. Every heap pays for that with the same well-predicted branch, malloc too, so it cancels out
//! of every ratio. A program of your own has no such branch: it says `static GLOBAL: PageAlloc = PageAlloc::new()`.

use mapalloc::PageAlloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// The environment variable that names the heap of a process, see [`Kind::name`].
pub(crate) const VARIABLE: &CStr = c"MAPALLOC_EXAMPLE_HEAP";

/// The form that the plain run uses.
pub(crate) static PAGE_ALLOC: PageAlloc = PageAlloc::new();
static SLABS_ONLY: PageAlloc = PageAlloc::new().with_small_limit(0);

/// The heaps that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The system's malloc, as Rust's `System` calls it.
    Malloc = 1,
    /// `PageAlloc::new()`: small objects on malloc, the rest on pages.
    Default = 2,
    /// `PageAlloc::new().with_small_limit(0)`: every size on pages.
    Slabs = 3,
}

impl Kind {
    /// All of them, the baseline first.
    pub(crate) const ALL: [Self; 3] = [Self::Malloc, Self::Default, Self::Slabs];

    /// The value of [`VARIABLE`], and of command line options.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Malloc => "malloc",
            Self::Default => "default",
            Self::Slabs => "slabs",
        }
    }

    /// How a table calls it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Malloc => "malloc",
            Self::Default => "PageAlloc::new()",
            Self::Slabs => ".with_small_limit(0)",
        }
    }

    /// The heap that this process was started with.
    pub(crate) fn of_process() -> Self {
        // SAFETY: the name is a C string, and nothing in these programs changes the environment.
        let value = unsafe { libc::getenv(VARIABLE.as_ptr()) };
        if value.is_null() {
            return Self::Default;
        }
        // SAFETY: `getenv` returned a C string of the environment, which nobody changes.
        match unsafe { CStr::from_ptr(value) }.to_bytes() {
            b"malloc" => Self::Malloc,
            b"slabs" => Self::Slabs,
            _ => Self::Default,
        }
    }
}

/// The global allocator of these programs: one of [`Kind`], the same one from the first allocation to the last.
pub(crate) struct Chosen {
    kind: AtomicU8,
}

impl Chosen {
    pub(crate) const fn new() -> Self {
        Self { kind: AtomicU8::new(0) }
    }

    #[inline]
    fn kind(&self) -> u8 {
        match self.kind.load(Relaxed) {
            0 => self.choose(),
            kind => kind,
        }
    }

    /// `getenv` neither allocates nor locks, and racing threads find the same value.
    #[cold]
    fn choose(&self) -> u8 {
        let kind = Kind::of_process() as u8;
        self.kind.store(kind, Relaxed);
        kind
    }
}

const MALLOC: u8 = Kind::Malloc as u8;
const DEFAULT: u8 = Kind::Default as u8;

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
