//! placeholder until the engine lands: the final public face, everything on the fallback heap.
#![allow(missing_docs)]
use crate::stats::Stats;
use std::alloc::{GlobalAlloc, Layout, System};

pub struct PageAlloc<F = System> {
    fallback: F,
    small_limit: usize,
}

impl PageAlloc {
    pub const fn new() -> Self {
        Self::with_fallback(System)
    }
}

impl<F> PageAlloc<F> {
    pub const fn with_fallback(fallback: F) -> Self {
        Self { fallback, small_limit: 1024 }
    }
    pub const fn with_small_limit(mut self, bytes: usize) -> Self
    where
        F: Copy,
    {
        self.small_limit = bytes;
        self
    }
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
    pub fn purge(&self) -> usize {
        0
    }
}

// SAFETY: the fallback's.
unsafe impl<F: GlobalAlloc> GlobalAlloc for PageAlloc<F> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = self.small_limit;
        // SAFETY: the caller's contract.
        unsafe { self.fallback.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { self.fallback.dealloc(ptr, layout) }
    }
}
