//! Files as memory: maps of a file or a part of it, that survive what others do to the file.
//!
//! A [`FileMap`] shows a range of a file at any offset and of any length. Its kind says what it is for:
//!
//! | kind | what is written | made from a file that is open for |
//! |---|---|---|
//! | [`ReadOnly`] | nothing can be | reading |
//! | [`ReadWrite`] | reaches the file, and everybody who has it mapped | reading and writing |
//! | [`Private`] | stays in this map | reading |
//!
//! ```
//! use mapalloc::file::{FileMap, FileOptions, Private, ReadWrite};
//! use std::io::Write;
//!
//! let path = std::env::temp_dir().join(format!("mapalloc-doc-{}", std::process::id()));
//! let mut file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
//! file.write_all(b"one two three")?;
//!
//! const NUMBER: FileOptions = FileOptions::new().offset(4).len(3);
//! let map: FileMap<ReadWrite> = NUMBER.map(&file)?;
//! let draft: FileMap<Private> = FileOptions::new().map(&file)?;
//! draft.write_at(0, b"ONE")?; // in this map only
//! map.write_at(0, b"TWO")?;
//! map.flush()?; // it is on the disk
//! assert_eq!(std::fs::read(&path)?, b"one TWO three");
//!
//! file.set_len(0)?; // somebody cuts the file under the map
//! assert!(map.is_truncated(&file)?);
//! let mut number = [0; 3];
//! assert!(map.read_at(0, &mut number).is_err()); // an error, and no signal
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Whoever else has the file
//! A mapped file is not the program's own memory. Any process that may write to the file can change its bytes at any time,
//! and make it shorter, after which the pages behind its end fault with `SIGBUS`. So do pages that the disk cannot read, and
//! pages written to for which the file system has no space. There are four ways to the bytes:
//!
//! * [`read_at`](FileMap::read_at) and [`write_at`](FileMap::write_at) have the kernel copy. Whatever happens to the file,
//!   they are safe, and a page that is not there is an error.
//! * [`atomic_bytes`](FileMap::atomic_bytes) lends the bytes as atomics, which others may change. A page that is not there
//!   ends the program with `SIGBUS`: a crash, not undefined behaviour. [`check`](FileMap::check) and
//!   [`check_writable`](FileMap::check_writable) turn that into an error beforehand, as long as the file stays as it is.
//! * [`as_slice`](FileMap::as_slice) and [`as_mut_slice`](FileMap::as_mut_slice) are unsafe: the caller knows that nobody
//!   else changes the file.
//! * [`as_ptr`](FileMap::as_ptr) promises nothing.
//!
//! # The descriptor
//! A map holds the file, not the descriptor, which may be closed at once. A duplicate of it would take the process' locks of
//! [`fcntl(2)`](https://man7.org/linux/man-pages/man2/F_SETLK.2const.html) on the file away when it is closed. What asks for
//! the file's length or makes it longer takes the file again, and refuses another one.
//!
//! Files of [hugetlbfs](https://docs.kernel.org/admin-guide/mm/hugetlbpage.html) are refused (`EOPNOTSUPP`). Of a device, the
//! length must be given.
//!
//! This file holds the type and its views; `kind` says what a map is for, `options` maps, `copy` reads and writes, `atomic`
//! lends atomics, `flush` writes back, `advise` advises, locks and asks, `resize` grows and shrinks.
//!
//! # Invariants of a [`FileMap`]
//! * **L1** If `len` is not zero, the whole pages that `start..start + len` lies in were mapped by this room, from the file
//!   that `identity` names; `start` shows its byte `options.offset`. They belong to this value alone, and are unmapped by
//!   nobody else. If `len` is zero, nothing is mapped.
//! * **L2** Those pages are readable, and writable if the kind is [`Writable`]. They are the file's, unless it is
//!   [`Private`].
//! * **L3** Nobody has a reference to the bytes but as atomics, or by the promise of whoever called an unsafe function.

mod advise;
mod atomic;
mod copy;
mod flush;
mod kind;
mod options;
mod resize;

pub use crate::atomic::Atomic;
pub use advise::FileAdvice;
pub use kind::{Kind, OfFile, Private, ReadOnly, ReadWrite, Writable};
pub use options::FileOptions;

use crate::error::{Error, Operation, Result};
use crate::map;
use crate::page::{page_size, round_down, round_up};
use crate::sys;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Bound, Range, RangeBounds};
use core::ptr::NonNull;
use core::slice;
use std::os::fd::AsFd;

/// A range of a file as memory, unmapped when dropped; see the [module](self) for its kinds and the ways to its bytes.
pub struct FileMap<K: Kind> {
    start: NonNull<u8>,
    len: usize,
    options: FileOptions,
    identity: (u64, u64),
    kind: PhantomData<K>,
}

