//! The only room that talks to the operating system.
//!
//! A platform is one file with the functions that this module re-exports; everything above is written against their
//! names. What every platform file promises:
//!
//! * no function allocates, panics, takes a lock of the standard library, or leaves `errno` changed;
//! * a failure is the `errno` as an [`Errno`], and a failed call has changed nothing, but for [`advise`], which may have
//!   done the first part of a range;
//! * lengths and addresses are passed on as they are: the callers, all in `map` and `heap`, have checked them.

mod posix;
mod shadow;

#[cfg(not(miri))]
#[path = "linux.rs"]
mod platform;
// Miri has no mremap, no madvise and no protections: mappings are blocks of the C heap there.
#[cfg(miri)]
#[path = "miri.rs"]
mod platform;

pub(crate) use platform::{
    address_space_limit, advise, data_is_limited, futex_wait, futex_wait_for, futex_wake, map, move_pages,
    overcommit_is_strict, processors, protect_read_write, remap, reserve, residency, unmap, unmap_tail, write_stderr,
};
pub(crate) use posix::{ExitKey, Thread, abort, at_fork, coarse_milliseconds, error_text, page_size};

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
    /// Back with huge pages where possible.
    HugePage,
    /// Never back with huge pages.
    NoHugePage,
    /// Fault in for writing now.
    PopulateWrite,
    /// Leave out of core dumps.
    DontDump,
    /// Put back into core dumps.
    DoDump,
}
