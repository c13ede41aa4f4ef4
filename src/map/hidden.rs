//! Memory that the kernel itself cannot read, [`memfd_secret(2)`](https://man7.org/linux/man-pages/man2/memfd_secret.2.html),
//! and the end of a mapping's access. For the room of secrets, which neither grows nor shrinks its mappings.
//!
//! Such memory is shared by its nature: a child of `fork` would see what the parent writes. So it is left out of children.

use super::child::{count_forks, this_process};
use super::{Features, Fork, Granted, Guard, MapOptions, Mapping, RawMapping};
use crate::error::{Error, Operation, Result};
use crate::page::page_size;
use crate::sys::{self, PageAdvice, Protection};

impl Mapping {
    /// `len` bytes, whole pages, of memory that the kernel cannot read, with a guard page on either side.
    pub(crate) fn hidden(len: usize) -> Result<Self> {
        let guard = page_size();
        let total = len.checked_add(2 * guard).ok_or(Error::capacity(Operation::Secret, len))?;
        let refused = |errno| Error::os(Operation::Secret, len, errno);
        count_forks().map_err(refused)?;
        let start = sys::map_secret(total).map_err(refused)?;
        // SAFETY: the guards lie within the pages that were mapped above.
        let base = unsafe { start.add(guard) };
        let mapping = Self(RawMapping {
            base,
            committed: len,
            reserved: len,
            options: MapOptions::new().on_fork(Fork::Omit),
            granted: Granted {
                missing: Features::empty(),
                guards: Some(Guard::Protected),
                before: guard,
                after: guard,
                ..Granted::NOTHING
            },
            process: this_process(),
        });
        // SAFETY: the mapping's own pages, which nothing refers to yet.
        unsafe {
            sys::advise(start, total, PageAdvice::DontFork).map_err(refused)?;
            sys::protect(start, guard, Protection::None).map_err(refused)?;
            sys::protect(base.add(len), guard, Protection::None).map_err(refused)?;
        }
        Ok(mapping)
    }

    /// Sets what the committed pages may be used for.
    ///
    /// # Safety
    /// Until they are readable and writable again, nothing uses the pages in a way that they do not allow.
    pub(crate) unsafe fn set_protection(&mut self, protection: Protection) -> Result<()> {
        // SAFETY: the mapping's own pages (M1), and the caller's contract.
        unsafe { sys::protect(self.0.base, self.0.committed, protection) }
            .map_err(|errno| Error::os(Operation::Protect, self.0.committed, errno))
    }
}
