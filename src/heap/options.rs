//! What the program wants of the engine, set by the `PageAlloc` that allocates.
//!
//! One for the process, as the engine is: of several values with different options, the one that last took a slow path
//! decides.

use super::HEAP;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Which memory of the global allocator is backed by huge pages, where the kernel gives them to who asks
/// ([`madvise` mode](https://docs.kernel.org/admin-guide/mm/transhuge.html)); see
/// [`PageAlloc::with_huge_pages`](crate::PageAlloc::with_huge_pages).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HugePages {
    /// None is asked for.
    Never,
    /// Only for memory that is likely to be used whole: what a large heap adds to itself, and large blocks that are not
    /// asked for as zeros.
    #[default]
    Dense,
    /// For all memory in arenas, from the first byte on, and for all large blocks.
    Always,
}

/// The options of a `PageAlloc`, in one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options(u8);

/// The bits of [`HugePages`], and the one that forbids the background thread.
const HUGE: u8 = 3;
const NO_BACKGROUND: u8 = 4;

/// The bit of the hardened heap, which serves in the place of the engine.
const HARDENED: u8 = 8;

impl Options {
    pub(crate) const fn new() -> Self {
        Self(HugePages::Dense as u8)
    }

    pub(crate) const fn with_huge_pages(self, huge_pages: HugePages) -> Self {
        Self(self.0 & !HUGE | huge_pages as u8)
    }

    pub(crate) const fn with_hardening(self) -> Self {
        Self(self.0 | HARDENED)
    }

    /// Whether the hardened heap serves all requests.
    #[inline(always)]
    pub(crate) const fn is_hardened(self) -> bool {
        self.0 & HARDENED != 0
    }

    pub(crate) const fn with_background(self, allowed: bool) -> Self {
        Self(if allowed { self.0 & !NO_BACKGROUND } else { self.0 | NO_BACKGROUND })
    }
}

static CURRENT: AtomicU8 = AtomicU8::new(Options::new().0);

/// Makes these options the process's.
#[inline(always)]
pub(crate) fn obey(options: Options) {
    if CURRENT.load(Relaxed) != options.0 {
        change(options);
    }
}

#[cold]
fn change(options: Options) {
    CURRENT.store(options.0, Relaxed);
    HEAP.background.allow(options.0 & NO_BACKGROUND == 0);
}

/// The policy in force.
pub(super) fn huge_pages() -> HugePages {
    match CURRENT.load(Relaxed) & HUGE {
        0 => HugePages::Never,
        1 => HugePages::Dense,
        _ => HugePages::Always,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_independent() {
        let options = Options::new().with_huge_pages(HugePages::Always).with_background(false);
        assert_eq!(options.0, HugePages::Always as u8 | NO_BACKGROUND);
        assert_eq!(options.with_background(true).with_huge_pages(HugePages::Dense), Options::new());
    }
}
