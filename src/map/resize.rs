//! Changing how much of a mapping is usable, and how long it is: commit, decommit, grow, shrink.
//!
//! On a failure the contents and the address are as they were.

use super::make::whole;
use super::{
    Advice, Backing, Features, Granted, Guard, MapOptions, Mapping, RawMapping, discard, discard_of, preferred_align,
};
use crate::error::{Error, Operation, Result};
use crate::page::{HUGE_UNIT, page_size, round_up};
use crate::sys::{self, Errno, NewPages, PageAdvice, Protection};
use core::ops::Range;
use core::ptr::NonNull;

impl Mapping {
    /// Makes at least the first `len` bytes usable; they keep their contents, and new ones are zero. Never moves.
    ///
    /// # Errors
    /// If `len` is past the reservation, or the kernel refuses; then nothing has changed.
    pub fn commit(&mut self, len: usize) -> Result<()> {
        if len > self.0.reserved {
            return Err(Error::out_of_range(Operation::Commit, len));
        }
        let (committed, len) = (self.0.committed, round_up(len, self.unit()));
        if len <= committed {
            return Ok(());
        }
        let added = len - committed;
        self.protect_tail(committed, len, Protection::ReadWrite)
            .map_err(|errno| Error::os(Operation::Commit, added, errno))?;
        if let Err(error) = self.populate_new(committed..len).and_then(|()| self.lock_new(committed..len)) {
            // What was faulted in meanwhile goes as well. A failure of this leaves pages that nobody is told of.
            self.unlock_tail(committed, len);
            let _ = self.drop_pages(committed..len);
            let _ = self.protect_tail(committed, len, Protection::None);
            return Err(error);
        }
        self.0.committed = len;
        Ok(())
    }

    /// Gives the pages from `len` on back and makes them unusable until they are committed again: the opposite of
    /// [`commit`](Self::commit). `len` is rounded up to whole pages; the address and the reservation stay.
    ///
    /// # Errors
    /// If the kernel refuses to part the pages at its limit of mappings (`vm.max_map_count`). They then stay usable, and
    /// those from `len` on read zero.
    pub fn uncommit(&mut self, len: usize) -> Result<()> {
        let (committed, len) = (self.0.committed, round_up(len.min(self.0.committed), self.unit()));
        if len == committed {
            return Ok(());
        }
        let bytes = committed - len;
        self.unlock_tail(len, committed);
        self.decommit(len..committed)?;
        self.protect_tail(len, committed, Protection::None)
            .map_err(|errno| Error::os(Operation::Commit, bytes, errno))?;
        self.0.committed = len;
        Ok(())
    }

    /// Unlocks pages that are about to go, so that they do not count against the limit.
    fn unlock_tail(&mut self, from: usize, to: usize) {
        if self.0.options.lock.is_some() {
            // SAFETY: within the mapping (M1). Pages that stay locked are only counted as such.
            let _ = unsafe { sys::unlock(self.0.base.add(from), to - from) };
        }
    }

    fn protect_tail(&mut self, from: usize, to: usize, protection: Protection) -> Result<(), Errno> {
        // SAFETY: within the mapping (M1), to whose bytes `&mut self` excludes other references.
        unsafe { sys::protect(self.0.base.add(from), to - from, protection) }
    }

    /// Gives the memory of a range back and keeps the addresses: the range stays usable and reads zero.
    ///
    /// Pages that lie in the range only in part keep their memory; their bytes in the range are cleared. Locked pages come
    /// back at their next touch, and are locked then.
    ///
    /// # Errors
    /// If the range is not within [`len`](Self::len), or the kernel refuses; then pages before the first refused one may
    /// have been given back.
    pub fn decommit(&mut self, range: Range<usize>) -> Result<()> {
        let bytes = range.end.saturating_sub(range.start);
        if range.start > range.end || range.end > self.len() {
            return Err(Error::out_of_range(Operation::Advise, bytes));
        }
        let unit = self.unit();
        let inner = round_up(range.start, unit)..range.end & !(unit - 1);
        if inner.start < inner.end {
            self.drop_pages(inner.clone())?;
            self.zero(range.start..inner.start);
            self.zero(inner.end..range.end);
        } else {
            self.zero(range);
        }
        Ok(())
    }

    /// Clears committed bytes and makes no reference to others: pointers to the elements of a reserved vector outlive this.
    fn zero(&mut self, range: Range<usize>) {
        debug_assert!(range.start <= range.end && range.end <= self.len());
        // SAFETY: within the committed bytes (M2), to which `&mut self` excludes references.
        unsafe { self.0.base.add(range.start).write_bytes(0, range.len()) };
    }

    fn drop_pages(&mut self, range: Range<usize>) -> Result<()> {
        let plainly = self.advise_reserved(Advice::DontNeed, range.clone());
        if plainly.is_ok() {
            return plainly;
        }
        // Locked pages, by this mapping's options or by mlockall(2), take another word (Linux 5.18).
        // SAFETY: whole pages of the mapping (M1), to which `&mut self` excludes references.
        unsafe { sys::advise(self.0.base.add(range.start), range.len(), PageAdvice::DontNeedLocked) }.or(plainly)
    }

