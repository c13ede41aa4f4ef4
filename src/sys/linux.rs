//! The system calls of Linux, by `rustix`; those that it lacks by the C library's `syscall`.

use super::posix::{errno_location, keep_errno};
use super::{Errno, LockTime, NewPages, PageAdvice, Placement, Protection, memcheck};
use core::ffi::{CStr, c_int, c_long};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::AtomicU32;
use rustix::mm::{MapFlags, MprotectFlags, MremapFlags, ProtFlags};

pub(super) fn call<T>(operation: impl FnOnce() -> rustix::io::Result<T>) -> Result<T, Errno> {
    keep_errno(operation).map_err(rustix::io::Errno::raw_os_error)
}

fn non_null(address: *mut core::ffi::c_void) -> Result<NonNull<u8>, Errno> {
    // The kernel places nothing at address zero unless asked to (vm.mmap_min_addr); a sandbox that did is refused.
    NonNull::new(address.cast()).ok_or(libc::ENOMEM)
}

/// A call of the C library's, which answers -1 and sets `errno` when it fails.
pub(super) fn libc_call(operation: impl FnOnce() -> c_long) -> Result<c_long, Errno> {
    keep_errno(|| match operation() {
        -1 => {
            // SAFETY: reading this thread's errno, which the failed call has set.
            Err(unsafe { *errno_location() })
        }
        answer => Ok(answer),
    })
}

fn map_anonymous(hint: *mut u8, len: usize, prot: ProtFlags, flags: MapFlags) -> Result<NonNull<u8>, Errno> {
    // SAFETY: without MAP_FIXED the kernel picks a free range, so no existing mapping is touched.
    call(|| unsafe { rustix::mm::mmap_anonymous(hint.cast(), len, prot, MapFlags::PRIVATE | flags) }).and_then(non_null)
}

/// Maps `len` bytes such that the address `lead` bytes after the start is a multiple of `align`, a power of two of at
/// least a page.
fn map_aligned(len: usize, align: usize, lead: usize, prot: ProtFlags, flags: MapFlags) -> Result<NonNull<u8>, Errno> {
    let page = super::page_size();
    if align <= page {
        return map_anonymous(null_mut(), len, prot, flags);
    }
    // How far an address is before the next one that will do.
    let distance = |base: NonNull<u8>| base.addr().get().wrapping_add(lead).wrapping_neg() & (align - 1);
    let base = map_anonymous(null_mut(), len, prot, flags)?;
    if distance(base) == 0 {
        return Ok(base);
    }
    // Not aligned by luck: map as much as holds an aligned range wherever it lands, and unmap what lies around it.
    // SAFETY: mapped just above; nothing else knows of it.
    unsafe { unmap(base, len) }?;
    let slack = align - page;
    let wide = len.checked_add(slack).ok_or(libc::ENOMEM)?;
    let base = map_anonymous(null_mut(), wide, prot, flags)?;
    let head = distance(base);
    // SAFETY: `head <= slack`, so `head + len` lies within the range just mapped, and so do the two surplus ends that are
    // unmapped; nothing else knows of them.
    unsafe {
        let aligned = base.add(head);
        // At the limit of mappings, which a range with its surplus would keep the process at, all that is still there goes.
        // What was unmapped may be another thread's by then.
        if head > 0
            && let Err(errno) = unmap(base, head)
        {
            let _ = unmap(base, wide);
            return Err(errno);
        }
        if slack > head
            && let Err(errno) = unmap(aligned.add(len), slack - head)
        {
            let _ = unmap(aligned, wide - head);
            return Err(errno);
        }
        Ok(aligned)
    }
}

/// Maps `len` zero bytes, readable and writable, such that the address `how.lead` bytes after their start is a multiple of
/// `align`.
pub(crate) fn map(len: usize, align: usize, how: NewPages) -> Result<NonNull<u8>, Errno> {
    let mut flags = MapFlags::empty();
    flags.set(MapFlags::NORESERVE, how.no_reserve);
    map_aligned(len, align, how.lead, ProtFlags::READ | ProtFlags::WRITE, flags)
}

