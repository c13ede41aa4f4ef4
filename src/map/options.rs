//! How a mapping is to be made: a by-value builder that also works in constants. `make` does what it says.

use super::{Backing, Features, Mapping};
use crate::error::Result;
use crate::page::page_size;
use core::ffi::CStr;

/// When locked pages come into memory, where they then stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lock {
    /// All at once, [`mlock(2)`](https://man7.org/linux/man-pages/man2/mlock.2.html).
    Now,
    /// Each at its first touch, `MLOCK_ONFAULT`.
    OnFault,
}

/// What a child of [`fork(2)`](https://man7.org/linux/man-pages/man2/fork.2.html) finds at the addresses of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fork {
    /// Its own copy of the contents.
    Copy,
    /// Zeros, `MADV_WIPEONFORK`. If zeros are no values of what the mapping holds, the child must not touch it, by the contract
    /// of whoever called `fork`.
    Wipe,
    /// No memory, `MADV_DONTFORK`: every access faults there. The child must not touch the mapping, by the contract of whoever
    /// called `fork`. It may drop it, which gives back nothing of the parent's, and nothing that the child has mapped there
    /// meanwhile; but not a container of elements with destructors, which touch it.
    Omit,
}

/// Where the memory of a mapping comes from on a machine with several NUMA nodes, of which bit *n* of a mask is node *n*;
/// see [`mbind(2)`](https://man7.org/linux/man-pages/man2/mbind.2.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Numa {
    /// From these nodes only.
    Bind(u64),
    /// From these nodes while they have memory.
    Prefer(u64),
    /// From these nodes in turn, page by page.
    Interleave(u64),
}

/// Options for new mappings, and for the pages of a [`PageBox`](crate::PageBox) or a [`PageVec`](crate::PageVec).
///
/// Every method takes and returns the options by value and is `const`, so a set of options can be a constant:
///
/// ```
/// use mapalloc::map::{Features, Lock, MapOptions};
///
/// const BUFFERS: MapOptions = MapOptions::new()
///     .align(2 << 20)
///     .guard_pages(1, 1)
///     .dump(false)
///     .lock(Lock::Now)
///     .best_effort(Features::LOCK); // RLIMIT_MEMLOCK may be lower than this
/// let buffer = BUFFERS.map(4 << 20)?;
/// assert_eq!(buffer.as_ptr().addr() % (2 << 20), 0);
/// assert!(buffer.iter().all(|&byte| byte == 0));
/// if buffer.granted().missing().contains(Features::LOCK) {
///     eprintln!("not locked");
/// }
/// # Ok::<(), mapalloc::Error>(())
/// ```
///
/// # What is refused
/// An option that the kernel or a limit refuses fails the mapping, with an error that names the system call. An option named
/// in [`best_effort`](Self::best_effort) is done without instead, and [`Granted::missing`](super::Granted::missing) says so.
/// [`populate`](Self::populate) is best effort from the start. Huge pages have a ladder of their own,
/// [`backing`](Self::backing).
///
/// The options hold for the life of the mapping: pages that come by growth are made the same way, and growth fails where
/// an option that is not best effort is refused to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "options do nothing until a mapping is made with them"]
pub struct MapOptions {
    pub(super) align: usize,
    pub(super) guard_pages: (usize, usize),
    pub(super) backing: &'static [Backing],
    pub(super) populate: bool,
    pub(super) no_reserve: bool,
    pub(super) lock: Option<Lock>,
    pub(super) dump: bool,
    pub(super) on_fork: Fork,
    pub(super) name: Option<&'static CStr>,
    pub(super) numa: Option<Numa>,
    pub(super) best_effort: Features,
}

impl MapOptions {
    /// Page-aligned, nothing else asked for.
    pub const fn new() -> Self {
        Self {
            align: 1,
            guard_pages: (0, 0),
            backing: &[Backing::System],
            populate: false,
            no_reserve: false,
            lock: None,
            dump: true,
            on_fork: Fork::Copy,
            name: None,
            numa: None,
            best_effort: Features::POPULATE,
        }
    }

    /// The start address is a multiple of `align` bytes, a power of two; never less than a page.
    pub const fn align(mut self, align: usize) -> Self {
        self.align = align;
        self
    }

    /// So many pages before and behind the mapping fault on every access.
    ///
    /// Where the kernel has `MADV_GUARD_INSTALL` (Linux 6.13) they take no mapping of their own; otherwise, and where it
    /// refuses that (reservations, hugetlb pages, [`Fork::Wipe`]), they are pages without access.
    ///
    /// A mapping with a guard behind it grows within its reservation, or by a copy.
    pub const fn guard_pages(mut self, before: usize, behind: usize) -> Self {
        self.guard_pages = (before, behind);
        self
    }

    /// The pages that the mapping is made of: the first of the ladder that the system grants, which
    /// [`Granted::backing`](super::Granted::backing) tells. Pages that cannot have the other options are passed over, as
    /// hugetlb pages are with a [`name`](Self::name) or [`Fork::Wipe`]. If it grants none, that is an error, so a ladder that
    /// ends in [`Backing::System`] or [`Backing::Base`] does not fail.
    ///
    /// ```
    /// use mapalloc::map::{Backing, MapOptions};
    ///
    /// let pages = MapOptions::new()
    ///     .backing(&[Backing::HugeTlb(1 << 30), Backing::HugeTlb(2 << 20), Backing::Transparent, Backing::System])
    ///     .map(8 << 20)?;
    /// println!("got {:?}", pages.granted().backing());
    /// # Ok::<(), mapalloc::Error>(())
    /// ```
    ///
    /// Transparent huge pages are granted where the kernel takes the advice; which pages it then finds shows in
    /// `/proc/self/smaps`. A reservation ([`reserve`](Self::reserve)) passes over hugetlb pages, which the kernel would set
    /// aside for all of it.
    pub const fn backing(mut self, ladder: &'static [Backing]) -> Self {
        self.backing = ladder;
        self
    }

