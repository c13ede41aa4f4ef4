//! How a mapping is to be made: a by-value builder that also works in constants.

use super::{Advice, Mapping};
use crate::error::{Error, Operation, Result};
use crate::page::page_size;

/// Options for new mappings.
///
/// Every method takes and returns the options by value and is `const`, so a set of options can be a constant:
///
/// ```
/// use mapalloc::map::MapOptions;
///
/// const BUFFERS: MapOptions = MapOptions::new().align(2 << 20).populate(true);
/// let buffer = BUFFERS.map(4 << 20)?;
/// assert_eq!(buffer.as_ptr().addr() % (2 << 20), 0);
/// assert!(buffer.iter().all(|&byte| byte == 0));
/// # Ok::<(), mapalloc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "options do nothing until `map` or `reserve` is called"]
pub struct MapOptions {
    align: usize,
    populate: bool,
    huge_pages: Option<bool>,
    dump: bool,
}

impl MapOptions {
    /// Page-aligned, not populated, huge pages as the system has it, part of core dumps.
    pub const fn new() -> Self {
        Self { align: 1, populate: false, huge_pages: None, dump: true }
    }

    /// The start address is a multiple of `align` bytes, a power of two; never less than a page.
    pub const fn align(mut self, align: usize) -> Self {
        self.align = align;
        self
    }

    /// Whether to fault all pages in at once instead of at their first touch (best effort, as `MAP_POPULATE` is).
    pub const fn populate(mut self, populate: bool) -> Self {
        self.populate = populate;
        self
    }

    /// `true` asks for transparent huge pages, `false` refuses them; without this call the system's policy holds.
    pub const fn huge_pages(mut self, huge: bool) -> Self {
        self.huge_pages = Some(huge);
        self
    }

    /// Whether the pages are part of a core dump; they are, unless this says `false`.
    pub const fn dump(mut self, dump: bool) -> Self {
        self.dump = dump;
        self
    }

    /// Maps at least `len` bytes of zeros, readable and writable: `len` is rounded up to whole pages.
    ///
    /// # Errors
    /// If `len` is zero or too large for an address space, the alignment is not a power of two, or the kernel refuses.
    pub fn map(self, len: usize) -> Result<Mapping> {
        self.build(len, len)
    }

    /// Reserves at least `reserved` bytes of address space of which nothing is usable until
    /// [`commit`](Mapping::commit)ted. A reservation costs addresses, no memory.
    ///
    /// # Errors
    /// As for [`map`](Self::map).
    pub fn reserve(self, reserved: usize) -> Result<Mapping> {
        self.build(reserved, 0)
    }

    /// The alignment in bytes that the start address gets: the one asked for, or a page.
    pub(super) fn alignment(self) -> usize {
        self.align.max(page_size())
    }

    fn build(self, reserved: usize, committed: usize) -> Result<Mapping> {
        if !self.align.is_power_of_two() {
            return Err(Error::alignment(Operation::Map, self.align));
        }
        let populate_now = self.populate && self.huge_pages.is_none();
        let mut mapping = Mapping::with_options(reserved, committed > 0, populate_now, self)?;
        let whole = 0..mapping.reserved();
        if let Some(huge) = self.huge_pages {
            // A kernel without transparent huge pages refuses the advice (EINVAL); the mapping is as good without them.
            let _ = mapping.advise_reserved(if huge { Advice::HugePage } else { Advice::NoHugePage }, whole.clone());
            if self.populate {
                // Best effort, as documented: pages that are not faulted in here are at their first touch.
                let _ = mapping.advise_reserved(Advice::PopulateWrite, 0..mapping.len());
            }
        }
        if !self.dump {
            mapping.advise_reserved(Advice::DontDump, whole)?;
        }
        Ok(mapping)
    }
}

impl Default for MapOptions {
    fn default() -> Self {
        Self::new()
    }
}
