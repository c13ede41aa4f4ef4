//! A file for direct I/O: what alignment its file system asks for, and the opening that may be refused.

use mapalloc::page_size;
use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Of what the addresses of buffers, and the offsets and lengths in the file, must be multiples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alignment {
    pub(crate) memory: usize,
    pub(crate) offset: usize,
}

/// A new file, removed when dropped.
pub(crate) struct Scratch {
    path: PathBuf,
    /// For buffered reads and writes.
    pub(crate) buffered: File,
}

impl Scratch {
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        let buffered = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { path, buffered })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same file past the page cache, with the alignment that it needs; `InvalidInput` where the file system has no
    /// such thing.
    pub(crate) fn direct(&self) -> io::Result<(File, Alignment)> {
        let file = File::options().read(true).write(true).custom_flags(libc::O_DIRECT).open(&self.path)?;
        let alignment = alignment(&file)?;
        Ok((file, alignment))
    }

    /// Takes the file out of the page cache, as far as it is there and written.
    pub(crate) fn drop_cache(&self) -> io::Result<()> {
        // SAFETY: advice on an open file, for all its length.
        match unsafe { libc::posix_fadvise(self.buffered.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whoever removed it first has done the same.
        _ = std::fs::remove_file(&self.path);
    }
}

/// What the kernel says by `STATX_DIOALIGN` (Linux 6.1, where the file system goes along), or a page, which is enough for
/// every device.
fn alignment(file: &File) -> io::Result<Alignment> {
    // SAFETY: zeros are a valid `statx`, a struct of integers.
    let mut found: libc::statx = unsafe { zeroed() };
    let flags = libc::AT_EMPTY_PATH;
    // SAFETY: an open file, an empty path, and a place for the answer.
    if unsafe { libc::statx(file.as_raw_fd(), c"".as_ptr(), flags, libc::STATX_DIOALIGN, &mut found) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if found.stx_mask & libc::STATX_DIOALIGN == 0 {
        return Ok(Alignment { memory: page_size(), offset: page_size() });
    }
    match (found.stx_dio_mem_align as usize, found.stx_dio_offset_align as usize) {
        (0, _) | (_, 0) => Err(io::ErrorKind::InvalidInput.into()),
        (memory, offset) => Ok(Alignment { memory, offset }),
    }
}
