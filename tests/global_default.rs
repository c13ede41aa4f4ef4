//! `PageAlloc::new()` as the global allocator: small objects on the system heap, the rest on pages.

use mapalloc::PageAlloc;

mod global;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new();

/// At least this size is on the fallback heap.
const SMALL_LIMIT: usize = 128;