/// Reserves `len` bytes of address space, aligned as by [`map`], without memory behind it and without access.
pub(crate) fn reserve(len: usize, align: usize, lead: usize) -> Result<NonNull<u8>, Errno> {
    map_aligned(len, align, lead, ProtFlags::empty(), MapFlags::NORESERVE)
}

/// Maps `len` zero bytes, readable and writable, at exactly this address, where nothing may be mapped; of huge pages of
/// `huge` bytes, if that is not zero.
pub(crate) fn map_at(base: NonNull<u8>, len: usize, huge: usize) -> Result<(), Errno> {
    let mut flags = MapFlags::FIXED_NOREPLACE;
    if huge > 0 {
        // Bits 26 to 31 hold the logarithm of the page size, see mmap(2) on MAP_HUGE_2MB.
        flags |= MapFlags::HUGETLB | MapFlags::from_bits_retain(huge.trailing_zeros() << libc::MAP_HUGE_SHIFT);
    }
    map_exactly(base, len, ProtFlags::READ | ProtFlags::WRITE, flags)
}

/// Reserves `len` bytes at exactly this address, where nothing may be mapped, as by [`reserve`].
pub(crate) fn reserve_at(base: NonNull<u8>, len: usize) -> Result<(), Errno> {
    map_exactly(base, len, ProtFlags::empty(), MapFlags::FIXED_NOREPLACE | MapFlags::NORESERVE)
}

fn map_exactly(base: NonNull<u8>, len: usize, prot: ProtFlags, flags: MapFlags) -> Result<(), Errno> {
    let place = map_anonymous(base.as_ptr(), len, prot, flags)?;
    if place == base {
        return Ok(());
    }
    // A kernel before Linux 4.17 takes the address for a hint.
    // SAFETY: mapped just now; nothing else knows of it.
    let _ = unsafe { unmap(place, len) };
    Err(libc::EEXIST)
}

/// Maps `len` bytes of memory that the kernel itself cannot read, [`memfd_secret(2)`](https://man7.org/linux/man-pages/man2/memfd_secret.2.html):
/// zero, readable and writable, locked, left out of core dumps, and shared with a child of `fork` unless advised otherwise.
pub(crate) fn map_secret(len: usize) -> Result<NonNull<u8>, Errno> {
    let size = i64::try_from(len).map_err(|_| libc::EINVAL)?;
    // SAFETY: plain integers.
    let fd = libc_call(|| unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) })? as c_int;
    let mapped = keep_errno(|| {
        // SAFETY: the descriptor was opened above and is closed here, once; without MAP_FIXED no existing mapping is touched.
        unsafe {
            let mut address = libc::MAP_FAILED;
            if libc::ftruncate(fd, size) == 0 {
                address = libc::mmap(null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0);
            }
            let errno = *errno_location();
            libc::close(fd);
            if address == libc::MAP_FAILED { Err(errno) } else { Ok(address) }
        }
    })?;
    non_null(mapped)
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

/// Sets what a range may be used for.
///
/// # Safety
/// The range is the caller's, mapped by this room, and no live reference into it needs an access that it loses.
pub(crate) unsafe fn protect(base: NonNull<u8>, len: usize, protection: Protection) -> Result<(), Errno> {
    let flags = match protection {
        Protection::None => MprotectFlags::empty(),
        Protection::Read => MprotectFlags::READ,
        Protection::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
        Protection::ReadExecute => MprotectFlags::READ | MprotectFlags::EXEC,
    };
    // SAFETY: the caller's contract.
    call(|| unsafe { rustix::mm::mprotect(base.as_ptr().cast(), len, flags) })
}

/// Locks a range into memory.
///
/// # Safety
/// The range is the caller's, mapped by this room.
pub(crate) unsafe fn lock(base: NonNull<u8>, len: usize, time: LockTime) -> Result<(), Errno> {
    call(|| {
        // SAFETY: the caller's contract; locking does not change contents or access.
        unsafe {
            match time {
                LockTime::Now => rustix::mm::mlock(base.as_ptr().cast(), len),
                LockTime::OnFault => rustix::mm::mlock_with(base.as_ptr().cast(), len, rustix::mm::MlockFlags::ONFAULT),
            }
        }
    })
}

