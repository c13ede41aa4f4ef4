//! System calls on files that processes share: memory files, named memory, their seals, locks and mappings.
//!
//! What `sys` promises of errors holds here too: a failure is an `errno`, and a failed call has changed nothing.

use super::posix::{errno_location, keep_errno};
use super::{Errno, Protection};
use core::ffi::CStr;
use core::ptr::{NonNull, null_mut};
use rustix::fs::{FallocateFlags, FlockOperation, MemfdFlags, Mode, OFlags, SealFlags};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

fn call<T>(operation: impl FnOnce() -> rustix::io::Result<T>) -> Result<T, Errno> {
    keep_errno(operation).map_err(rustix::io::Errno::raw_os_error)
}

fn libc_call(operation: impl FnOnce() -> libc::c_int) -> Result<(), Errno> {
    keep_errno(|| match operation() {
        // SAFETY: reading this thread's errno, which the failed call has set.
        -1 => Err(unsafe { *errno_location() }),
        _ => Ok(()),
    })
}

/// A new memory file that takes seals, [`memfd_create(2)`](https://man7.org/linux/man-pages/man2/memfd_create.2.html).
pub(crate) fn memory_file(name: &CStr) -> Result<OwnedFd, Errno> {
    call(|| rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING))
}

/// The seals of a memory file, as bits.
pub(crate) fn seals(file: BorrowedFd<'_>) -> Result<u32, Errno> {
    call(|| rustix::fs::fcntl_get_seals(file)).map(|seals| seals.bits())
}

/// Adds seals to a memory file.
pub(crate) fn add_seals(file: BorrowedFd<'_>, seals: u32) -> Result<(), Errno> {
    call(|| rustix::fs::fcntl_add_seals(file, SealFlags::from_bits_retain(seals)))
}

/// Sets the length of a file.
pub(crate) fn set_file_len(file: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
    call(|| rustix::fs::ftruncate(file, len))
}

/// Sees to memory, or space, for the first `len` bytes of a file, so that touching them cannot fail.
pub(crate) fn allocate_file(file: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
    call(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len))
}

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileStatus {
    pub(crate) len: u64,
    pub(crate) links: u64,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// The device and the number of the file.
    pub(crate) identity: (u64, u64),
    /// Seconds since 1970 of the last change.
    pub(crate) changed: i64,
}

/// Asks about a file.
#[allow(clippy::unnecessary_cast, reason = "the types of some figures are the architecture's")]
pub(crate) fn file_status(file: BorrowedFd<'_>) -> Result<FileStatus, Errno> {
    let status = call(|| rustix::fs::fstat(file))?;
    Ok(FileStatus {
        len: status.st_size as u64,
        links: status.st_nlink as u64,
        mode: status.st_mode & 0o7777,
        owner: (status.st_uid, status.st_gid),
        identity: (status.st_dev, status.st_ino),
        changed: status.st_ctime as i64,
    })
}

/// Sets the permissions of a file.
pub(crate) fn set_file_mode(file: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    call(|| rustix::fs::fchmod(file, Mode::from_raw_mode(mode)))
}

/// Sets the owner of a file.
pub(crate) fn set_file_owner(file: BorrowedFd<'_>, user: u32, group: u32) -> Result<(), Errno> {
    let (user, group) = (rustix::fs::Uid::from_raw(user), rustix::fs::Gid::from_raw(group));
    call(|| rustix::fs::fchown(file, Some(user), Some(group)))
}

/// Opens named memory, [`shm_open(3)`](https://man7.org/linux/man-pages/man3/shm_open.3.html); with a mode it is made, and
/// must not exist.
pub(crate) fn open_named(name: &CStr, create: Option<u32>) -> Result<OwnedFd, Errno> {
    use rustix::shm::{Mode, OFlags};
    let mut flags = OFlags::RDWR;
    flags.set(OFlags::CREATE | OFlags::EXCL, create.is_some());
    call(|| rustix::shm::open(name, flags, Mode::from_raw_mode(create.unwrap_or(0))))
}

/// Removes the name of named memory.
pub(crate) fn unlink_named(name: &CStr) -> Result<(), Errno> {
    call(|| rustix::shm::unlink(name))
}