    /// Grows to at least `len` committed bytes without moving, or not at all. New bytes are zero.
    ///
    /// # Errors
    /// If the addresses behind the mapping are taken, or the kernel refuses; then the contents and the address are as
    /// they were, though all that was reserved may have become committed.
    pub fn grow_in_place(&mut self, len: usize) -> Result<()> {
        let RawMapping { base, committed, reserved, granted, .. } = self.0;
        if len <= reserved {
            return self.commit(len);
        }
        let len = whole(Operation::Remap, len, self.unit())?;
        if granted.after > 0 {
            return Err(Error::os(Operation::Remap, len, libc::ENOMEM));
        }
        self.commit(reserved)?;
        // SAFETY: M1; without leave to move, existing references stay valid, and `&mut self` excludes them anyway.
        unsafe { sys::remap(base, reserved, len, false) }.map_err(|errno| Error::os(Operation::Remap, len, errno))?;
        self.set_range(base, len);
        self.populate_new(committed..len).inspect_err(|_| {
            // A longer mapping than was asked for is the worst that a failure leaves.
            let _ = self.shrink(reserved);
        })
    }

    /// Grows to at least `len` committed bytes: in place where there is room, otherwise by moving the pages to a new
    /// address without copying them. New bytes are zero; the alignment and the other options are kept. A smaller `len`
    /// changes nothing.
    ///
    /// A mapping with guard pages, of hugetlb pages, or that must be populated is copied if it has to grow past its
    /// reservation.
    ///
    /// # Errors
    /// If `len` is too large for an address space, or the kernel refuses; then nothing has changed.
    pub fn grow(&mut self, len: usize) -> Result<()> {
        let RawMapping { committed, reserved, options, granted, .. } = self.0;
        if len <= reserved {
            return self.commit(len);
        }
        let len = whole(Operation::Remap, len, self.unit())?;
        if committed == 0 {
            *self = options.map(len)?;
            return Ok(());
        }
        let must_populate = options.populate && !options.best_effort.contains(Features::POPULATE);
        if granted.guards.is_some() || matches!(granted.backing, Backing::HugeTlb(_)) || must_populate {
            return self.copy_to_new(len);
        }
        self.relocate(len)?;
        self.populate_new(committed..len)
    }

    /// Grows past the reservation: where the mapping is, else where `len` bytes fit, else by a copy.
    fn relocate(&mut self, len: usize) -> Result<()> {
        let RawMapping { base, committed, reserved, options, process, .. } = self.0;
        // One area of the kernel's, which mremap(2) can resize.
        let whole = committed == reserved;
        // SAFETY: M1; without leave to move, existing references stay valid, and `&mut self` excludes them anyway.
        if whole && unsafe { sys::remap(base, committed, len, false) }.is_ok() {
            self.set_range(base, len);
            return Ok(());
        }
        let mut errno = libc::EFAULT;
        // The kernel's own choice of a place has no alignment, and it takes a mapping as a whole. Locked pages are not parted
        // from their place: the kernel unlocks what stays mapped there, and goes on counting it as locked.
        let may_part = options.lock.is_none();
        if may_part && (len >= HUGE_UNIT || self.align() > page_size() || !whole) {
            // SAFETY: M1, and `&mut self` excludes references into the range.
            match unsafe { move_to_room(base, committed, len, self.align(), options.no_reserve, process) } {
                Ok(new) => {
                    // SAFETY: the old range (M1), whose pages have left it, and which this value covers no longer.
                    unsafe { discard_of(process, base, reserved) };
                    self.set_range(new, len);
                    return Ok(());
                }
                Err(refusal) => errno = refusal,
            }
        }
        if whole && self.align() <= page_size() {
            // SAFETY: M1, and `&mut self` excludes references into the range.
            match unsafe { sys::remap(base, committed, len, true) } {
                Ok(new) => {
                    self.set_range(new, len);
                    return Ok(());
                }
                Err(refusal) => errno = refusal,
            }
        }
        // The pages lie in several areas (advice on a part does that), which cannot be moved as one; or the call is refused
        // whatever it asks for. Where there is no memory, there is none for a copy either.
        self.copy_to_new(len).map_err(|error| match errno {
            libc::ENOMEM => Error::os(Operation::Remap, len, errno),
            _ => error,
        })
    }

    fn copy_to_new(&mut self, len: usize) -> Result<()> {
        let mut target = self.0.options.map(len)?;
        target[..self.len()].copy_from_slice(self);
        *self = target;
        Ok(())
    }

    fn set_range(&mut self, base: NonNull<u8>, len: usize) {
        (self.0.base, self.0.committed, self.0.reserved) = (base, len, len);
    }

