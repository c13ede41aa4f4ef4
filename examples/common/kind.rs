//! The heaps that are compared, and their names.

/// A heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The system's malloc, as Rust's `System` calls it.
    Malloc,
    /// `PageAlloc::new()`: small objects on malloc, the rest on pages.
    Default,
    /// `PageAlloc::new().with_small_limit(0)`: every size on pages.
    Slabs,
}

impl Kind {
    /// All of them, the baseline first.
    pub(crate) const ALL: [Self; 3] = [Self::Malloc, Self::Default, Self::Slabs];

    /// Its name in options, variables and file names.
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
}
