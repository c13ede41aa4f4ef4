//! Blocks that no slot holds: a mapping each, between guard pages whose number is chosen at random.
//!
//! A table by address says which there are, and of which size: it alone answers a free. A freed mapping gives its memory back,
//! cannot be touched, and keeps its addresses while it waits in quarantine.
//!
//! # Invariants, under the lock
//! * **Q1** a block is in the table from when it is given out until it is freed; its mapping has `len` bytes, and `guards`
//!   bytes of guard pages before and behind.
//! * **Q2** an entry of the quarantine that is not zero is a range of addresses that is mapped and nobody's.

use super::canary;
use super::random::Random;
use crate::heap::misuse;
use crate::lock::{Mutex, RawLock};
use crate::map::{ByAddress, MapOptions, close, discard};
use crate::page::{DENSE_HUGE_MIN, page_size, round_up};
use crate::stats::RouteStats;
use core::ptr::NonNull;

/// Guard pages on either side of a block at the most.
const GUARDS: usize = 8;

/// Freed mappings that wait.
const WAITING: usize = 64;

/// What is known of a block.
#[derive(Clone, Copy)]
struct Block {
    size: usize,
    align: usize,
    len: usize,
    before: usize,
    after: usize,
}

/// A freed mapping: its addresses with the guards, and where in them the block began.
#[derive(Clone, Copy)]
struct Freed {
    start: usize,
    len: usize,
    block: usize,
}

impl Freed {
    const NONE: Self = Self { start: 0, len: 0, block: 0 };

    fn unmap(self) {
        if let Some(start) = NonNull::new(core::ptr::with_exposed_provenance_mut(self.start)) {
            // SAFETY: Q2, and it has left the quarantine.
            unsafe { discard(start, self.len) };
        }
    }
}

struct State {
    live: ByAddress<Block>,
    waiting: [Freed; WAITING],
    oldest: usize,
    random: Random,
    sum: RouteStats,
    mapped: usize,
}

/// All large blocks.
pub(super) struct Large {
    state: Mutex<State>,
}

impl State {
    /// The live block at an address. Anything else ends the program.
    fn known(&mut self, address: NonNull<u8>, size: usize, align: usize) -> Block {
        let pointer = address.as_ptr();
        let Some(&mut block) = self.live.get(address) else {
            let at = address.addr().get();
            if self.waiting.iter().any(|freed| freed.block == at && at != 0) {
                misuse::abort_at(b"double free", pointer);
            }
            if self.live.holds(address, |block| block.len) {
                misuse::abort_at(b"free of a pointer into a block", pointer);
            }
            misuse::abort_at(b"free of an address that is not given out", pointer);
        };
        if block.size != size || block.align != align {
            misuse::abort_at(b"free with another size than the allocation's", pointer);
        }
        // SAFETY: Q1: a live block, of pages that were zeros when it was given out.
        unsafe { canary::check(pointer, size, block.len) };
        block
    }
}

impl Large {
    pub(super) const fn new() -> Self {
        let state = State {
            live: ByAddress::guarded(),
            waiting: [Freed::NONE; WAITING],
            oldest: 0,
            random: Random::empty(),
            sum: RouteStats { live: 0, live_bytes: 0 },
            mapped: 0,
        };
        Self { state: Mutex::new(state) }
    }

    /// A new block, which reads zero but for the canary behind it.
    pub(super) fn map(&self, size: usize, align: usize, dense: bool) -> Option<NonNull<u8>> {
        let (before, after) = {
            let mut state = self.state.lock();
            if !state.live.promise() {
                return None;
            }
            (1 + state.random.below(GUARDS), 1 + state.random.below(GUARDS))
        };
        let Ok(mut mapping) = MapOptions::new().align(align).guard_pages(before, after).map(size) else {
            self.state.lock().live.break_promise();
            return None;
        };
        if dense && size >= DENSE_HUGE_MIN {
            mapping.prefer_huge_pages();
        }
        let raw = mapping.into_raw();
        let (base, len) = (raw.base(), raw.reserved());
        // SAFETY: a new mapping of zeros.
        unsafe { canary::seal(base.as_ptr(), size, len) };
        let (before, after) = (before * page_size(), after * page_size());
        let mut state = self.state.lock();
        state.live.insert(base, Block { size, align, len, before, after });
        state.sum.live += 1;
        state.sum.live_bytes += size;
        state.mapped += len;
        Some(base)
    }

    /// Takes the block at an address back.
    pub(super) fn put(&self, address: NonNull<u8>, size: usize, align: usize) {
        let mut state = self.state.lock();
        let Block { len, before, after, .. } = state.known(address, size, align);
        state.live.remove(address);
        state.sum.live -= 1;
        state.sum.live_bytes -= size;
        state.mapped -= len;
        drop(state);
        // SAFETY: Q1: the mapping of the block, which nobody may use any more; nobody else can know of it, as its addresses
        // stay taken. What cannot be closed waits as it is.
        let start = unsafe {
            let _ = close(address, len);
            address.sub(before)
        };
        let mut state = self.state.lock();
        let oldest = state.oldest;
        state.oldest = (oldest + 1) % WAITING;
        let freed =
            Freed { start: start.as_ptr().expose_provenance(), len: before + len + after, block: address.addr().get() };
        let ended = core::mem::replace(&mut state.waiting[oldest], freed);
        drop(state);
        ended.unmap();
    }

    /// Changes the size of a block in place, if it takes as many pages as before.
    pub(super) fn resize(&self, address: NonNull<u8>, size: usize, align: usize, new_size: usize) -> bool {
        let mut state = self.state.lock();
        let block = state.known(address, size, align);
        if round_up(new_size, page_size()) != block.len {
            return false;
        }
        state.sum.live_bytes = state.sum.live_bytes - size + new_size;
        if let Some(known) = state.live.get(address) {
            known.size = new_size;
        }
        drop(state);
        // SAFETY: the block is the caller's, and its end was found intact.
        unsafe { canary::move_end(address.as_ptr(), size, new_size, block.len) };
        true
    }

    /// Ends the quarantine of all that waits; says whether anything did.
    pub(super) fn purge(&self) -> bool {
        let mut any = false;
        for at in 0..WAITING {
            let freed = core::mem::replace(&mut self.state.lock().waiting[at], Freed::NONE);
            any |= freed.start != 0;
            freed.unmap();
        }
        any
    }

    /// Live blocks, bytes of their mappings, and bytes of the table.
    pub(super) fn stats(&self) -> (RouteStats, usize, usize) {
        let state = self.state.lock();
        (state.sum, state.mapped, state.live.bytes())
    }

    /// Calls `each` with every lock of this room, for `fork`.
    pub(super) fn locks(&self, each: &mut dyn FnMut(&RawLock)) {
        each(self.state.raw());
    }

    /// In a child of `fork`: chooses otherwise than the parent.
    pub(super) fn forget_choices(&self) {
        self.state.lock().random.forget();
    }
}
