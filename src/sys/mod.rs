//! The only room that talks to the operating system.
//!
//! A platform is one file with the functions that this module re-exports; everything above is written against their
//! names. What every platform file promises:
//!
//! * no function allocates, panics, takes a lock of the standard library, or leaves `errno` changed;
//! * a failure is the `errno` as an [`Errno`], and a failed call has changed nothing, but for [`advise`], [`flush`] and
//!   [`copy`], which may have done the first part of a range;
//! * lengths and addresses are passed on as they are: the callers, in `map`, `heap` and `file`, have checked them.

#[cfg(mapalloc_faults)]
pub mod faults;
#[cfg(all(feature = "std", not(miri)))]
pub(crate) mod files;
#[cfg(not(miri))]
mod memcheck;
mod posix;
mod shadow;

#[cfg(not(miri))]
#[path = "linux.rs"]
mod platform;
// Miri has no mremap, no madvise and no protections: mappings are blocks of the C heap there.
#[cfg(miri)]
#[path = "miri.rs"]
mod platform;

// What can fail goes by way of `faults` in builds that have it.
#[cfg(mapalloc_faults)]
use faults as failing;
#[cfg(not(mapalloc_faults))]
use platform as failing;

pub(crate) use failing::{
    advise, lock, map, map_at, map_secret, move_pages, name, place, protect, random, remap, reserve, reserve_at,
    residency, seal, unlock, unmap, unmap_tail,
};
pub(crate) use platform::{
    address_space_limit, data_limit, futex_wait, futex_wait_for, futex_wake, huge_pages_are_off, lock_limit,
    overcommit_is_strict, processors, thread_faults, write_stderr,
};
pub(crate) use posix::{
    ExitKey, Thread, abort, coarse_milliseconds, error_text, page_size, process_id, sync_instructions,
};

#[cfg(target_os = "linux")]
pub(crate) use posix::is_in_program;

#[cfg(mapalloc_faults)]
pub(crate) use faults::at_fork;
#[cfg(not(mapalloc_faults))]
pub(crate) use posix::at_fork;

pub(crate) use shadow::{poison, unpoison};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("mapalloc reserves more addresses than a 32-bit system has");

/// The error number of a failed call.
pub(crate) type Errno = i32;

/// What a range of pages is to be told; see [`crate::map::Advice`] for the public words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageAdvice {
    /// Drop the contents; the next touch reads zero.
    DontNeed,
    /// The same for locked pages.
    DontNeedLocked,
    /// Back with huge pages where possible.
    HugePage,
    /// Never back with huge pages.
    NoHugePage,
    /// Fault in for reading now.
    PopulateRead,
    /// Fault in for writing now.
    PopulateWrite,
    /// Read ahead as the kernel thinks best.
    Normal,
    /// Read ahead further, and let go what lies behind.
    Sequential,
    /// Do not read ahead.
    Random,
    /// Leave out of core dumps.
    DontDump,
    /// Put back into core dumps.
    DoDump,
    /// Leave out of a child of `fork`.
    DontFork,
    /// Zero in a child of `fork`.
    WipeOnFork,
    /// Fault on every access, without a mapping of its own.
    GuardInstall,
    /// No longer; what was a guard reads zero.
    GuardRemove,
    /// These pages will not be used soon: the first to go under memory pressure.
    Cold,
    /// Write these pages to swap, or drop those that a file holds.
    PageOut,
    /// These pages will be used soon.
    WillNeed,
    /// Make huge pages of what is there now.
    Collapse,
}

/// What a range of pages may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Nothing: every access faults.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Reading and executing.
    ReadExecute,
}

/// How new pages are to be made, besides their number and alignment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NewPages {
    /// This many bytes before the aligned address belong to the mapping too.
    pub(crate) lead: usize,
    /// Without reserving memory or swap.
    pub(crate) no_reserve: bool,
}

/// When locked pages come into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockTime {
    /// All of them, at once.
    Now,
    /// Each at its first touch.
    OnFault,
}

/// A NUMA policy, by the kernel's names, over the nodes whose bits are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// `MPOL_BIND`.
    Bind,
    /// `MPOL_PREFERRED_MANY`, or `MPOL_PREFERRED` for one node.
    Prefer,
    /// `MPOL_INTERLEAVE`.
    Interleave,
}