/// Unlocks a range.
///
/// # Safety
/// The range is the caller's, mapped by this room.
pub(crate) unsafe fn unlock(base: NonNull<u8>, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller's contract; unlocking does not change contents or access.
    call(|| unsafe { rustix::mm::munlock(base.as_ptr().cast(), len) })
}

/// Names a range in `/proc/self/maps`, [`PR_SET_VMA`](https://man7.org/linux/man-pages/man2/PR_SET_VMA.2const.html).
///
/// # Safety
/// The range is the caller's, mapped by this room.
pub(crate) unsafe fn name(base: NonNull<u8>, len: usize, name: &CStr) -> Result<(), Errno> {
    let (set, what) = (libc::PR_SET_VMA, libc::PR_SET_VMA_ANON_NAME);
    // SAFETY: the caller's contract; the kernel copies the name.
    libc_call(|| unsafe { libc::prctl(set, what, base.as_ptr(), len, name.as_ptr()).into() }).map(drop)
}

/// Sets the NUMA policy of a range, [`mbind(2)`](https://man7.org/linux/man-pages/man2/mbind.2.html).
///
/// # Safety
/// The range is the caller's, mapped by this room.
pub(crate) unsafe fn place(base: NonNull<u8>, len: usize, placement: Placement, nodes: u64) -> Result<(), Errno> {
    /// Not in `libc`; see `linux/mempolicy.h`.
    const MPOL_PREFERRED_MANY: c_int = 5;
    let mode = match placement {
        Placement::Bind => libc::MPOL_BIND,
        Placement::Prefer if nodes.is_power_of_two() => libc::MPOL_PREFERRED,
        Placement::Prefer => MPOL_PREFERRED_MANY,
        Placement::Interleave => libc::MPOL_INTERLEAVE,
    };
    // The kernel reads one bit less than it is told.
    let bits = u64::BITS + 1;
    // SAFETY: the caller's contract; the mask is live and of that many bits.
    libc_call(|| unsafe { libc::syscall(libc::SYS_mbind, base.as_ptr(), len, mode, &raw const nodes, bits, 0) })
        .map(drop)
}

/// Forbids every further change of a range but that of its contents, [`mseal`](https://docs.kernel.org/userspace-api/mseal.html).
///
/// # Safety
/// The range is the caller's, mapped by this room, for the rest of the process.
pub(crate) unsafe fn seal(base: NonNull<u8>, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    libc_call(|| unsafe { libc::syscall(libc::SYS_mseal, base.as_ptr(), len, 0) }).map(drop)
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
    // SAFETY: the caller's contract. The C library's wrapper may drop the hint, so the call is made without it.
    let moved =
        libc_call(|| unsafe { libc::syscall(libc::SYS_mremap, base.as_ptr(), len, len, flags, hint.as_ptr()) })?;
    NonNull::new(base.as_ptr().with_addr(moved as usize)).ok_or(libc::ENOMEM)
}

/// Advises the kernel about a range.
///
/// # Safety
/// The range is the caller's, mapped by this room; for [`PageAdvice::DontNeed`] and [`PageAdvice::GuardInstall`], no
/// reference into it is live.
pub(crate) unsafe fn advise(base: NonNull<u8>, len: usize, advice: PageAdvice) -> Result<(), Errno> {
    /// Not in `libc` for every system; see `asm-generic/mman-common.h`.
    const MADV_DONTNEED_LOCKED: c_int = 24;
    const MADV_COLLAPSE: c_int = 25;
    const MADV_GUARD_INSTALL: c_int = 102;
    const MADV_GUARD_REMOVE: c_int = 103;
    let drops = matches!(advice, PageAdvice::DontNeed | PageAdvice::DontNeedLocked);
    let advice = match advice {
        PageAdvice::DontNeed => libc::MADV_DONTNEED,
        PageAdvice::DontNeedLocked => MADV_DONTNEED_LOCKED,
        PageAdvice::HugePage => libc::MADV_HUGEPAGE,
        PageAdvice::NoHugePage => libc::MADV_NOHUGEPAGE,
        PageAdvice::PopulateRead => libc::MADV_POPULATE_READ,
        PageAdvice::PopulateWrite => libc::MADV_POPULATE_WRITE,
        PageAdvice::Normal => libc::MADV_NORMAL,
        PageAdvice::Sequential => libc::MADV_SEQUENTIAL,
        PageAdvice::Random => libc::MADV_RANDOM,
        PageAdvice::DontDump => libc::MADV_DONTDUMP,
        PageAdvice::DoDump => libc::MADV_DODUMP,
        PageAdvice::DontFork => libc::MADV_DONTFORK,
        PageAdvice::WipeOnFork => libc::MADV_WIPEONFORK,
        PageAdvice::GuardInstall => MADV_GUARD_INSTALL,
        PageAdvice::GuardRemove => MADV_GUARD_REMOVE,
        PageAdvice::Cold => libc::MADV_COLD,
        PageAdvice::PageOut => libc::MADV_PAGEOUT,
        PageAdvice::WillNeed => libc::MADV_WILLNEED,
        PageAdvice::Collapse => MADV_COLLAPSE,
    };
    // SAFETY: the caller's contract.
    libc_call(|| unsafe { libc::madvise(base.as_ptr().cast(), len, advice).into() })?;
    if drops {
        memcheck::defined(base, len);
    }
    Ok(())
}

