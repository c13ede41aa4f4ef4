//! What a map is for: its kind, in the type, and the ways from one kind to another.

use super::FileMap;
use crate::error::{Error, Operation, Result};
use crate::map::Refused;
use crate::sys::files::FilePages;
use crate::sys::{self, Protection};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;

pub use crate::map::ReadOnly;

mod sealed {
    pub trait Sealed {}
}
use sealed::Sealed;

/// What a [`FileMap`] is for: [`ReadOnly`], [`ReadWrite`] or [`Private`].
pub trait Kind: Sealed + 'static {
    #[doc(hidden)]
    const HOW: How;
}

/// A kind whose bytes can be written to: [`ReadWrite`] or [`Private`].
pub trait Writable: Kind {}

/// A kind whose bytes are the file's: [`ReadOnly`] or [`ReadWrite`].
pub trait OfFile: Kind {}

/// A kind for the room that maps it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub(super) shared: bool,
    pub(super) writable: bool,
    pub(super) name: &'static str,
}

impl How {
    pub(super) const fn pages(self, no_reserve: bool) -> FilePages {
        FilePages { shared: self.shared, writable: self.writable, no_reserve }
    }
}

/// The contents can be read and written. What is written reaches the file, and everybody who maps or reads it, at once.
#[derive(Debug)]
pub enum ReadWrite {}

/// The contents can be read and written. What is written stays in the map, in copies of the pages.
///
/// A page is the file's, and follows it, until it is written to; from then on it is as the file was at that time. If the
/// file ended in such a page and becomes longer, the new bytes of that page are not seen.
#[derive(Debug)]
pub enum Private {}

impl Sealed for ReadOnly {}
impl Sealed for ReadWrite {}
impl Sealed for Private {}

impl Kind for ReadOnly {
    const HOW: How = How { shared: true, writable: false, name: "ReadOnly" };
}

impl Kind for ReadWrite {
    const HOW: How = How { shared: true, writable: true, name: "ReadWrite" };
}

impl Kind for Private {
    const HOW: How = How { shared: false, writable: true, name: "Private" };
}

impl Writable for ReadWrite {}
impl Writable for Private {}

impl OfFile for ReadOnly {}
impl OfFile for ReadWrite {}

impl FileMap<ReadWrite> {
    /// Takes the leave to write away. What was written stays in the file.
    ///
    /// # Errors
    /// If the kernel refuses; the map comes back with the error.
    pub fn into_read_only(self) -> Result<FileMap<ReadOnly>, Refused<Self>> {
        self.into_kind(Protection::Read)
    }
}

impl FileMap<ReadOnly> {
    /// Gives leave to write.
    ///
    /// # Errors
    /// If the file was not open for writing when it was mapped (`EACCES`), or the kernel refuses; the map comes back with
    /// the error.
    pub fn into_writable(self) -> Result<FileMap<ReadWrite>, Refused<Self>> {
        self.into_kind(Protection::ReadWrite)
    }
}

impl<K: OfFile> FileMap<K> {
    /// The same pages with the access of the other kind, `protection`.
    fn into_kind<L: OfFile>(self, protection: Protection) -> Result<FileMap<L>, Refused<Self>> {
        if let Some((base, bytes)) = self.all_pages() {
            // SAFETY: the map's own pages (L1); it is owned here, so nothing borrows from it.
            if let Err(errno) = unsafe { sys::protect(base, bytes, protection) } {
                return Err(Refused::new(Error::os(Operation::Protect, bytes, errno), self));
            }
        }
        let this = ManuallyDrop::new(self);
        Ok(FileMap {
            start: this.start,
            len: this.len,
            options: this.options,
            identity: this.identity,
            kind: PhantomData,
        })
    }
}
