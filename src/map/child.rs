//! What a child of `fork` gets in the place of pages that it does not have ([`Fork::Omit`](super::Fork::Omit)): a mapping of
//! its own, so that the addresses are nobody else's.
//!
//! All of it runs between `fork` and whatever the child does first: system calls only.

use super::{Granted, Mapping, RawMapping};
use crate::error::{Error, Operation, Result};
use crate::sys::{self, Errno, PageAdvice, Protection};
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// How many forks lie between this process and the one that the program started as, and one.
static GENERATION: AtomicU32 = AtomicU32::new(1);

static IS_COUNTED: AtomicBool = AtomicBool::new(false);

/// Has forks counted from now on. Whoever looks at mappings in a handler of its own for the child calls this before it
/// registers that, since handlers run in the order of their registration.
pub(crate) fn count_forks() -> core::result::Result<(), Errno> {
    extern "C" fn nothing() {}
    extern "C" fn count() {
        GENERATION.fetch_add(1, Relaxed);
    }
    // Two threads that come here at once register two handlers, and a fork then counts twice, which is as good.
    if !IS_COUNTED.load(Acquire) {
        sys::at_fork(nothing, nothing, count)?;
        IS_COUNTED.store(true, Release);
    }
    Ok(())
}

/// What tells this process from its parents and children, never zero. The number of a process alone does not, since a child
/// in a namespace of its own may have its parent's; the count of forks alone does not where a child is made past the C
/// library.
pub(super) fn this_process() -> u64 {
    u64::from(sys::process_id() as u32) << 32 | u64::from(GENERATION.load(Relaxed))
}

impl Mapping {
    /// Whether this is a child of `fork` that has not got the pages (M5).
    pub(super) fn is_elsewhere(&self) -> bool {
        self.0.process != 0 && self.0.process != this_process()
    }

    /// Puts zeros between guards where a child has nothing, left out of core dumps and of its own children; from then on it
    /// has a mapping of its own. For a mapping that the process has, nothing happens.
    ///
    /// # Errors
    /// If the kernel refuses, or the place was taken meanwhile.
    pub(crate) fn restore_after_fork(&mut self) -> Result<()> {
        if !self.is_elsewhere() {
            return Ok(());
        }
        let RawMapping { base, reserved, granted: Granted { before, after, .. }, .. } = self.0;
        let bytes = before + reserved + after;
        self.take_place(|start, bytes| sys::map_at(start, bytes, 0))
            .map_err(|errno| Error::os(Operation::Map, bytes, errno))?;
        // SAFETY: the mapping's own pages and guards since the call above (M1), and nobody uses them yet.
        unsafe {
            let start = base.sub(before);
            [PageAdvice::DontDump, PageAdvice::WipeOnFork]
                .into_iter()
                .try_for_each(|advice| sys::advise(start, bytes, advice))
                .map_err(|errno| Error::os(Operation::Advise, bytes, errno))?;
            sys::protect(start, before, Protection::None)
                .and_then(|()| sys::protect(base.add(reserved), after, Protection::None))
                .map_err(|errno| Error::os(Operation::Guard, before + after, errno))
        }
    }

    /// Keeps the addresses from being used for something else where a child has nothing: an owner who knows only the address
    /// could not tell the two apart. Every access faults, as without it.
    pub(super) fn hold_place_after_fork(&mut self) {
        if self.is_elsewhere() {
            // Without access no limit on memory refuses it. If the place was taken before, it is no worse than without this.
            let _ = self.take_place(sys::reserve_at);
        }
    }

    /// Maps something in the place of the pages and their guards by `map`, which replaces nothing that is there; it becomes
    /// the process's own.
    fn take_place(&mut self, map: impl FnOnce(NonNull<u8>, usize) -> Result<(), Errno>) -> Result<(), Errno> {
        let RawMapping { base, reserved, granted: Granted { before, after, .. }, .. } = self.0;
        // SAFETY: the start of the mapping with its guards (M1).
        let start = unsafe { base.sub(before) };
        map(start, before + reserved + after)?;
        self.0.process = 0;
        Ok(())
    }
}
