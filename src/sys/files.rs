//! System calls on files and on the memory that processes share: mapping, flushing and growing them; memory files, named
//! memory, their seals and locks; and copies that survive memory which has gone.
//!
//! What `sys` promises of errors holds here too. The allocator uses none of it.

use super::platform::{call, libc_call};
use super::posix::{errno_location, keep_errno};
use super::{Errno, Protection};
use core::ffi::{CStr, c_int, c_long};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::AtomicU32;
use rustix::fs::{FlockOperation, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mm::MsyncFlags;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

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
    set_space_aside(file.as_raw_fd(), 0, i64::try_from(len).map_err(|_| libc::EFBIG)?)
}

/// How the pages of a file are to be mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FilePages {
    /// What is written reaches the file.
    pub(crate) shared: bool,
    /// They can be written to.
    pub(crate) writable: bool,
    /// Without reserving memory or swap for copies.
    pub(crate) no_reserve: bool,
}

/// What a descriptor is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileStatus {
    /// The length in bytes; zero for most devices.
    pub(crate) len: u64,
    /// The device and the number of the file there.
    pub(crate) identity: (u64, u64),
    /// The names that the file has.
    pub(crate) links: u64,
    /// The permissions.
    pub(crate) mode: u32,
    /// The user and the group.
    pub(crate) owner: (u32, u32),
    /// Seconds since 1970 of the last change.
    pub(crate) changed: i64,
    /// A file with a length, and no device or pipe.
    pub(crate) is_regular: bool,
    /// Of huge pages that the administrator has set aside.
    pub(crate) is_hugetlb: bool,
}

/// Asks about a file.
#[allow(clippy::unnecessary_cast, reason = "the types of some figures are the architecture's")]
pub(crate) fn file_status(file: BorrowedFd<'_>) -> Result<FileStatus, Errno> {
    let status = call(|| rustix::fs::fstat(file))?;
    // A file whose system does not say is none of huge pages.
    let system = call(|| rustix::fs::fstatfs(file)).map_or(0, |system| system.f_type as u32);
    Ok(FileStatus {
        // The kernel's lengths are not negative.
        len: status.st_size as u64,
        identity: (status.st_dev, status.st_ino),
        links: status.st_nlink as u64,
        mode: status.st_mode & 0o7777,
        owner: (status.st_uid, status.st_gid),
        changed: status.st_ctime as i64,
        is_regular: status.st_mode & libc::S_IFMT == libc::S_IFREG,
        // The number has 32 bits, in an integer that is another one in each C library.
        is_hugetlb: system == libc::HUGETLBFS_MAGIC as u32,
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
    libc_call(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw mut lock).into() }).map(drop)
}

/// Whether somebody else has the lock of a byte.
pub(crate) fn byte_is_locked(file: BorrowedFd<'_>, byte: i64) -> Result<bool, Errno> {
    let mut lock = byte_lock(byte);
    // SAFETY: as above.
    libc_call(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock).into() })?;
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

/// Maps `len` bytes of a file from `offset` on, a multiple of the page size. What lies past the end of the file faults.
pub(crate) fn map_file(file: c_int, offset: u64, len: usize, how: FilePages) -> Result<NonNull<u8>, Errno> {
    let kind = if how.shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
    let flags = if how.no_reserve { kind | libc::MAP_NORESERVE } else { kind };
    let protection = if how.writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
    let offset = i64::try_from(offset).map_err(|_| libc::EOVERFLOW)?;
    // SAFETY: without MAP_FIXED the kernel picks a free range, so no existing mapping is touched.
    let mapped = keep_errno(|| match unsafe { libc::mmap(null_mut(), len, protection, flags, file, offset) } {
        // SAFETY: reading this thread's errno, which the failed call has set.
        libc::MAP_FAILED => Err(unsafe { *errno_location() }),
        mapped => Ok(mapped),
    });
    mapped.and_then(|mapped| NonNull::new(mapped.cast()).ok_or(libc::ENOMEM))
}

/// Hands what was written to shared pages of a file to its storage, and waits until it is there if `wait` says so.
///
/// # Safety
/// The range is the caller's, mapped by this room, and whole pages.
pub(crate) unsafe fn flush(base: NonNull<u8>, len: usize, wait: bool) -> Result<(), Errno> {
    let flags = if wait { MsyncFlags::SYNC } else { MsyncFlags::ASYNC };
    // SAFETY: the caller's contract; contents and access stay as they are.
    call(|| unsafe { rustix::mm::msync(base.as_ptr().cast(), len, flags) })
}

