//! A vector that grows where it is, beside one that moves.

use super::{BASE, MALLOC, MIB, OURS};
use crate::cost::measure;
use crate::guide::Guide;
use crate::look;
use mapalloc::PageVec;
use std::error::Error;

/// Elements that there may be, and that there come to be.
const RESERVED: usize = 64 * MIB / size_of::<u64>();
const PUSHED: usize = 24 * MIB / size_of::<u64>();

pub(crate) fn show(guide: &mut Guide) -> Result<(), Box<dyn Error>> {
    let [reserved, pushed] = [RESERVED, PUSHED].map(|elements| elements * size_of::<u64>() / MIB);
    guide.step(format!("Push {pushed} MiB into a vector with {reserved} MiB of addresses: its elements never move."));
    let mut ours = PageVec::<u64>::try_with_reserved(RESERVED, BASE)?;
    let (moves, cost) = measure(|| {
        let mut place = Place::none();
        for n in 0..PUSHED as u64 {
            ours.try_push(n)?;
            place.seen(ours.as_ptr());
        }
        Ok::<_, mapalloc::Error>(place.moves)
    });
    let start = ours.as_ptr().addr();
    let range = start..start + ours.reserved().unwrap_or(ours.capacity()) * size_of::<u64>();
    guide.show(OURS, cost, look::within(range, &ours)).note(moved(moves?));
    drop(ours);

    // Asked beforehand, since `push` ends the program where there is no memory.
    let mut vec = Vec::<u64>::new();
    if vec.try_reserve_exact(PUSHED * 2).is_err() {
        guide.refused(MALLOC, super::no_memory(PUSHED * 2 * size_of::<u64>()));
        return Ok(());
    }
    vec.shrink_to_fit();
    let (moves, cost) = measure(|| {
        let mut place = Place::none();
        for n in 0..PUSHED as u64 {
            vec.push(n);
            place.seen(vec.as_ptr());
        }
        place.moves
    });
    guide.show("Vec", cost, look::pages(&vec)).note(moved(moves));
    Ok(())
}

/// Where the elements are, and how often that changed.
struct Place {
    start: *const u64,
    moves: usize,
}

impl Place {
    /// Before the first element is pushed.
    const fn none() -> Self {
        Self { start: std::ptr::null(), moves: 0 }
    }

    fn seen(&mut self, start: *const u64) {
        self.moves += usize::from(start != self.start && !self.start.is_null());
        self.start = start;
    }
}

fn moved(moves: usize) -> String {
    format!("moved {moves} times")
}
