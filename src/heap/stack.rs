//! Lock-free stacks of numbered things that are never unmapped: the lists of the depot.
//!
//! # Invariant
//! * **S5** a counted stack's count is at least the number of things in it: it rises before a push and falls after a pop.

use crate::sync::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
    constant,
};

/// Where the links of a stack lie.
pub(super) trait Links {
    /// The link of the thing with that number, which is not 0. It can be read at any time, whoever has the thing.
    fn next(&self, id: u32) -> &AtomicU32;
}

/// A stack: the number of the first thing and a tag that changes with every push, in one word.
///
/// The tag keeps a pop from succeeding after the first thing was popped and pushed again meanwhile (Treiber, IBM RJ 5118,
/// 1986).
pub(super) struct Stack {
    head: AtomicU64,
}

impl Stack {
    constant! {
        pub(super) fn new() -> Self {
            Self { head: AtomicU64::new(0) }
        }
    }

    /// Adds a thing, which is the caller's. What was written to it before is seen by whoever pops it.
    pub(super) fn push(&self, links: &impl Links, id: u32) {
        let link = links.next(id);
        let mut head = self.head.load(Relaxed);
        loop {
            link.store(head as u32, Relaxed);
            let tag = (head >> 32).wrapping_add(1);
            match self.head.compare_exchange_weak(head, tag << 32 | u64::from(id), Release, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes out the thing that was added last, which is the caller's from then on.
    pub(super) fn pop(&self, links: &impl Links) -> Option<u32> {
        let mut head = self.head.load(Acquire);
        loop {
            let id = head as u32;
            if id == 0 {
                return None;
            }
            let next = links.next(id).load(Relaxed);
            match self.head.compare_exchange_weak(head, head >> 32 << 32 | u64::from(next), Acquire, Acquire) {
                Ok(_) => return Some(id),
                Err(now) => head = now,
            }
        }
    }
}

/// A stack that knows how many things are in it, and how few there have been.
pub(super) struct Counted {
    stack: Stack,
    count: AtomicUsize,
    /// The least of the count since [`idle`](Self::idle) last looked.
    low: AtomicUsize,
}

impl Counted {
    constant! {
        pub(super) fn new() -> Self {
            Self { stack: Stack::new(), count: AtomicUsize::new(0), low: AtomicUsize::new(0) }
        }
    }

    /// Takes a thing out.
    pub(super) fn take(&self, links: &impl Links) -> Option<u32> {
        let id = self.stack.pop(links)?;
        let left = self.count.fetch_sub(1, Relaxed) - 1;
        if left < self.low.load(Relaxed) {
            self.low.store(left, Relaxed);
        }
        Some(id)
    }

    /// Adds a thing, unless there are `limit` already.
    pub(super) fn put(&self, links: &impl Links, id: u32, limit: usize) -> bool {
        if self.count.fetch_add(1, Relaxed) >= limit {
            self.count.fetch_sub(1, Relaxed);
            return false;
        }
        self.stack.push(links, id);
        true
    }

    /// How many things nobody has needed since the last call, as far as concurrent changes let it be known.
    pub(super) fn idle(&self) -> usize {
        let now = self.count();
        self.low.swap(now, Relaxed).min(now)
    }

    /// How many things are in it, or are about to be.
    pub(super) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }
}