    /// A mapping of `room` bytes that starts with the pages of `source..source + len`, moved there without a copy. The
    /// source stays mapped and reads zero. On failure it has its contents still.
    ///
    /// The pages and the room behind them end up as one area of the kernel's, so that a later move needs no copy either.
    ///
    /// # Safety
    /// The source is whole pages, readable and writable, mapped by this room; no reference into it is used again; and
    /// `0 < len <= room`.
    pub(super) unsafe fn adopt(source: NonNull<u8>, len: usize, room: usize) -> Result<Self> {
        let room = whole(Operation::Remap, room, page_size())?;
        let options = MapOptions::new();
        // SAFETY: the caller's contract.
        let base = unsafe { move_to_room(source, len, room, options.alignment(), false, 0) }
            .map_err(|errno| Error::os(Operation::Remap, room, errno))?;
        // SAFETY: `room` bytes were mapped there by this room, all of them usable, and belong to nobody else.
        Ok(unsafe { Self::plain(base, room, options.alignment()) })
    }

    /// Shrinks the mapping to at least `len` bytes, both committed and reserved, and gives the rest back.
    ///
    /// `len` is rounded up to whole pages, at least one; a larger `len` than [`reserved`](Self::reserved) changes nothing.
    ///
    /// # Errors
    /// If the kernel refuses (a split at the limit of mappings, `vm.max_map_count`); then nothing has changed, except that
    /// what a guard was to be made of may read zero.
    pub fn shrink(&mut self, len: usize) -> Result<()> {
        let RawMapping { base, reserved, granted: Granted { after, .. }, .. } = self.0;
        let len = round_up(len.clamp(1, reserved), self.unit());
        if len == reserved {
            return Ok(());
        }
        if after > 0 {
            return self.shrink_behind_guard(len);
        }
        // SAFETY: the end of the mapping (M1), to which `&mut self` excludes references.
        unsafe { sys::unmap_tail(base, reserved, len) }
            .map_err(|errno| Error::os(Operation::Unmap, reserved - len, errno))?;
        self.0.reserved = len;
        self.0.committed = self.0.committed.min(len);
        Ok(())
    }

    /// Makes what lies behind `len` the new guard, and then gives back what it is longer than the old one.
    fn shrink_behind_guard(&mut self, len: usize) -> Result<()> {
        let RawMapping { base, committed, reserved, granted: Granted { after, .. }, .. } = self.0;
        if len < committed {
            self.unlock_tail(len, committed);
            self.drop_pages(len..committed)?;
            self.protect_tail(len, committed, Protection::None)
                .map_err(|errno| Error::os(Operation::Guard, committed - len, errno))?;
        }
        let surplus = reserved - len;
        // SAFETY: the end of the range with its guard (M1).
        let unmapped = unsafe { sys::unmap_tail(base, reserved + after, len + after) }.is_ok();
        // At the limit of mappings the guard stays longer than it was; there is no memory behind it.
        self.0.granted.after = if unmapped { after } else { after + surplus };
        self.0.granted.guards = Some(Guard::Protected);
        self.0.reserved = len;
        self.0.committed = committed.min(len);
        Ok(())
    }
}

/// Moves the pages of a range to a multiple of `align` with room for `room` bytes behind that start, all of it one area of
/// the kernel's; returns the start. The source stays mapped and reads zero. On failure its contents are as they were. If
/// `process` is not zero, that one alone has the pages.
///
/// # Safety
/// `source..source + len` is whole pages, readable and writable, mapped by this room; no reference into it is used again;
/// and `0 < len <= room`, also whole pages.
unsafe fn move_to_room(
    source: NonNull<u8>,
    len: usize,
    room: usize,
    align: usize,
    no_reserve: bool,
    process: u64,
) -> Result<NonNull<u8>, Errno> {
    let preferred = preferred_align(align, room);
    // A place where the room fits, usable and so charged if the source is: if the system refuses so much, it does so before
    // anything has moved. It is let go and named as a hint: if another thread's mapping gets there first, the kernel finds
    // another place.
    let hint = sys::map(room, preferred, NewPages { lead: 0, no_reserve })?;
    // SAFETY: mapped just now; nothing refers to it. The caller's contract for the source.
    let moved = unsafe {
        sys::unmap(hint, room).inspect_err(|_| discard(hint, room))?;
        sys::move_pages(source, len, hint)?
    };
    let is_at = |align: usize| moved.addr().get() & (align - 1) == 0;
    if len == room && is_at(align) {
        return Ok(moved);
    }
    // SAFETY: the pages are at `moved`, one area of `len` bytes, which only this call knows of; the source is mapped, reads
    // zero, and is the caller's.
    unsafe {
        let mut widened = if is_at(preferred) { sys::remap(moved, len, room, false) } else { Err(libc::EFAULT) };
        if widened.is_err() && align <= page_size() {
            widened = sys::remap(moved, len, room, true);
        }
        widened.map_err(|_| {
            // The place was lost to another thread, which says nothing of the memory that there is.
            core::ptr::copy_nonoverlapping(moved.as_ptr(), source.as_ptr(), len);
            discard_of(process, moved, len);
            libc::EAGAIN
        })
    }
}
