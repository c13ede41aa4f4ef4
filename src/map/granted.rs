//! What a mapping got of what its options asked for.

use bitflags::bitflags;

/// The pages that a mapping is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backing {
    /// Pages of so many bytes from the pool of huge pages that the administrator has set aside,
    /// [hugetlb](https://docs.kernel.org/admin-guide/mm/hugetlbpage.html). They are never split or swapped. The length of
    /// the mapping is a multiple of the size.
    HugeTlb(usize),
    /// Transparent huge pages where the kernel finds them,
    /// [`MADV_HUGEPAGE`](https://docs.kernel.org/admin-guide/mm/transhuge.html). Refused where the system gives them to
    /// nobody.
    Transparent,
    /// Whatever the system's policy for transparent huge pages says. Never refused.
    System,
    /// Base pages only, `MADV_NOHUGEPAGE`. Never refused.
    Base,
}

/// What keeps the pages beside a mapping from being touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Guard {
    /// Markers in the page tables, `MADV_GUARD_INSTALL` (Linux 6.13): they take no mapping of their own, of which a process
    /// has a limited number.
    Installed,
    /// Pages without access, by [`mprotect(2)`](https://man7.org/linux/man-pages/man2/mprotect.2.html): a mapping of its own
    /// on each side.
    Protected,
}

bitflags! {
    /// The options that the kernel, or a limit of the process, may refuse.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Features: u8 {
        /// [`guard_pages`](super::MapOptions::guard_pages).
        const GUARDS = 1;
        /// [`populate`](super::MapOptions::populate).
        const POPULATE = 1 << 1;
        /// [`lock`](super::MapOptions::lock).
        const LOCK = 1 << 2;
        /// [`dump`](super::MapOptions::dump).
        const DUMP = 1 << 3;
        /// [`on_fork`](super::MapOptions::on_fork).
        const FORK = 1 << 4;
        /// [`name`](super::MapOptions::name).
        const NAME = 1 << 5;
        /// [`numa`](super::MapOptions::numa).
        const NUMA = 1 << 6;
    }
}

/// What a mapping got of what its [`MapOptions`](super::MapOptions) asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Granted {
    pub(super) backing: Backing,
    pub(super) missing: Features,
    pub(super) guards: Option<Guard>,
    /// The bytes of the guards, whole pages.
    pub(super) before: usize,
    pub(super) after: usize,
}

impl Granted {
    /// What a mapping has that asked for nothing.
    pub(crate) const NOTHING: Self =
        Self { backing: Backing::System, missing: Features::empty(), guards: None, before: 0, after: 0 };

    /// The rung of the ladder of [`backing`](super::MapOptions::backing) that the mapping is on.
    #[must_use]
    pub const fn backing(&self) -> Backing {
        self.backing
    }

    /// The options that were refused, of those that the caller could do without
    /// ([`best_effort`](super::MapOptions::best_effort)).
    #[must_use]
    pub const fn missing(&self) -> Features {
        self.missing
    }

    /// How the guard pages are kept, if there are any.
    #[must_use]
    pub const fn guards(&self) -> Option<Guard> {
        self.guards
    }

    /// The length of the guards before and behind the mapping, in bytes.
    #[must_use]
    pub const fn guard_bytes(&self) -> (usize, usize) {
        (self.before, self.after)
    }
}
