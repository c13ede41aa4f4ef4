//! The system calls as Miri can run them: a mapping is a zeroed block of the C heap.
//!
//! Access is never refused here and nothing is ever returned in part, so what depends on either is tested elsewhere.

use super::{Errno, LockTime, NewPages, PageAdvice, Placement, Protection};
use core::ffi::CStr;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A block of `len` zero bytes at a multiple of `align`.
pub(crate) fn map(len: usize, align: usize, how: NewPages) -> Result<NonNull<u8>, Errno> {
    if how.lead > 0 {
        // A block of the heap is aligned at its start only.
        return Err(libc::ENOSYS);
    }
    // The heap has no pages that are not reserved.
    let _ = how.no_reserve;
    let mut block = null_mut();
    // SAFETY: `block` is live and `align` is a power of two of at least a page.
    match unsafe { libc::posix_memalign(&mut block, align, len) } {
        0 => {}
        errno => return Err(errno),
    }
    // SAFETY: the block has `len` bytes.
    unsafe { core::ptr::write_bytes(block.cast::<u8>(), 0, len) };
    NonNull::new(block.cast()).ok_or(libc::ENOMEM)
}

/// What is reserved is memory here, so the engine gets its smallest arenas and tables.
const MOST_RESERVED: usize = 64 << 20;

/// As [`map`], up to a limit.
pub(crate) fn reserve(len: usize, align: usize, lead: usize) -> Result<NonNull<u8>, Errno> {
    if len > MOST_RESERVED {
        return Err(libc::ENOMEM);
    }
    map(len, align, NewPages { lead, ..NewPages::default() })
}

/// Refused.
pub(crate) fn map_at(_base: NonNull<u8>, _len: usize, _huge: usize) -> Result<(), Errno> {
    Err(libc::ENOSYS)
}

/// Refused.
pub(crate) fn reserve_at(_base: NonNull<u8>, _len: usize) -> Result<(), Errno> {
    Err(libc::ENOSYS)
}

/// Refused: the callers have another way.
pub(crate) fn map_secret(_len: usize) -> Result<NonNull<u8>, Errno> {
    Err(libc::ENOSYS)
}

/// Frees a block.
///
/// # Safety
/// `base` came from [`map`] or [`reserve`] and is not used again.
pub(crate) unsafe fn unmap(base: NonNull<u8>, _len: usize) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unsafe { libc::free(base.as_ptr().cast()) };
    Ok(())
}

/// Nothing: a heap block cannot be returned in part.
///
/// # Safety
/// None.
pub(crate) unsafe fn unmap_tail(_base: NonNull<u8>, _len: usize, _from: usize) -> Result<(), Errno> {
    Ok(())
}

/// Nothing: all memory is accessible.
///
/// # Safety
/// None.
pub(crate) unsafe fn protect(_base: NonNull<u8>, _len: usize, _protection: Protection) -> Result<(), Errno> {
    Ok(())
}

/// Nothing: nothing is ever swapped out.
///
/// # Safety
/// None.
pub(crate) unsafe fn lock(_base: NonNull<u8>, _len: usize, _time: LockTime) -> Result<(), Errno> {
    Ok(())
}

/// Nothing.
///
/// # Safety
/// None.
pub(crate) unsafe fn unlock(_base: NonNull<u8>, _len: usize) -> Result<(), Errno> {
    Ok(())
}

/// Refused.
///
/// # Safety
/// None.
pub(crate) unsafe fn name(_base: NonNull<u8>, _len: usize, _name: &CStr) -> Result<(), Errno> {
    Err(libc::ENOSYS)
}

/// Refused.
///
/// # Safety
/// None.
pub(crate) unsafe fn place(_base: NonNull<u8>, _len: usize, _placement: Placement, _nodes: u64) -> Result<(), Errno> {
    Err(libc::ENOSYS)
}

/// Refused.
///
/// # Safety
/// None.
pub(crate) unsafe fn seal(_base: NonNull<u8>, _len: usize) -> Result<(), Errno> {
    Err(libc::ENOSYS)
}

/// A larger or smaller block with the same contents.
///
/// # Safety
/// `base..base + len` is a whole block from [`map`] that is not used again.
pub(crate) unsafe fn remap(
    base: NonNull<u8>,
    len: usize,
    new_len: usize,
    may_move: bool,
) -> Result<NonNull<u8>, Errno> {
    if !may_move {
        return Err(libc::ENOMEM);
    }
    let new = map(new_len, super::page_size(), NewPages::default())?;
    // SAFETY: both blocks are live, distinct and at least this long.
    unsafe {
        core::ptr::copy_nonoverlapping(base.as_ptr(), new.as_ptr(), len.min(new_len));
        unmap(base, len)?;
    }
    Ok(new)
}

/// Refused: the callers copy.
///
/// # Safety
/// None.
pub(crate) unsafe fn move_pages(_base: NonNull<u8>, _len: usize, _hint: NonNull<u8>) -> Result<NonNull<u8>, Errno> {
    Err(libc::EINVAL)
}

/// Clears for [`PageAdvice::DontNeed`]; everything else does nothing.
///
/// # Safety
/// The range lies in a block of the caller's.
pub(crate) unsafe fn advise(base: NonNull<u8>, len: usize, advice: PageAdvice) -> Result<(), Errno> {
    if matches!(advice, PageAdvice::DontNeed | PageAdvice::DontNeedLocked) {
        // SAFETY: the caller's contract.
        unsafe { core::ptr::write_bytes(base.as_ptr(), 0, len) };
    }
    Ok(())
}

/// All of it is resident.
///
/// # Safety
/// None.
pub(crate) unsafe fn residency(_base: NonNull<u8>, _len: usize, resident: &mut [u8]) -> Result<(), Errno> {
    resident.fill(1);
    Ok(())
}

/// From Miri's own generator.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), Errno> {
    // SAFETY: the buffer is live and of that length.
    let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if filled == bytes.len() as isize { Ok(()) } else { Err(libc::ENOSYS) }
}

/// No limit.
pub(crate) fn address_space_limit() -> Option<usize> {
    None
}

/// Two, so that what is shared out among threads is.
pub(crate) fn processors() -> usize {
    2
}

/// There is none.
pub(crate) fn data_limit() -> Option<usize> {
    None
}

/// No limit.
pub(crate) fn lock_limit() -> Option<usize> {
    None
}

/// None are counted.
pub(crate) fn thread_faults() -> (u64, u64) {
    (0, 0)
}

/// It does not.
pub(crate) fn overcommit_is_strict() -> bool {
    false
}

/// There are none.
pub(crate) fn huge_pages_are_off() -> bool {
    true
}

/// Returns early, which the contract allows.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32) {
    if word.load(Relaxed) == expected {
        std::thread::yield_now();
    }
}

/// Gives other threads a turn.
pub(crate) fn futex_wait_for(word: &AtomicU32, expected: u32, _milliseconds: u32) {
    futex_wait(word, expected);
}

/// Nothing sleeps.
pub(crate) fn futex_wake(_word: &AtomicU32) {}

/// Writes a message to standard error.
pub(crate) fn write_stderr(message: &[u8]) {
    // SAFETY: the message is live.
    unsafe { libc::write(2, message.as_ptr().cast(), message.len()) };
}
