//! Vaults: the pages in which secrets lie, and the table of all of them.
//!
//! A vault is a mapping between guard pages, closed (without access) while none of its secrets is borrowed. Small secrets
//! share one, in slots of one size, so that a lock limit of a few MiB holds thousands of them; a larger one has a vault of
//! its own. One lock guards the table: a borrow is a system call or two anyway, which the kernel does one after the other.
//! Nothing under it calls the program's allocator, which may have locks of its own to hold across a `fork`.
//!
//! # Invariants
//! * **W1** A slot whose bit in `free` is clear belongs to the secret that it was given to; one whose bit is set reads zero.
//! * **W2** The pages of a vault are readable if `readers` or `writers` is not zero, and writable if `writers` is not zero.
//!   A vault that is `lost` has no pages, and no borrow of it succeeds.

use super::Secrecy;
use crate::error::{Error, Operation, Result};
use crate::lock::Mutex;
use crate::map::{ByAddress, Fork, Lock, MapOptions, Mapping, RawMapping, count_forks};
use crate::page::{page_size, round_up};
use crate::sys::{self, Protection};
use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, compiler_fence};

/// The length of a vault for small secrets, where that is whole pages.
const SHARED_BYTES: usize = 16 << 10;

/// The smallest slot, in bytes.
const MIN_SLOT: usize = 16;

/// Words for the slots of the largest vault for small secrets: 64 KiB, one page on some systems.
const WORDS: usize = (64 << 10) / MIN_SLOT / 64;

#[derive(Clone, Copy)]
struct Vault {
    raw: RawMapping,
    secrecy: Secrecy,
    /// The size of a slot in bytes: a power of two, or the whole vault.
    slot: usize,
    free: [u64; WORDS],
    used: usize,
    readers: usize,
    writers: usize,
    lost: bool,
}

// SAFETY: a vault is the right to its pages, which can move to another thread.
unsafe impl Send for Vault {}

struct Table {
    /// By the address of their pages.
    vaults: ByAddress<Vault>,
    watches_fork: bool,
}

static TABLE: Mutex<Table> = Mutex::new(Table { vaults: ByAddress::new(), watches_fork: false });

/// Where a secret lies: its vault, by the address of its pages, its own address, and how many bytes are there.
#[derive(Clone, Copy)]
pub(super) struct Place {
    vault: NonNull<u8>,
    pub(super) base: NonNull<u8>,
    pub(super) size: usize,
}

/// What a borrow is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