/// Takes the lock of an open file, shared or alone, if it can be had at once,
/// [`flock(2)`](https://man7.org/linux/man-pages/man2/flock.2.html).
pub(crate) fn try_lock_file(file: BorrowedFd<'_>, alone: bool) -> Result<(), Errno> {
    let operation =
        if alone { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::NonBlockingLockShared };
    call(|| rustix::fs::flock(file, operation))
}

/// Opens a file anew by its descriptor: locks of the new one are its own.
pub(crate) fn reopen(file: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // "/proc/self/fd/", ten digits, a zero.
    let mut path = [0_u8; 32];
    let prefix = b"/proc/self/fd/";
    path[..prefix.len()].copy_from_slice(prefix);
    let (mut number, mut digits) = (file.as_raw_fd() as u32, [0; 10]);
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    path[prefix.len()..][..digits.len() - first].copy_from_slice(&digits[first..]);
    let path = CStr::from_bytes_until_nul(&path).map_err(|_| libc::EINVAL)?;
    call(|| rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()))
}

/// The lock on one byte of an open file, that of the open file description
/// ([`fcntl(2)`](https://man7.org/linux/man-pages/man2/fcntl.2.html), `F_OFD_SETLK`): it ends with its last descriptor,
/// however the process ends.
fn byte_lock(byte: i64) -> libc::flock {
    // SAFETY: plain data of the C library, for which zeros are a value.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    (lock.l_start, lock.l_len) = (byte, 1);
    lock
}

/// Takes the lock of a byte, if nobody has it.
pub(crate) fn try_lock_byte(file: BorrowedFd<'_>, byte: i64) -> Result<(), Errno> {
    let mut lock = byte_lock(byte);
    // SAFETY: a live descriptor and a live lock.
    libc_call(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw mut lock) })
}

/// Whether somebody else has the lock of a byte.
pub(crate) fn byte_is_locked(file: BorrowedFd<'_>, byte: i64) -> Result<bool, Errno> {
    let mut lock = byte_lock(byte);
    // SAFETY: as above.
    libc_call(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) })?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

/// Maps `len` bytes that processes share: of a file, or without one pages for children of `fork`.
pub(crate) fn map_shared(
    file: Option<BorrowedFd<'_>>,
    offset: u64,
    len: usize,
    protection: Protection,
) -> Result<NonNull<u8>, Errno> {
    let flags = libc::MAP_SHARED | if file.is_some() { 0 } else { libc::MAP_ANONYMOUS };
    // SAFETY: without MAP_FIXED no existing mapping is touched.
    unsafe { map(null_mut(), len, protection, flags, file, offset) }
}

/// Maps `len` bytes of a file, readable and writable and shared, at exactly this address, where nothing may be mapped.
pub(crate) fn map_shared_at(base: NonNull<u8>, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<(), Errno> {
    let flags = libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: MAP_FIXED_NOREPLACE touches no existing mapping.
    let place = unsafe { map(base.as_ptr(), len, Protection::ReadWrite, flags, Some(file), offset) }?;
    if place == base {
        return Ok(());
    }
    // A kernel before Linux 4.17 takes the address for a hint.
    // SAFETY: mapped just now; nothing else knows of it.
    let _ = unsafe { super::unmap(place, len) };
    Err(libc::EEXIST)
}

/// # Safety
/// The flags do not replace what is mapped.
unsafe fn map(
    hint: *mut u8,
    len: usize,
    protection: Protection,
    flags: libc::c_int,
    file: Option<BorrowedFd<'_>>,
    offset: u64,
) -> Result<NonNull<u8>, Errno> {
    let protection = match protection {
        Protection::None => libc::PROT_NONE,
        Protection::Read => libc::PROT_READ,
        Protection::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        Protection::ReadExecute => libc::PROT_READ | libc::PROT_EXEC,
    };
    let file = file.map_or(-1, |file| file.as_raw_fd());
    let offset = i64::try_from(offset).map_err(|_| libc::EOVERFLOW)?;
    keep_errno(|| {
        // SAFETY: the caller's contract.
        let address = unsafe { libc::mmap(hint.cast(), len, protection, flags, file, offset) };
        if address == libc::MAP_FAILED {
            // SAFETY: reading this thread's errno, which the failed call has set.
            return Err(unsafe { *errno_location() });
        }
        NonNull::new(address.cast()).ok_or(libc::ENOMEM)
    })
}
