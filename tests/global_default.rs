//! `PageAlloc::new()` as the global allocator: small objects on the system heap, the rest on pages.

use mapalloc::PageAlloc;

mod global;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_fallback_counts(true);

/// Small objects are on the fallback heap.
const FALLBACK_IS_USED: bool = true;