/// A place of zeros for a value of this layout, which has a size, with the first secrecy of the ladder that is to be had.
pub(super) fn allocate(layout: Layout, ladder: &[Secrecy]) -> Result<Place> {
    let mut table = TABLE.lock();
    table.watch_fork()?;
    let mut refusal = Error::capacity(Operation::Secret, layout.size());
    for &secrecy in ladder {
        match table.place(layout, secrecy) {
            Ok(place) => return Ok(place),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Wipes a place and gives it up.
///
/// # Safety
/// The place is the caller's, and not used again.
pub(super) unsafe fn release(place: Place) {
    let mut table = TABLE.lock();
    let Some(vault) = table.vault(place) else { return };
    // A vault that cannot be opened keeps the slot: it stays closed, and is never given to another secret.
    if vault.borrow(Use::Write).is_err() {
        return;
    }
    // SAFETY: the place is the caller's, and writable (W2).
    unsafe { wipe(place.base, place.size) };
    vault.give_back(Use::Write);
    vault.put_slot(place.base);
    if vault.used == 0 {
        table.retire(place);
    }
}

/// Opens the vault of a place.
pub(super) fn open(place: Place, purpose: Use) -> Result<()> {
    match TABLE.lock().vault(place) {
        Some(vault) => vault.borrow(purpose),
        None => Err(Error::out_of_range(Operation::Protect, 0)),
    }
}

/// Ends a borrow that [`open`] began.
pub(super) fn close(place: Place, purpose: Use) {
    if let Some(vault) = TABLE.lock().vault(place) {
        vault.give_back(purpose);
    }
}

/// How well a place is kept.
pub(super) fn secrecy(place: Place) -> Option<Secrecy> {
    TABLE.lock().vault(place).map(|vault| vault.secrecy)
}

/// Overwrites bytes with zeros, in a way that the compiler does not leave out.
///
/// # Safety
/// The range is the caller's, writable.
pub(super) unsafe fn wipe(base: NonNull<u8>, len: usize) {
    for at in 0..len {
        // SAFETY: the caller's contract.
        unsafe { base.add(at).write_volatile(0) };
    }
    compiler_fence(Ordering::SeqCst);
}

impl Vault {
    fn new(secrecy: Secrecy, slot: usize, align: usize) -> Result<Self> {
        let len = round_up(slot.max(if slot < page_size() { SHARED_BYTES } else { 0 }), page_size());
        let count = (len / slot).min(WORDS * 64);
        let mut free = [0; WORDS];
        for (word, first) in free.iter_mut().zip((0..count).step_by(64)) {
            *word = if count - first < 64 { (1 << (count - first)) - 1 } else { !0 };
        }
        let options = MapOptions::new().align(align).guard_pages(1, 1).dump(false).on_fork(Fork::Wipe);
        let mut pages = match secrecy {
            // Its pages have the alignment of pages and no more.
            Secrecy::Hidden if align > page_size() => return Err(Error::alignment(Operation::Secret, align)),
            Secrecy::Hidden => Mapping::hidden(len)?,
            Secrecy::Locked => options.lock(Lock::Now).map(len)?,
            Secrecy::Swappable => options.map(len)?,
        };
        // SAFETY: nothing refers to the pages; W2.
        unsafe { pages.set_protection(Protection::None) }?;
        Ok(Self { raw: pages.into_raw(), secrecy, slot, free, used: 0, readers: 0, writers: 0, lost: false })
    }

    /// Works on the pages of a vault that stays.
    fn with_pages<R>(&mut self, work: impl FnOnce(&mut Mapping) -> R) -> R {
        // SAFETY: the value stands for the vault and makes no second mapping, since it is not dropped.
        let mut pages = ManuallyDrop::new(unsafe { Mapping::from_raw(self.raw) });
        let answer = work(&mut pages);
        self.raw = ManuallyDrop::into_inner(pages).into_raw();
        answer
    }

    /// Gives the pages of a vault back that has left the table.
    fn end(self) {
        // SAFETY: the vault was the only right to the pages, and is not used again.
        drop(unsafe { Mapping::from_raw(self.raw) });
    }

    fn take_slot(&mut self) -> Option<NonNull<u8>> {
        let (word, bits) = self.free.iter_mut().enumerate().find(|(_, bits)| **bits != 0)?;
        let slot = word * 64 + bits.trailing_zeros() as usize;
        *bits &= *bits - 1;
        self.used += 1;
        // An address within the mapping; without access for now (W2).
        NonNull::new(self.raw.base().as_ptr().wrapping_add(slot * self.slot))
    }

    fn put_slot(&mut self, base: NonNull<u8>) {
        let slot = (base.addr().get() - self.raw.base().addr().get()) / self.slot;
        self.free[slot / 64] |= 1 << (slot % 64);
        self.used -= 1;
    }

    fn protection(&self) -> Protection {
        match (self.readers, self.writers) {
            (0, 0) => Protection::None,
            (_, 0) => Protection::Read,
            _ => Protection::ReadWrite,
        }
    }

    fn count(&mut self, purpose: Use) -> &mut usize {
        match purpose {
            Use::Read => &mut self.readers,
            Use::Write => &mut self.writers,
        }
    }

    fn borrow(&mut self, purpose: Use) -> Result<()> {
        if self.lost {
            return Err(Error::os(Operation::Protect, self.raw.committed(), libc::EFAULT));
        }
        let before = self.protection();
        *self.count(purpose) += 1;
        self.follow(before).inspect_err(|_| *self.count(purpose) -= 1)
    }

    fn give_back(&mut self, purpose: Use) {
        let before = self.protection();
        *self.count(purpose) -= 1;
        // Closing what was opened joins areas of the kernel's and parts none, so it needs nothing that can run out. If it is
        // refused all the same, going on would leave secrets open.
        if !self.lost && self.follow(before).is_err() {
            sys::write_stderr(b"mapalloc: the pages of a secret could not be closed\n");
            sys::abort();
        }
    }

    /// Sets the access of the pages to what the counts say, if that is another than before.
    fn follow(&mut self, before: Protection) -> Result<()> {
        let protection = self.protection();
        if protection == before {
            return Ok(());
        }
        self.with_pages(|pages| {
            // SAFETY: by W2 every borrow that needs an access is counted.
            unsafe { pages.set_protection(protection) }
        })
    }
}

impl Table {
    fn vault(&mut self, place: Place) -> Option<&mut Vault> {
        self.vaults.get(place.vault)
    }

    fn place(&mut self, layout: Layout, secrecy: Secrecy) -> Result<Place> {
        let wanted = layout.size().max(layout.align()).max(MIN_SLOT);
        let is_small = wanted <= page_size() / 2;
        let slot = if is_small { wanted.next_power_of_two() } else { round_up(layout.size(), page_size()) };
        let fits = |vault: &&mut Vault| is_small && vault.slot == slot && vault.secrecy == secrecy && !vault.lost;
        let found =
            self.vaults.values_mut().filter(fits).find_map(|vault| Some((vault.raw.base(), vault.take_slot()?)));
        if let Some((vault, base)) = found {
            return Ok(Place { vault, base, size: slot });
        }
        let vault = Vault::new(secrecy, slot, layout.align()).or_else(|error| {
            // Vaults that are kept for the next secret count against the same limits.
            if self.drop_unused() { Vault::new(secrecy, slot, layout.align()) } else { Err(error) }
        })?;
        self.enter(vault)
    }

    /// Puts a new vault into the table and takes its first slot.
    fn enter(&mut self, mut vault: Vault) -> Result<Place> {
        let refused = Error::os(Operation::Allocate, size_of::<Vault>(), libc::ENOMEM);
        let taken = vault.take_slot().filter(|_| self.vaults.promise());
        let Some(base) = taken else {
            vault.end();
            return Err(refused);
        };
        self.vaults.insert(vault.raw.base(), vault);
        Ok(Place { vault: vault.raw.base(), base, size: vault.slot })
    }

    /// Gives a vault without secrets back, unless it is the only unused one for its size and so kept for the next.
    fn retire(&mut self, place: Place) {
        let Some(&mut Vault { slot, secrecy, .. }) = self.vault(place) else { return };
        let like = |other: &&mut Vault| other.slot == slot && other.secrecy == secrecy && other.used == 0;
        let is_shared = slot < page_size();
        if (!is_shared || self.vaults.values_mut().filter(like).count() > 1)
            && let Some(vault) = self.vaults.remove(place.vault)
        {
            vault.end();
        }
    }

    /// Gives all vaults without secrets back; says whether there were any.
    fn drop_unused(&mut self) -> bool {
        let mut any = false;
        loop {
            let unused = self.vaults.values_mut().find(|vault| vault.used == 0).map(|vault| vault.raw.base());
            let Some(vault) = unused.and_then(|base| self.vaults.remove(base)) else { break };
            vault.end();
            any = true;
        }
        any
    }

    fn watch_fork(&mut self) -> Result<()> {
        if !self.watches_fork {
            count_forks()
                .and_then(|()| sys::at_fork(prepare, parent, child))
                .map_err(|errno| Error::os(Operation::Allocate, size_of::<Vault>(), errno))?;
            self.watches_fork = true;
        }
        Ok(())
    }
}

unsafe extern "C" fn prepare() {
    TABLE.raw().acquire();
}

unsafe extern "C" fn parent() {
    // SAFETY: `prepare` took the lock on this thread.
    unsafe { TABLE.raw().release() };
}

unsafe extern "C" fn child() {
    // SAFETY: as in the parent: the child starts as a copy of the thread that took the lock.
    unsafe { TABLE.raw().release() };
    for vault in TABLE.lock().vaults.values_mut() {
        // Locked pages read zero by themselves; hidden ones are not there. Borrows of this thread go on, on zeros. Neither is
        // locked here, so no secret that wants that is given a place in them.
        vault.secrecy = Secrecy::Swappable;
        let protection = vault.protection();
        let restored = vault.with_pages(|pages| {
            // SAFETY: W2 as before the fork.
            pages.restore_after_fork().and_then(|()| unsafe { pages.set_protection(protection) })
        });
        vault.lost = restored.is_err();
    }
}