    /// `true` asks for transparent huge pages, `false` refuses them, both as far as the system goes along: short for a
    /// [`backing`](Self::backing) of two rungs.
    pub const fn huge_pages(self, huge: bool) -> Self {
        self.backing(if huge { &[Backing::Transparent, Backing::System] } else { &[Backing::Base] })
    }

    /// Whether to fault all pages in at once, by `MADV_POPULATE_WRITE` (Linux 5.14), instead of each at its first touch. Best
    /// effort, unless [`required`](Self::required).
    ///
    /// ```
    /// use mapalloc::map::MapOptions;
    /// use mapalloc::observe::Residency;
    ///
    /// let ready = MapOptions::new().populate(true).map(1 << 20)?;
    /// # if ready.granted().missing().is_empty() {
    /// assert_eq!(Residency::of(&ready)?.resident_bytes(), 1 << 20);
    /// # }
    /// # Ok::<(), mapalloc::Error>(())
    /// ```
    pub const fn populate(mut self, populate: bool) -> Self {
        self.populate = populate;
        self
    }

    /// `MAP_NORESERVE`: the pages are not counted against the system's limit on memory promised, unless it is strict
    /// (mode 2 of `vm.overcommit_memory`). Hugetlb pages are reserved all the same: a touch that found their pool empty would
    /// end the process.
    pub const fn no_reserve(mut self, no_reserve: bool) -> Self {
        self.no_reserve = no_reserve;
        self
    }

    /// Locks the pages into memory: they are never swapped out. `RLIMIT_MEMLOCK` limits how many a process may lock.
    ///
    /// Pages of a reservation are locked when they are committed.
    pub const fn lock(mut self, lock: Lock) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Whether the pages are part of a core dump; they are, unless this says `false` (`MADV_DONTDUMP`).
    pub const fn dump(mut self, dump: bool) -> Self {
        self.dump = dump;
        self
    }

    /// What a child of `fork` finds; its own copy, unless this says otherwise.
    ///
    /// ```
    /// use mapalloc::map::{Fork, MapOptions};
    ///
    /// let mut seed = MapOptions::new().on_fork(Fork::Wipe).map(32)?;
    /// seed[0] = 4; // a child finds 0 here, and knows that it must seed anew
    /// # Ok::<(), mapalloc::Error>(())
    /// ```
    pub const fn on_fork(mut self, on_fork: Fork) -> Self {
        self.on_fork = on_fork;
        self
    }

    /// The name of the pages in `/proc/self/maps`, as `[anon:NAME]`, at most 79 bytes. The kernel refuses it if it was built
    /// without `CONFIG_ANON_VMA_NAME`.
    ///
    /// ```
    /// use mapalloc::map::{Features, MapOptions};
    ///
    /// let frames = MapOptions::new().name(c"frames").best_effort(Features::NAME).map(1 << 20)?;
    /// println!("named: {}", !frames.granted().missing().contains(Features::NAME));
    /// # Ok::<(), mapalloc::Error>(())
    /// ```
    pub const fn name(mut self, name: &'static CStr) -> Self {
        self.name = Some(name);
        self
    }

    /// Where the memory comes from.
    ///
    /// ```
    /// use mapalloc::map::{Features, MapOptions, Numa};
    ///
    /// let spread = MapOptions::new().numa(Numa::Interleave(0b11)).best_effort(Features::NUMA).map(1 << 20)?;
    /// # Ok::<(), mapalloc::Error>(())
    /// ```
    pub const fn numa(mut self, numa: Numa) -> Self {
        self.numa = Some(numa);
        self
    }

    /// The options that the mapping may do without, in addition to those named so far.
    pub const fn best_effort(mut self, features: Features) -> Self {
        self.best_effort = self.best_effort.union(features);
        self
    }

    /// The options that the mapping may not do without: the opposite of [`best_effort`](Self::best_effort).
    pub const fn required(mut self, features: Features) -> Self {
        self.best_effort = self.best_effort.difference(features);
        self
    }

    /// Maps at least `len` bytes of zeros, readable and writable: `len` is rounded up to whole pages.
    ///
    /// # Errors
    /// If `len` is zero or too large for an address space, an option makes no sense (an alignment or a huge page size that
    /// is no power of two, an empty ladder), or the kernel refuses.
    pub fn map(self, len: usize) -> Result<Mapping> {
        self.make(len, true)
    }

    /// Reserves at least `reserved` bytes of address space of which nothing is usable until
    /// [`commit`](Mapping::commit)ted. A reservation costs addresses, no memory.
    ///
    /// # Errors
    /// As for [`map`](Self::map).
    pub fn reserve(self, reserved: usize) -> Result<Mapping> {
        self.make(reserved, false)
    }

    /// For the alignment of a type. One that makes no sense stays, and is refused.
    pub(crate) const fn align_at_least(mut self, align: usize) -> Self {
        if self.align.is_power_of_two() && self.align < align {
            self.align = align;
        }
        self
    }

    /// The alignment in bytes that the start address gets: the one asked for, or a page.
    pub(super) fn alignment(self) -> usize {
        self.align.max(page_size())
    }
}

impl Default for MapOptions {
    fn default() -> Self {
        Self::new()
    }
}
