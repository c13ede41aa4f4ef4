//! The advice that a mapping takes, in the kernel's own words.

use crate::sys::PageAdvice;

/// What to tell the kernel about a range of pages, [`madvise(2)`](https://man7.org/linux/man-pages/man2/madvise.2.html).
///
/// Advice is a choice, not a bit mask: one value per call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// `MADV_DONTNEED`: give the memory back now; the range reads zero from then on.
    DontNeed,
    /// `MADV_HUGEPAGE`: back the range with transparent huge pages where the kernel can.
    HugePage,
    /// `MADV_NOHUGEPAGE`: never back the range with huge pages.
    NoHugePage,
    /// `MADV_COLLAPSE` (Linux 6.1): make huge pages of what is in the range, now.
    Collapse,
    /// `MADV_POPULATE_WRITE` (Linux 5.14): fault the range in for writing, all of it, now.
    PopulateWrite,
    /// `MADV_WILLNEED`: the range will be used soon; what of it is swapped out is read ahead.
    WillNeed,
    /// `MADV_COLD` (Linux 5.4): the range will not be used soon, and goes first when memory is short.
    Cold,
    /// `MADV_PAGEOUT` (Linux 5.4): swap the range out now.
    PageOut,
    /// `MADV_DONTDUMP`: leave the range out of core dumps.
    DontDump,
    /// `MADV_DODUMP`: undo [`Advice::DontDump`].
    DoDump,
}

impl Advice {
    pub(super) const fn to_sys(self) -> PageAdvice {
        match self {
            Self::DontNeed => PageAdvice::DontNeed,
            Self::HugePage => PageAdvice::HugePage,
            Self::NoHugePage => PageAdvice::NoHugePage,
            Self::Collapse => PageAdvice::Collapse,
            Self::PopulateWrite => PageAdvice::PopulateWrite,
            Self::WillNeed => PageAdvice::WillNeed,
            Self::Cold => PageAdvice::Cold,
            Self::PageOut => PageAdvice::PageOut,
            Self::DontDump => PageAdvice::DontDump,
            Self::DoDump => PageAdvice::DoDump,
        }
    }
}
