//! What AddressSanitizer is told, in builds with `--cfg mapalloc_asan` (see `scripts/asan`): which memory of the engine is
//! free, and so must not be touched by anybody.
//!
//! Such a build shows two things. A program's use of a freed object is reported, as it would be on the sanitizer's own
//! heap. And the engine's claims are put to the test: it never reads or writes a free object, and never hands out memory
//! that is in use, or a test that fills its blocks would run into a poisoned byte.

#[cfg(mapalloc_asan)]
unsafe extern "C" {
    fn __asan_poison_memory_region(start: *const core::ffi::c_void, len: usize);
    fn __asan_unpoison_memory_region(start: *const core::ffi::c_void, len: usize);
}

/// Declares a range free.
#[inline(always)]
pub(crate) fn poison(start: *const u8, len: usize) {
    #[cfg(mapalloc_asan)]
    // SAFETY: the runtime changes its shadow of the range only.
    unsafe {
        __asan_poison_memory_region(start.cast(), len)
    }
    #[cfg(not(mapalloc_asan))]
    let _ = (start, len);
}

/// Declares a range to be in use, or not the engine's any more.
#[inline(always)]
pub(crate) fn unpoison(start: *const u8, len: usize) {
    #[cfg(mapalloc_asan)]
    // SAFETY: the runtime changes its shadow of the range only.
    unsafe {
        __asan_unpoison_memory_region(start.cast(), len)
    }
    #[cfg(not(mapalloc_asan))]
    let _ = (start, len);
}
