//! [`NamedMemory`]: POSIX shared memory, found by a name ([`shm_overview(7)`](https://man7.org/linux/man-pages/man7/shm_overview.7.html)).
//!
//! Whoever has a segment open here holds a shared lock on it. The lock goes with the process, however that ends, and so
//! tells a name in use from one that its users have left behind.

use super::SharedPages;
use crate::error::{Error, Operation, Result};
use crate::sys::{Errno, coarse_milliseconds, files};
use core::ffi::CStr;
use core::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a name did not lead to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NamedError {
    /// The name is taken, by a process that has it open or is just making it.
    InUse,
    /// The name is taken, but nobody has it open any more: its users ended without unlinking it.
    /// [`NamedMemory::replace_stale`] takes it over.
    Stale,
    /// There is no such name.
    NotFound,
    /// The segment has another length.
    Size {
        /// The length that was asked for, in bytes.
        expected: usize,
        /// The length that it has.
        found: usize,
    },
    /// The segment that is open has no name any more, or the name is another segment's.
    Vanished,
    /// The name is not one: a slash, and up to 254 bytes without a slash.
    Name,
    /// The kernel refused, for want of memory, permission or whatever the error says.
    Refused(Error),
}

impl fmt::Display for NamedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("the name of the shared memory is in use"),
            Self::Stale => f.write_str("the name of the shared memory was left behind by processes that have ended"),
            Self::NotFound => f.write_str("there is no shared memory of this name"),
            Self::Size { expected, found } => {
                write!(f, "the shared memory has {found} bytes, not {expected}")
            }
            Self::Vanished => f.write_str("the shared memory has been unlinked"),
            Self::Name => f.write_str("the name of shared memory is a slash and up to 254 bytes without one"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for NamedError {}

impl From<Error> for NamedError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<NamedError> for std::io::Error {
    fn from(error: NamedError) -> Self {
        use std::io::ErrorKind;
        let kind = match error {
            NamedError::InUse | NamedError::Stale => ErrorKind::AlreadyExists,
            NamedError::NotFound | NamedError::Vanished => ErrorKind::NotFound,
            NamedError::Size { .. } | NamedError::Name => ErrorKind::InvalidInput,
            NamedError::Refused(error) => return error.into(),
        };
        Self::new(kind, error)
    }
}

/// A segment that is just being made has no length yet. One that stays so for longer than this was left behind.
const MAKING_SECONDS: i64 = 2;

/// How long opening waits for a segment that is just being made, in milliseconds.
const PATIENCE: u64 = 200;

/// Memory that processes find by a name. Dropping it closes it; the name stays until it is [unlinked](Self::unlink).
///
/// ```
/// use mapalloc::ipc::{NamedError, NamedMemory};
/// # let name = std::ffi::CString::new(format!("/mapalloc-doc-{}", std::process::id())).unwrap();
/// # let name = name.as_c_str();
///
/// let memory = NamedMemory::create(name, 4096, 0o600)?; // "/frames", for the owner alone
/// memory.map()?.write_at(0, b"hello")?;
/// let other = NamedMemory::open(name, 4096)?; // in another process, say
/// assert_eq!(NamedMemory::open(name, 8192).unwrap_err(), NamedError::Size { expected: 8192, found: 4096 });
/// assert_eq!(NamedMemory::create(name, 4096, 0o600).unwrap_err(), NamedError::InUse);
/// NamedMemory::unlink(name)?;
/// assert_eq!(other.check(name).unwrap_err(), NamedError::Vanished);
/// # Ok::<(), NamedError>(())
/// ```
#[derive(Debug)]
pub struct NamedMemory {
    file: OwnedFd,
    len: usize,
}

impl NamedMemory {
    /// Makes a segment of `len` zero bytes under a new name, with these permissions (less the process' umask). The memory
    /// for it is there from then on, so that touching it cannot fail.
    ///
    /// # Errors
    /// [`InUse`](NamedError::InUse) or [`Stale`](NamedError::Stale) if there is one of this name,
    /// [`Refused`](NamedError::Refused) with `ENOSPC` if there is not so much memory; nothing is left then.
    pub fn create(name: &CStr, len: usize, mode: u32) -> Result<Self, NamedError> {
        check_name(name)?;
        let file = files::open_named(name, Some(mode)).map_err(|errno| match errno {
            libc::EEXIST => state_of(name),
            errno => refused(len)(errno),
        })?;
        let made = files::try_lock_file(file.as_fd(), false)
            .and_then(|()| files::set_file_len(file.as_fd(), len as u64))
            .and_then(|()| if len == 0 { Ok(()) } else { files::allocate_file(file.as_fd(), len as u64) });
        if let Err(errno) = made {
            // The name is this call's own. There is nothing to be done about a failure to remove it.
            let _ = files::unlink_named(name);
            return Err(refused(len)(errno));
        }
        Ok(Self { file, len })
    }

    /// Opens the segment of this name, which must have this length.
    ///
    /// # Errors
    /// [`NotFound`](NamedError::NotFound), or [`Size`](NamedError::Size) if it has another length.
    pub fn open(name: &CStr, len: usize) -> Result<Self, NamedError> {
        let memory = Self::open_any(name)?;
        if memory.len == len { Ok(memory) } else { Err(NamedError::Size { expected: len, found: memory.len }) }
    }

    /// Opens the segment of this name, whatever its length.
    ///
    /// # Errors
    /// [`NotFound`](NamedError::NotFound), or [`InUse`](NamedError::InUse) if somebody goes on replacing it.
    pub fn open_any(name: &CStr) -> Result<Self, NamedError> {
        check_name(name)?;
        let started = coarse_milliseconds();
        loop {
            let file = files::open_named(name, None).map_err(|errno| match errno {
                libc::ENOENT => NamedError::NotFound,
                errno => refused(0)(errno),
            })?;
            let status = files::file_status(file.as_fd()).map_err(refused(0))?;
            // The lock is refused only while somebody replaces the name, which takes a moment, as making it does.
            let is_locked = files::try_lock_file(file.as_fd(), false).is_ok();
            let is_late = coarse_milliseconds() - started > PATIENCE;
            if is_locked && (status.len > 0 || is_late) {
                let len =
                    usize::try_from(status.len).map_err(|_| NamedError::Size { expected: 0, found: usize::MAX })?;
                return Ok(Self { file, len });
            }
            if is_late {
                return Err(NamedError::InUse);
            }
            std::thread::yield_now();
        }
    }

    /// [Opens](Self::open) the segment of this name, or [makes](Self::create) it; of several processes that do this at once,
    /// one makes it and the others open it.
    ///
    /// # Errors
    /// [`Size`](NamedError::Size) if there is one of another length, and as for [`create`](Self::create).
    pub fn open_or_create(name: &CStr, len: usize, mode: u32) -> Result<Self, NamedError> {
        loop {
            match Self::open(name, len) {
                Err(NamedError::NotFound) => {}
                opened => return opened,
            }
            match Self::create(name, len, mode) {
                Err(NamedError::InUse | NamedError::Stale) => {}
                made => return made,
            }
        }
    }

    /// Makes a segment under a name that processes have left behind, or under a new one. Of several processes that do this
    /// at once, one does it.
    ///
    /// # Errors
    /// [`InUse`](NamedError::InUse) if somebody has it open, and as for [`create`](Self::create).
    pub fn replace_stale(name: &CStr, len: usize, mode: u32) -> Result<Self, NamedError> {
        match Self::create(name, len, mode) {
            Err(NamedError::Stale) => {}
            made => return made,
        }
        let old = files::open_named(name, None).map_err(|errno| match errno {
            libc::ENOENT => NamedError::InUse,
            errno => refused(len)(errno),
        })?;
        if files::try_lock_file(old.as_fd(), true).is_err() {
            return Err(NamedError::InUse);
        }
        // The lock keeps others from replacing this segment; one who did so before has put another under the name.
        if !is_named(name, old.as_fd()) {
            return Err(NamedError::InUse);
        }
        files::unlink_named(name).map_err(refused(len))?;
        Self::create(name, len, mode)
    }

    /// Removes a name. Whoever has the segment open keeps it.
    ///
    /// # Errors
    /// [`NotFound`](NamedError::NotFound).
    pub fn unlink(name: &CStr) -> Result<(), NamedError> {
        check_name(name)?;
        files::unlink_named(name).map_err(|errno| match errno {
            libc::ENOENT => NamedError::NotFound,
            errno => refused(0)(errno),
        })
    }

    /// Whether the segment is still what its name leads to, and as long as it was.
    ///
    /// # Errors
    /// [`Vanished`](NamedError::Vanished), or [`Size`](NamedError::Size) if somebody has made it shorter or longer.
    pub fn check(&self, name: &CStr) -> Result<(), NamedError> {
        let status = files::file_status(self.file.as_fd()).map_err(refused(self.len))?;
        if status.len != self.len as u64 {
            let found = usize::try_from(status.len).unwrap_or(usize::MAX);
            return Err(NamedError::Size { expected: self.len, found });
        }
        if status.links == 0 || !is_named(name, self.file.as_fd()) { Err(NamedError::Vanished) } else { Ok(()) }
    }

    /// The length in bytes, as it was when the segment was made or opened.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The permissions, as in [`chmod(2)`](https://man7.org/linux/man-pages/man2/chmod.2.html).
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn mode(&self) -> Result<u32, NamedError> {
        Ok(files::file_status(self.file.as_fd()).map_err(refused(0))?.mode)
    }

    /// Sets the permissions.
    ///
    /// # Errors
    /// If the process does not own the segment.
    pub fn set_mode(&self, mode: u32) -> Result<(), NamedError> {
        files::set_file_mode(self.file.as_fd(), mode).map_err(refused(0))
    }

    /// The user and the group that own the segment.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn owner(&self) -> Result<(u32, u32), NamedError> {
        Ok(files::file_status(self.file.as_fd()).map_err(refused(0))?.owner)
    }

    /// Gives the segment to a user and a group.
    ///
    /// # Errors
    /// If the process may not.
    pub fn set_owner(&self, user: u32, group: u32) -> Result<(), NamedError> {
        files::set_file_owner(self.file.as_fd(), user, group).map_err(refused(0))
    }

    /// Maps the segment for reading and writing.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn map(&self) -> Result<SharedPages, NamedError> {
        Ok(SharedPages::map(Some(self.file.as_fd()), self.len, true)?)
    }

    /// Maps the segment for reading.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn map_read_only(&self) -> Result<SharedPages, NamedError> {
        Ok(SharedPages::map(Some(self.file.as_fd()), self.len, false)?)
    }
}

