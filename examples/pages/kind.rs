//! What a page can be, and what a cell of a picture shows of several.

/// The kinds of pages, as they are drawn. A page of several kinds is of the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Not mapped.
    Gone,
    /// Addresses without access.
    Reserved,
    /// Usable, and not in memory.
    Untouched,
    /// In memory, and others have the page too: a child after `fork`, or the kernel's page of zeros.
    Shared,
    /// In memory, for this process alone.
    Resident,
    /// As that, in a huge page.
    Huge,
    /// In memory, and locked there.
    Locked,
    /// In memory, and not to be written to.
    ReadOnly,
    /// A guard: nobody can touch it.
    Guard,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Gone,
        Self::Reserved,
        Self::Untouched,
        Self::Shared,
        Self::Resident,
        Self::Huge,
        Self::Locked,
        Self::ReadOnly,
        Self::Guard,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gone => "unmapped",
            Self::Reserved => "reserved",
            Self::Untouched => "untouched",
            Self::Shared => "shared",
            Self::Resident => "resident",
            Self::Huge => "huge",
            Self::Locked => "locked",
            Self::ReadOnly => "read-only",
            Self::Guard => "guard",
        }
    }

    /// Whether the page is in memory.
    pub(crate) const fn is_present(self) -> bool {
        matches!(self, Self::Shared | Self::Resident | Self::Huge | Self::Locked | Self::ReadOnly)
    }
}

/// Some pages in one place of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    /// The commonest kind, of those in memory if there are any.
    pub(crate) kind: Kind,
    /// The share of the pages that are in memory.
    pub(crate) present: f64,
}

/// The cells of a picture. It may have one more, since a block of malloc begins within a page and so lies in one more.
pub(crate) const CELLS: usize = 64;

/// How many pages a cell stands for.
pub(crate) fn pages_per_cell(pages: &[Kind]) -> usize {
    pages.len().saturating_sub(1).div_ceil(CELLS).max(1)
}

/// The cells of a picture.
pub(crate) fn cells(pages: &[Kind]) -> impl Iterator<Item = Cell> {
    pages.chunks(pages_per_cell(pages)).map(|chunk| {
        let present = count(chunk, Kind::is_present);
        let shown = |kind: &Kind| kind.is_present() == (present > 0);
        let commonest = Kind::ALL.into_iter().filter(shown).max_by_key(|&kind| count(chunk, |other| other == kind));
        Cell { kind: commonest.unwrap_or(Kind::Gone), present: present as f64 / chunk.len() as f64 }
    })
}

/// How many pages are of a kind.
pub(crate) fn count(pages: &[Kind], is: impl Fn(Kind) -> bool) -> usize {
    pages.iter().filter(|&&kind| is(kind)).count()
}