/// Makes a file that is `from` bytes long `to` bytes long, with space for the new ones where the file system can set it
/// aside.
pub(crate) fn extend_file(file: c_int, from: u64, to: u64) -> Result<(), Errno> {
    let (start, end) = (i64::try_from(from).map_err(|_| libc::EFBIG)?, i64::try_from(to).map_err(|_| libc::EFBIG)?);
    match set_space_aside(file, start, end - start) {
        Err(libc::EOPNOTSUPP | libc::ENOSYS) => {
            // SAFETY: plain integers.
            libc_call(|| unsafe { libc::ftruncate(file, end).into() }).map(drop)
        }
        extended => extended,
    }
}

/// Sees to space for a range of a file, which becomes longer where the range does not fit. It never makes a file shorter,
/// whoever has made it longer meanwhile.
fn set_space_aside(file: c_int, start: i64, len: i64) -> Result<(), Errno> {
    loop {
        // SAFETY: plain integers.
        match libc_call(|| unsafe { libc::fallocate(file, 0, start, len).into() }) {
            Err(libc::EINTR) => {}
            done => return done.map(drop),
        }
    }
}

/// Copies `len` bytes as the kernel copies them: memory that cannot be touched is `EFAULT`, without a signal. Bytes before
/// the first such may have been copied.
///
/// # Safety
/// Nothing but raw pointers, atomics and the caller refers to the target, and its bytes may have any value.
pub(crate) unsafe fn copy(from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Result<(), Errno> {
    let process = super::process_id();
    let mut done = 0;
    while done < len {
        let part = |start: NonNull<u8>| libc::iovec {
            iov_base: start.as_ptr().wrapping_add(done).cast(),
            iov_len: len - done,
        };
        let (source, target) = (part(from), part(to));
        // SAFETY: the kernel reads and writes what it finds there, by the caller's contract for the target.
        let copied = libc_call(|| unsafe { libc::process_vm_readv(process, &target, 1, &source, 1, 0) as c_long });
        match copied {
            Ok(copied @ 1..) => done += copied as usize,
            // A sandbox may forbid the call, and it does not read memory that is hidden from the kernel (memfd_secret).
            // SAFETY: the rest of the caller's ranges.
            _ => return unsafe { copy_by_pipe(from.add(done), to.add(done), len - done) },
        }
    }
    Ok(())
}

/// As [`copy`], by calls that no sandbox does without.
///
/// # Safety
/// As for [`copy`].
unsafe fn copy_by_pipe(from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Result<(), Errno> {
    /// A pipe takes at least this much at once, `PIPE_BUF` of `limits.h`.
    const CHUNK: usize = 4096;
    let mut ends = [0; 2];
    // SAFETY: a live pair of descriptors.
    libc_call(|| unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK).into() })?;
    let mut done = 0;
    let mut result = Ok(());
    while done < len && result.is_ok() {
        let count = (len - done).min(CHUNK);
        // SAFETY: the descriptors are open; the kernel reads and writes what it finds in the caller's ranges.
        let moved = unsafe {
            libc_call(|| libc::write(ends[1], from.as_ptr().wrapping_add(done).cast(), count) as c_long).and_then(
                |count| {
                    libc_call(|| libc::read(ends[0], to.as_ptr().wrapping_add(done).cast(), count as usize) as c_long)
                },
            )
        };
        match moved {
            Ok(moved @ 1..) => done += moved as usize,
            Ok(_) => result = Err(libc::EFAULT),
            Err(errno) => result = Err(errno),
        }
    }
    for end in ends {
        // SAFETY: opened above, and closed once. What a close could report is of no concern for a pipe.
        let _ = libc_call(|| unsafe { libc::close(end).into() });
    }
    result
}

/// As [`futex_wait_for`], on a word that processes share.
pub(crate) fn futex_wait_shared(word: &AtomicU32, expected: u32, milliseconds: u32) {
    use rustix::thread::futex::{Flags, Timespec, wait};
    let span = Timespec { tv_sec: i64::from(milliseconds / 1000), tv_nsec: i64::from(milliseconds % 1000) * 1_000_000 };
    let _ = call(|| wait(word, Flags::empty(), expected, Some(&span)));
}

/// Wakes all sleepers on a word that processes share.
pub(crate) fn futex_wake_shared(word: &AtomicU32) {
    use rustix::thread::futex::{Flags, wake};
    let _ = call(|| wake(word, Flags::empty(), i32::MAX as u32));
}
