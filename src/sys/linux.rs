//! The system calls of Linux, by `rustix`.

use super::posix::{errno_location, keep_errno};
use super::{Errno, PageAdvice};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::AtomicU32;
use rustix::mm::{Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags};

fn call<T>(operation: impl FnOnce() -> rustix::io::Result<T>) -> Result<T, Errno> {
    keep_errno(operation).map_err(rustix::io::Errno::raw_os_error)
}

fn non_null(address: *mut core::ffi::c_void) -> Result<NonNull<u8>, Errno> {
    // The kernel places nothing at address zero unless asked to (vm.mmap_min_addr); a sandbox that did is refused.
    NonNull::new(address.cast()).ok_or(libc::ENOMEM)
}

fn map_anonymous(hint: *mut u8, len: usize, prot: ProtFlags, flags: MapFlags) -> Result<NonNull<u8>, Errno> {
    // SAFETY: without MAP_FIXED the kernel picks a free range, so no existing mapping is touched.
    call(|| unsafe { rustix::mm::mmap_anonymous(hint.cast(), len, prot, MapFlags::PRIVATE | flags) }).and_then(non_null)
}

/// Maps `len` bytes at an address that is a multiple of `align`, a power of two of at least a page.
fn map_aligned(len: usize, align: usize, prot: ProtFlags, flags: MapFlags) -> Result<NonNull<u8>, Errno> {
    let page = super::page_size();
    if align <= page {
        return map_anonymous(null_mut(), len, prot, flags);
    }
    // Pages are populated when it is known where they stay, and how many.
    let populate = flags.contains(MapFlags::POPULATE);
    let flags = flags.difference(MapFlags::POPULATE);
    let filled = |base: NonNull<u8>| {
        if populate {
            // SAFETY: mapped by the caller just now. MAP_POPULATE is best effort too: mmap(2) does not fail when it cannot
            // fault a page in.
            let _ = unsafe { advise(base, len, PageAdvice::PopulateWrite) };
        }
        base
    };
    let base = map_anonymous(null_mut(), len, prot, flags)?;
    if base.addr().get() & (align - 1) == 0 {
        return Ok(filled(base));
    }
    // Not aligned by luck: map as much as holds an aligned range wherever it lands, and unmap what lies around it.
    // SAFETY: mapped just above; nothing else knows of it.
    unsafe { unmap(base, len) }?;
    let slack = align - page;
    let wide = len.checked_add(slack).ok_or(libc::ENOMEM)?;
    let base = map_anonymous(null_mut(), wide, prot, flags)?;
    let head = base.addr().get().wrapping_neg() & (align - 1);
    // SAFETY: `head <= slack`, so `head + len` lies within the range just mapped, and so do the two surplus ends that are
    // unmapped; nothing else knows of them.
    unsafe {
        let aligned = base.add(head);
        let trimmed = if head > 0 { unmap(base, head) } else { Ok(()) }
            .and_then(|()| if slack > head { unmap(aligned.add(len), slack - head) } else { Ok(()) });
        if let Err(errno) = trimmed {
            // At the limit of mappings, which a range with its surplus would keep the process at. The whole of it goes.
            let _ = unmap(base, wide);
            return Err(errno);
        }
        Ok(filled(aligned))
    }
}

/// Maps `len` zero bytes, readable and writable, at a multiple of `align`; `populate` faults them in at once.
pub(crate) fn map(len: usize, align: usize, populate: bool) -> Result<NonNull<u8>, Errno> {
    let flags = if populate { MapFlags::POPULATE } else { MapFlags::empty() };
    map_aligned(len, align, ProtFlags::READ | ProtFlags::WRITE, flags)
}

/// Reserves `len` bytes of address space at a multiple of `align`, without memory behind it and without access.
pub(crate) fn reserve(len: usize, align: usize) -> Result<NonNull<u8>, Errno> {
    map_aligned(len, align, ProtFlags::empty(), MapFlags::NORESERVE)
}

/// Unmaps a range.
///
/// # Safety
/// The range is the caller's to unmap: mapped by this room, and no reference into it is used again.
pub(crate) unsafe fn unmap(base: NonNull<u8>, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    call(|| unsafe { rustix::mm::munmap(base.as_ptr().cast(), len) })
}

/// Unmaps the end of a mapping, `from` bytes after its start.
///
/// # Safety
/// As for [`unmap`], for `base + from..base + len`, with `from < len`.
pub(crate) unsafe fn unmap_tail(base: NonNull<u8>, len: usize, from: usize) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unsafe { unmap(base.add(from), len - from) }
}

/// Makes a range readable and writable.
///
/// # Safety
/// The range is the caller's, mapped by this room.
pub(crate) unsafe fn protect_read_write(base: NonNull<u8>, len: usize) -> Result<(), Errno> {
    let flags = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: the caller's contract; more access never breaks a live reference.
    call(|| unsafe { rustix::mm::mprotect(base.as_ptr().cast(), len, flags) })
}

/// Resizes a mapping, in place or, with `may_move`, anywhere. New bytes are zero.
///
/// # Safety
/// The range is the caller's, mapped by this room; if it moves or shrinks, no reference into the old range is used again.
pub(crate) unsafe fn remap(
    base: NonNull<u8>,
    len: usize,
    new_len: usize,
    may_move: bool,
) -> Result<NonNull<u8>, Errno> {
    let flags = if may_move { MremapFlags::MAYMOVE } else { MremapFlags::empty() };
    // SAFETY: the caller's contract.
    call(|| unsafe { rustix::mm::mremap(base.as_ptr().cast(), len, new_len, flags) }).and_then(non_null)
}

