//! How a file is to be mapped: a by-value builder that also works in constants, and the mapping itself.

use super::{FileMap, Kind};
use crate::error::{Error, Operation, Result};
use crate::page::{checked_round_up, page_size};
use crate::sys::files::{self, FileStatus};
use crate::sys::{self, PageAdvice};
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Options for maps of files.
///
/// Every method takes and returns the options by value and is `const`, so a set of options can be a constant. They hold for
/// the life of the map: pages that come by growth are made the same way.
///
/// ```
/// use mapalloc::file::{FileMap, FileOptions, ReadOnly};
///
/// const PROGRAM: FileOptions = FileOptions::new().len(4).populate(true);
/// let program: FileMap<ReadOnly> = PROGRAM.map(std::fs::File::open("/proc/self/exe")?)?;
/// let mut magic = [0; 4];
/// program.read_at(0, &mut magic)?;
/// assert_eq!(&magic, b"\x7fELF");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "options do nothing until a file is mapped with them"]
pub struct FileOptions {
    pub(super) offset: u64,
    len: Option<usize>,
    past_end: bool,
    populate: bool,
    no_reserve: bool,
    huge_pages: Option<bool>,
}

impl FileOptions {
    /// The whole file, nothing else asked for.
    pub const fn new() -> Self {
        Self { offset: 0, len: None, past_end: false, populate: false, no_reserve: false, huge_pages: None }
    }

    /// Where the map starts in the file: any byte, not only the first of a page.
    pub const fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// How many bytes the map has. Without this it goes to the end that the file has when it is mapped.
    pub const fn len(mut self, len: usize) -> Self {
        self.len = Some(len);
        self
    }

    /// Whether the map may go past the end of the file. Pages there fault until the file is longer: then they are there
    /// without a change of the map, whose address stays.
    pub const fn past_end(mut self, past_end: bool) -> Self {
        self.past_end = past_end;
        self
    }

    /// Whether to read all pages in at once, by `MADV_POPULATE_READ` (Linux 5.14), instead of each at its first touch. Best
    /// effort: [`check`](FileMap::check) says what failed.
    pub const fn populate(mut self, populate: bool) -> Self {
        self.populate = populate;
        self
    }

    /// `MAP_NORESERVE`: pages that a [`Private`](super::Private) map may have to copy are not counted against the system's
    /// limit on memory promised.
    pub const fn no_reserve(mut self, no_reserve: bool) -> Self {
        self.no_reserve = no_reserve;
        self
    }

    /// `true` asks for transparent huge pages, `false` refuses them, both as far as the file system goes along.
    pub const fn huge_pages(mut self, huge: bool) -> Self {
        self.huge_pages = Some(huge);
        self
    }

    /// Maps a file. An empty file, or a length of zero, gives an empty map without pages.
    ///
    /// # Errors
    /// * If the range is not within the file, unless [`past_end`](Self::past_end) allows that, or too large for an address
    ///   space.
    /// * If the file is not open for what the kind needs (`EACCES`).
    /// * If it is not a regular file and no length is given (`ENODEV`), or the kernel refuses.
    pub fn map<K: Kind>(self, file: impl AsFd) -> Result<FileMap<K>> {
        let file = file.as_fd();
        let status = inspect(file)?;
        let len = match self.len {
            Some(len) => len,
            None if !status.is_regular => return Err(Error::os(Operation::Map, 0, libc::ENODEV)),
            None => self.to_end(&status)?,
        };
        self.map_len(file, &status, len)
    }

    /// The bytes from the offset to the end of the file.
    pub(super) fn to_end(self, status: &FileStatus) -> Result<usize> {
        let rest = status.len.checked_sub(self.offset).ok_or(Error::past_end(Operation::Map, 0))?;
        usize::try_from(rest).map_err(|_| Error::capacity(Operation::Map, usize::MAX))
    }

    /// Maps `len` bytes.
    pub(super) fn map_len<K: Kind>(self, file: BorrowedFd<'_>, status: &FileStatus, len: usize) -> Result<FileMap<K>> {
        let span = self.span(Operation::Map, status, len)?;
        let mut map =
            FileMap { start: NonNull::dangling(), len: 0, options: self, identity: status.identity, kind: PhantomData };
        let refused = |errno| Error::os(Operation::Map, len, errno);
        if status.is_hugetlb {
            return Err(refused(libc::EOPNOTSUPP));
        }
        if len > 0 {
            let lead = lead(self.offset);
            let base =
                files::map_file(file.as_raw_fd(), self.offset - lead as u64, span, K::HOW.pages(self.no_reserve))
                    .map_err(refused)?;
            // SAFETY: `lead` is less than a page, and the span has at least one.
            (map.start, map.len) = (unsafe { base.add(lead) }, len);
            map.prepare();
        }
        Ok(map)
    }

    /// The length in bytes of the whole pages for `len` bytes, if they can be mapped.
    pub(super) fn span(self, operation: Operation, status: &FileStatus, len: usize) -> Result<usize> {
        let end = self.offset.checked_add(len as u64).filter(|&end| end <= i64::MAX as u64);
        let span = lead(self.offset).checked_add(len).and_then(|bytes| checked_round_up(bytes, page_size()));
        match (end, span) {
            (Some(end), _) if status.is_regular && !self.past_end && end > status.len => {
                Err(Error::past_end(operation, len))
            }
            (Some(_), Some(span)) if span <= isize::MAX as usize => Ok(span),
            _ => Err(Error::capacity(operation, len)),
        }
    }
}

impl Default for FileOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Kind> FileMap<K> {
    /// Does to the pages what the options say and the kernel may refuse.
    pub(super) fn prepare(&mut self) {
        let Some((base, bytes)) = self.all_pages() else { return };
        let huge = self.options.huge_pages.map(|huge| if huge { PageAdvice::HugePage } else { PageAdvice::NoHugePage });
        let populate = self.options.populate.then_some(PageAdvice::PopulateRead);
        for advice in [huge, populate].into_iter().flatten() {
            // SAFETY: the map's own pages (L1), whose contents stay. A refusal costs time only.
            let _ = unsafe { sys::advise(base, bytes, advice) };
        }
    }
}

/// What a descriptor is of.
pub(super) fn inspect(file: BorrowedFd<'_>) -> Result<FileStatus> {
    files::file_status(file).map_err(|errno| Error::os(Operation::Inspect, 0, errno))
}

/// How far a byte of a file is behind the start of its page.
pub(super) fn lead(offset: u64) -> usize {
    // Less than a page, whose size is a power of two.
    offset as usize & (page_size() - 1)
}
