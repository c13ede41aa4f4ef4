//! [`MemoryFile`]: a file in memory, known by its descriptor, that can be sealed. [`SealedPages`]: one that nobody can change
//! any more.

use super::SharedPages;
use crate::error::{Error, Operation, Result};
use crate::sys::files;
use bitflags::bitflags;
use core::ffi::CStr;
use core::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

bitflags! {
    /// What can no longer be done to a [`MemoryFile`], by anyone
    /// ([`fcntl(2)`](https://man7.org/linux/man-pages/man2/fcntl.2.html), file sealing). A seal is never taken off.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Seals: u32 {
        /// No further seals.
        const SEAL = 1;
        /// Never shorter.
        const SHRINK = 2;
        /// Never longer.
        const GROW = 4;
        /// Never written to. Refused with `EBUSY` while somebody has it mapped for writing.
        const WRITE = 8;
        /// Written to only through mappings that exist already (Linux 5.1).
        const FUTURE_WRITE = 16;
    }
}

/// A file that exists only in memory, [`memfd_create(2)`](https://man7.org/linux/man-pages/man2/memfd_create.2.html): as long
/// as somebody has it open or mapped. Another process gets it by its descriptor, over a Unix socket or by inheritance.
///
/// ```
/// use mapalloc::ipc::{MemoryFile, Seals};
///
/// let file = MemoryFile::new(c"frames", 1 << 20)?; // of a fixed length
/// let pages = file.map()?;
/// pages.write_at(0, b"for the other process")?;
/// assert!(file.seals()?.contains(Seals::SHRINK | Seals::GROW));
/// # Ok::<(), mapalloc::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryFile(OwnedFd);

impl MemoryFile {
    /// A file of `len` zero bytes that stays so long. The name shows in `/proc/self/maps` and is nothing else.
    ///
    /// # Errors
    /// If the name is longer than 249 bytes, or the kernel refuses.
    pub fn new(name: &CStr, len: usize) -> Result<Self> {
        let file = Self::growing(name, len)?;
        file.add_seals(Seals::GROW)?;
        Ok(file)
    }

    /// As [`new`](Self::new), for a file that may [grow](Self::grow). It never shrinks either.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn growing(name: &CStr, len: usize) -> Result<Self> {
        let file = Self(files::memory_file(name).map_err(|errno| Error::os(Operation::File, len, errno))?);
        file.set_len(len)?;
        file.add_seals(Seals::SHRINK)?;
        Ok(file)
    }

    /// A file that another process has passed, by its descriptor.
    ///
    /// # Errors
    /// If it is no file in memory that takes seals (`EINVAL`), or is neither sealed against shrinking nor can be: whoever
    /// maps such a file can be ended by another that makes it shorter. The descriptor is then closed.
    pub fn from_fd(file: OwnedFd) -> Result<Self> {
        let file = Self(file);
        if !file.seals()?.contains(Seals::SHRINK) {
            file.add_seals(Seals::SHRINK)?;
        }
        Ok(file)
    }

    /// The length in bytes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn len(&self) -> Result<usize> {
        let status = files::file_status(self.0.as_fd()).map_err(|errno| Error::os(Operation::File, 0, errno))?;
        usize::try_from(status.len).map_err(|_| Error::capacity(Operation::File, usize::MAX))
    }

    /// Whether there are no bytes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Makes the file `len` bytes long, if it is shorter; what is new is zero. Mappings stay as long as they are: map it
    /// again to see the rest.
    ///
    /// # Errors
    /// If it is sealed against growing (`EPERM`), or the kernel refuses.
    pub fn grow(&self, len: usize) -> Result<()> {
        if len > self.len()? { self.set_len(len) } else { Ok(()) }
    }

    /// Sees to memory for all of the file, so that touching it later cannot fail for want of it.
    ///
    /// # Errors
    /// If there is not so much memory.
    pub fn allocate(&self) -> Result<()> {
        let len = self.len()?;
        if len == 0 {
            return Ok(());
        }
        files::allocate_file(self.0.as_fd(), len as u64).map_err(|errno| Error::os(Operation::File, len, errno))
    }

    /// The seals.
    ///
    /// # Errors
    /// If the file takes none.
    pub fn seals(&self) -> Result<Seals> {
        let seals = files::seals(self.0.as_fd()).map_err(|errno| Error::os(Operation::Seal, 0, errno))?;
        Ok(Seals::from_bits_retain(seals))
    }

    /// Adds seals.
    ///
    /// # Errors
    /// If the file takes no more (`EPERM`), or is mapped for writing somewhere and is to be sealed against that (`EBUSY`).
    pub fn add_seals(&self, seals: Seals) -> Result<()> {
        files::add_seals(self.0.as_fd(), seals.bits()).map_err(|errno| Error::os(Operation::Seal, 0, errno))
    }

    /// Maps the file for reading and writing, as long as it is now.
    ///
    /// # Errors
    /// If it is sealed against writing (`EPERM`), or the kernel refuses.
    pub fn map(&self) -> Result<SharedPages> {
        SharedPages::map(Some(self.0.as_fd()), self.len()?, true)
    }

    /// Maps the file for reading. Others may go on writing to it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn map_read_only(&self) -> Result<SharedPages> {
        SharedPages::map(Some(self.0.as_fd()), self.len()?, false)
    }

    /// Seals the file against every change, by anyone, and maps it: plain bytes from here on.
    ///
    /// # Errors
    /// If somebody has it mapped for writing (`EBUSY`), or the kernel refuses.
    pub fn seal(&self) -> Result<SealedPages> {
        let all = Seals::WRITE | Seals::SHRINK | Seals::GROW;
        if !self.seals()?.contains(all) {
            self.add_seals(all)?;
        }
        // Asked again: what counts is what the kernel says.
        if !self.seals()?.contains(Seals::WRITE | Seals::SHRINK) {
            return Err(Error::os(Operation::Seal, 0, libc::EPERM));
        }
        Ok(SealedPages(self.map_read_only()?))
    }

    fn set_len(&self, len: usize) -> Result<()> {
        files::set_file_len(self.0.as_fd(), len as u64).map_err(|errno| Error::os(Operation::File, len, errno))
    }
}

impl AsFd for MemoryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for MemoryFile {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl IntoRawFd for MemoryFile {
    fn into_raw_fd(self) -> RawFd {
        self.0.into_raw_fd()
    }
}

impl From<MemoryFile> for OwnedFd {
    fn from(file: MemoryFile) -> Self {
        file.0
    }
}

/// The bytes of a file that nobody can change any more: a plain slice, by the word of the kernel.
///
/// [`MemoryFile::seal`] makes it, in the process that wrote the file and in one that was passed its descriptor.
#[derive(Debug)]
pub struct SealedPages(SharedPages);

impl Deref for SealedPages {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the file is sealed against writing and shrinking, so nobody writes to it, by a mapping or otherwise.
        unsafe { self.0.as_slice() }
    }
}

impl AsRef<[u8]> for SealedPages {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