/// Moves the pages of a range to a free one, at `hint` if that is free, and returns where; the old range stays mapped and
/// reads zero.
///
/// Nothing is ever replaced at the target. `MREMAP_FIXED` would, and what it unmaps there stays unmapped if it fails.
///
/// # Safety
/// The range is the caller's, mapped by this room, and no reference into it is used again.
pub(crate) unsafe fn move_pages(base: NonNull<u8>, len: usize, hint: NonNull<u8>) -> Result<NonNull<u8>, Errno> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
    keep_errno(|| {
        // SAFETY: the caller's contract. The C library's wrapper may drop the hint, so the call is made without it.
        let moved = unsafe { libc::syscall(libc::SYS_mremap, base.as_ptr(), len, len, flags, hint.as_ptr()) };
        match usize::try_from(moved) {
            Ok(address) => NonNull::new(base.as_ptr().with_addr(address)).ok_or(libc::ENOMEM),
            // SAFETY: reading this thread's errno, which the failed call has set.
            Err(_) => Err(unsafe { *errno_location() }),
        }
    })
}

/// Advises the kernel about a range.
///
/// # Safety
/// The range is the caller's, mapped by this room; for [`PageAdvice::DontNeed`], no reference into it is live.
pub(crate) unsafe fn advise(base: NonNull<u8>, len: usize, advice: PageAdvice) -> Result<(), Errno> {
    let advice = match advice {
        PageAdvice::DontNeed => Advice::LinuxDontNeed,
        PageAdvice::HugePage => Advice::LinuxHugepage,
        PageAdvice::NoHugePage => Advice::LinuxNoHugepage,
        PageAdvice::PopulateWrite => Advice::LinuxPopulateWrite,
        PageAdvice::DontDump => Advice::LinuxDontDump,
        PageAdvice::DoDump => Advice::LinuxDoDump,
    };
    // SAFETY: the caller's contract.
    call(|| unsafe { rustix::mm::madvise(base.as_ptr().cast(), len, advice) })
}

/// Asks which pages of a range are resident: a byte a page, its lowest bit set if so.
///
/// # Safety
/// The range is the caller's, mapped by this room, and whole pages; `resident` has a byte for each.
pub(crate) unsafe fn residency(base: NonNull<u8>, len: usize, resident: &mut [u8]) -> Result<(), Errno> {
    debug_assert_eq!(resident.len(), len / super::page_size());
    keep_errno(|| {
        // SAFETY: the caller's contract; the kernel writes one byte a page.
        match unsafe { libc::mincore(base.as_ptr().cast(), len, resident.as_mut_ptr()) } {
            0 => Ok(()),
            // SAFETY: reading this thread's errno, which the failed call has set.
            _ => Err(unsafe { *errno_location() }),
        }
    })
}

/// The soft limit on the size of the address space (`RLIMIT_AS`), if one is set.
pub(crate) fn address_space_limit() -> Option<usize> {
    soft_limit(rustix::process::Resource::As)
}

fn soft_limit(resource: rustix::process::Resource) -> Option<usize> {
    let limit = keep_errno(|| rustix::process::getrlimit(resource));
    limit.current.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// The processors that the process may run on, at least one.
pub(crate) fn processors() -> usize {
    keep_errno(|| rustix::thread::sched_getaffinity(None)).map_or(1, |set| set.count().max(1) as usize)
}

/// Whether there is a soft limit on writable memory, touched or not (`RLIMIT_DATA`).
pub(crate) fn data_is_limited() -> bool {
    soft_limit(rustix::process::Resource::Data).is_some()
}

/// Whether the system charges writable memory that is not touched, mode 2 of `overcommit_memory` in
/// [`proc_sys_vm(5)`](https://man7.org/linux/man-pages/man5/proc_sys_vm.5.html).
pub(crate) fn overcommit_is_strict() -> bool {
    let mut mode = [0_u8; 1];
    keep_errno(|| {
        // SAFETY: a C string and a live buffer of one byte; the descriptor is closed where it was opened.
        unsafe {
            let file = libc::open(c"/proc/sys/vm/overcommit_memory".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            if file >= 0 {
                libc::read(file, mode.as_mut_ptr().cast(), 1);
                libc::close(file);
            }
        }
    });
    mode == *b"2"
}

/// Sleeps until woken, if `word` still is `expected`; may return early.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32) {
    use rustix::thread::futex::{Flags, wait};
    // Every failure (value changed, signal) is an early return, which the contract allows.
    let _ = call(|| wait(word, Flags::PRIVATE, expected, None));
}

/// The same, for so many milliseconds at the most.
pub(crate) fn futex_wait_for(word: &AtomicU32, expected: u32, milliseconds: u32) {
    use rustix::thread::futex::{Flags, Timespec, wait};
    let span = Timespec { tv_sec: i64::from(milliseconds / 1000), tv_nsec: i64::from(milliseconds % 1000) * 1_000_000 };
    let _ = call(|| wait(word, Flags::PRIVATE, expected, Some(&span)));
}

/// Wakes one sleeper on `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    use rustix::thread::futex::{Flags, wake};
    // The only failures of a wake are bad addresses, and `word` is a live reference.
    let _ = call(|| wake(word, Flags::PRIVATE, 1));
}

/// Writes a message to standard error, as far as it takes it.
pub(crate) fn write_stderr(message: &[u8]) {
    // SAFETY: the descriptor is only written to; if the program has closed it, the call fails.
    let stderr = unsafe { rustix::fd::BorrowedFd::borrow_raw(2) };
    // There is nowhere left to report a failure of the report.
    let _ = call(|| rustix::io::write(stderr, message));
}