/// Asks which pages of a range are resident: a byte a page, its lowest bit set if so.
///
/// # Safety
/// The range is the caller's, mapped by this room, and whole pages; `resident` has a byte for each.
pub(crate) unsafe fn residency(base: NonNull<u8>, len: usize, resident: &mut [u8]) -> Result<(), Errno> {
    debug_assert_eq!(resident.len(), len / super::page_size());
    // SAFETY: the caller's contract; the kernel writes one byte a page.
    libc_call(|| unsafe { libc::mincore(base.as_ptr().cast(), len, resident.as_mut_ptr()).into() }).map(drop)
}

/// Fills `bytes`, at most 256 of them, from the kernel's generator,
/// [`getrandom(2)`](https://man7.org/linux/man-pages/man2/getrandom.2.html): up to that many come whole or not at all.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), Errno> {
    debug_assert!(bytes.len() <= 256);
    // SAFETY: the buffer is live and of that length.
    libc_call(|| unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) as c_long }).map(drop)
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

/// The soft limit on writable memory, touched or not (`RLIMIT_DATA`), if one is set.
pub(crate) fn data_limit() -> Option<usize> {
    soft_limit(rustix::process::Resource::Data)
}

/// The soft limit on locked memory (`RLIMIT_MEMLOCK`), if one is set.
pub(crate) fn lock_limit() -> Option<usize> {
    soft_limit(rustix::process::Resource::Memlock)
}

/// The minor and major page faults of the calling thread so far.
pub(crate) fn thread_faults() -> (u64, u64) {
    // SAFETY: plain data of the C library, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
    // SAFETY: the buffer is live. The call cannot fail with these arguments.
    keep_errno(|| unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) });
    (usage.ru_minflt as u64, usage.ru_majflt as u64)
}

/// Reads the start of a file; what could not be read is zero.
fn read_start<const N: usize>(path: &CStr) -> [u8; N] {
    let mut start = [0; N];
    keep_errno(|| {
        // SAFETY: a C string and a live buffer with its length; the descriptor is closed where it was opened.
        unsafe {
            let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            if file >= 0 {
                libc::read(file, start.as_mut_ptr().cast(), N);
                libc::close(file);
            }
        }
    });
    start
}

/// Whether the system charges writable memory that is not touched, mode 2 of `overcommit_memory` in
/// [`proc_sys_vm(5)`](https://man7.org/linux/man-pages/man5/proc_sys_vm.5.html).
pub(crate) fn overcommit_is_strict() -> bool {
    read_start(c"/proc/sys/vm/overcommit_memory") == *b"2"
}

/// Whether the system has no transparent huge pages, or gives them to nobody. The kernel takes the advice all the same.
pub(crate) fn huge_pages_are_off() -> bool {
    let policy: [u8; 32] = read_start(c"/sys/kernel/mm/transparent_hugepage/enabled");
    policy[0] == 0 || policy.windows(7).any(|word| word == b"[never]")
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
