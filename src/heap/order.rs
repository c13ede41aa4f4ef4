//! A pairing heap over slab descriptors, ordered by address: the lowest slab with room is at its root.
//!
//! Filling low addresses first lets the slabs at high addresses run empty, so that their pages can go back. The links live
//! in the descriptors, so the heap itself is one word. Inserting is a constant number of steps, taking any slab out is
//! logarithmic on average (Fredman, Sedgewick, Sleator, Tarjan: The pairing heap, Algorithmica 1986).
//!
//! Invariants, under the lock of the class: **O1** a slab is in the heap of its class or in none; **O2** every child's unit
//! number is above its parent's; **O3** `previous` of a first child is its parent, of any other child its elder sibling.

use super::arena::{Arenas, UnitId};
use super::descriptor::Links;
use core::sync::atomic::Ordering::Relaxed;

const NONE: u32 = UnitId::NONE.0;

/// The slabs of one class that have room.
pub(super) struct AddressOrder {
    root: u32,
}

fn links(arenas: &Arenas, slab: u32) -> &Links {
    &arenas.slab(UnitId(slab)).links
}

/// Makes the higher of two trees a child of the lower.
fn meld(arenas: &Arenas, a: u32, b: u32) -> u32 {
    if a == NONE {
        return b;
    }
    if b == NONE {
        return a;
    }
    let (parent, child) = if a < b { (a, b) } else { (b, a) };
    let (parent_links, child_links) = (links(arenas, parent), links(arenas, child));
    let eldest = parent_links.child.load(Relaxed);
    child_links.next.store(eldest, Relaxed);
    child_links.previous.store(parent, Relaxed);
    if eldest != NONE {
        links(arenas, eldest).previous.store(child, Relaxed);
    }
    parent_links.child.store(child, Relaxed);
    parent
}

/// Melds a list of siblings: in pairs from the left, then the pairs from the right.
fn meld_siblings(arenas: &Arenas, first: u32) -> u32 {
    let mut pairs = NONE;
    let mut rest = first;
    while rest != NONE {
        let a = rest;
        let b = links(arenas, a).next.load(Relaxed);
        rest = if b == NONE { NONE } else { links(arenas, b).next.load(Relaxed) };
        let pair = meld(arenas, a, b);
        links(arenas, pair).next.store(pairs, Relaxed);
        pairs = pair;
    }
    let mut root = NONE;
    while pairs != NONE {
        let next = links(arenas, pairs).next.load(Relaxed);
        root = meld(arenas, root, pairs);
        pairs = next;
    }
    root
}

impl AddressOrder {
    pub(super) const fn new() -> Self {
        Self { root: NONE }
    }

    /// The slab at the lowest address.
    #[inline]
    pub(super) fn lowest(&self) -> Option<UnitId> {
        (self.root != NONE).then_some(UnitId(self.root))
    }

    /// Adds a slab that is in no heap.
    pub(super) fn insert(&mut self, arenas: &Arenas, slab: UnitId) {
        let own = links(arenas, slab.0);
        own.child.store(NONE, Relaxed);
        own.next.store(NONE, Relaxed);
        own.previous.store(NONE, Relaxed);
        self.root = meld(arenas, self.root, slab.0);
    }

    /// Takes a slab out of this heap.
    pub(super) fn remove(&mut self, arenas: &Arenas, slab: UnitId) {
        let own = links(arenas, slab.0);
        let orphans = own.child.load(Relaxed);
        if self.root == slab.0 {
            self.root = meld_siblings(arenas, orphans);
            return;
        }
        let (next, previous) = (own.next.load(Relaxed), own.previous.load(Relaxed));
        let before = links(arenas, previous);
        if before.child.load(Relaxed) == slab.0 {
            before.child.store(next, Relaxed);
        } else {
            before.next.store(next, Relaxed);
        }
        if next != NONE {
            links(arenas, next).previous.store(previous, Relaxed);
        }
        let orphans = meld_siblings(arenas, orphans);
        self.root = meld(arenas, self.root, orphans);
    }
}