impl AsFd for NamedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn refused(len: usize) -> impl Fn(Errno) -> NamedError {
    move |errno| NamedError::Refused(Error::os(Operation::File, len, errno))
}

fn check_name(name: &CStr) -> Result<(), NamedError> {
    match name.to_bytes() {
        [b'/', rest @ ..]
            if (1..=254).contains(&rest.len()) && !rest.contains(&b'/') && rest != b"." && rest != b".." =>
        {
            Ok(())
        }
        _ => Err(NamedError::Name),
    }
}

/// Whether a taken name is in use.
fn state_of(name: &CStr) -> NamedError {
    let Ok(file) = files::open_named(name, None) else { return NamedError::InUse };
    let Ok(status) = files::file_status(file.as_fd()) else { return NamedError::InUse };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    let is_being_made = status.len == 0 && now - status.changed < MAKING_SECONDS;
    if !is_being_made && files::try_lock_file(file.as_fd(), true).is_ok() {
        NamedError::Stale
    } else {
        NamedError::InUse
    }
}

/// Whether a name leads to this very segment.
fn is_named(name: &CStr, file: BorrowedFd<'_>) -> bool {
    let Ok(named) = files::open_named(name, None) else { return false };
    let identity = |file| files::file_status(file).map(|status| status.identity);
    identity(named.as_fd()) == identity(file)
}
