//! A file mapped for reading, by `mmap(2)` itself.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::ptr::{NonNull, null_mut};
use std::slice;

/// The contents of a file, in memory as they are read.
///
/// Invariant **W1**: `start` is a private mapping of `len` bytes that this value alone has, of a file that this program made and
/// does not change any more.
#[derive(Debug)]
pub(crate) struct View {
    start: NonNull<u8>,
    len: usize,
}

impl View {
    /// Page by page, at the first touch of each.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Self::with(file, 0)
    }

    /// All of it at once, `MAP_POPULATE`.
    pub(crate) fn populated(file: &File) -> io::Result<Self> {
        Self::with(file, libc::MAP_POPULATE)
    }

    fn with(file: &File, flags: i32) -> io::Result<Self> {
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let flags = flags | libc::MAP_PRIVATE;
        // SAFETY: a new mapping at a place of the kernel's choice touches none that is there.
        let start = unsafe { libc::mmap(null_mut(), len, libc::PROT_READ, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// Says how it will be read, `MADV_SEQUENTIAL` or `MADV_RANDOM`.
    pub(crate) fn advised(self, advice: i32) -> io::Result<Self> {
        // SAFETY: W1, and such advice changes no contents.
        match unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, advice) } {
            0 => Ok(self),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Deref for View {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: W1.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: W1, and nothing uses it after this.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