// SAFETY: by L1 the pages belong to this value alone, so they can move to another thread with it.
unsafe impl<K: Kind> Send for FileMap<K> {}
// SAFETY: by L3 a shared reference gives atomics and copies by the kernel; what gives more is unsafe.
unsafe impl<K: Kind> Sync for FileMap<K> {}

impl<K: Kind> FileMap<K> {
    /// Maps a whole file, as long as it is now.
    ///
    /// # Errors
    /// As for [`FileOptions::map`].
    pub fn new(file: impl AsFd) -> Result<Self> {
        FileOptions::new().map(file)
    }

    /// The length in bytes.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the map shows nothing.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the map starts in the file.
    #[inline]
    pub const fn offset(&self) -> u64 {
        self.options.offset
    }

    /// The address of the first byte, as far behind the start of a page as the offset is. It dangles if the map is empty.
    ///
    /// Who reads by it sees to it that nobody changes the bytes meanwhile, or reads them as atomics.
    #[inline]
    pub const fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// The bytes.
    ///
    /// # Safety
    /// While the slice lives:
    /// * nobody changes a byte of it, neither this process nor another one, neither by a map of the file (this one included:
    ///   [`write_at`](Self::write_at), [`atomic_bytes`](Self::atomic_bytes)) nor by `write(2)` and its like. For a
    ///   [`Private`] map that holds too, since pages that were not written to are still the file's;
    /// * the file does not become so short that a page of the slice lies behind its end.
    #[inline]
    pub const unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: by L1 and L2 the bytes are readable; the caller sees to it that they stay so and do not change.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// How far the first byte is behind the start of its page.
    fn lead(&self) -> usize {
        options::lead(self.options.offset)
    }

    /// All pages of the map.
    fn all_pages(&self) -> Option<(NonNull<u8>, usize)> {
        self.pages(0..self.len)
    }

    /// The whole pages that a range of the map lies in, if it has any.
    fn pages(&self, range: Range<usize>) -> Option<(NonNull<u8>, usize)> {
        debug_assert!(range.end <= self.len);
        if range.is_empty() {
            return None;
        }
        let lead = self.lead();
        let first = round_down(lead + range.start, page_size());
        let bytes = round_up(lead + range.end, page_size()) - first;
        // SAFETY: L1: the start of the first page, and a page of the range.
        Some((unsafe { self.start.sub(lead).add(first) }, bytes))
    }

    /// Calls for the pages of a range, if it has any.
    fn on_pages(
        &self,
        operation: Operation,
        range: impl RangeBounds<usize>,
        call: impl FnOnce(NonNull<u8>, usize) -> Result<(), sys::Errno>,
    ) -> Result<()> {
        let Some((base, bytes)) = self.pages(self.resolve(operation, range)?) else { return Ok(()) };
        call(base, bytes).map_err(|errno| Error::os(operation, bytes, errno))
    }

    /// A range as the caller gave it, if it is one of the map's.
    fn resolve(&self, operation: Operation, range: impl RangeBounds<usize>) -> Result<Range<usize>> {
        let start = match range.start_bound() {
            Bound::Included(&start) => Some(start),
            Bound::Excluded(&before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.checked_add(1),
            Bound::Excluded(&end) => Some(end),
            Bound::Unbounded => Some(self.len),
        };
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= self.len => Ok(start..end),
            (Some(start), Some(end)) => Err(Error::out_of_range(operation, end.saturating_sub(start))),
            _ => Err(Error::out_of_range(operation, usize::MAX)),
        }
    }
}

impl<K: Writable> FileMap<K> {
    /// The address of the first byte, for writing; as [`as_ptr`](Self::as_ptr) says.
    #[inline]
    pub const fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The bytes, for writing.
    ///
    /// # Safety
    /// While the slice lives:
    /// * nobody else reads or changes a byte of it, neither this process nor another one, neither by a map of the file nor
    ///   by `write(2)` and its like. Of a [`Private`] map others may read the file, but not change it;
    /// * the file does not become so short that a page of the slice lies behind its end, and the file system has space for
    ///   what is written ([`check_writable`](Self::check_writable) sees to that).
    #[inline]
    pub const unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: by L1 and L2 the bytes are writable; the caller sees to it that they stay so and are nobody else's.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<K: Kind> Drop for FileMap<K> {
    fn drop(&mut self) {
        if let Some((base, bytes)) = self.all_pages() {
            // SAFETY: L1, and nothing can use the value after its drop.
            unsafe { map::discard(base, bytes) };
        }
    }
}

impl<K: Kind> fmt::Debug for FileMap<K> {
    /// The kind and the place, not the contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileMap")
            .field("kind", &format_args!("{}", K::HOW.name))
            .field("start", &self.start)
            .field("len", &self.len)
            .field("offset", &self.options.offset)
            .finish()
    }
}
