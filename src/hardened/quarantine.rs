//! The quarantine of a size class: freed slots wait before they can be used again, for a time that cannot be told.
//!
//! A freed slot takes a random place among those that wait, and what was there goes on into a queue. So at least the length
//! of the queue in frees lies between a free and the slot's next use, and on average that of both.

use super::random::Random;

/// Places of either part.
const PLACES: usize = 64;

/// Either part holds at most this many bytes, if that is at least four slots.
const BYTES: usize = 64 << 10;

/// Slots that wait, by number plus one. All zero, it is empty.
pub(super) struct Quarantine {
    places: [u32; PLACES],
    queue: [u32; PLACES],
    oldest: u32,
}

/// Places of either part for slots of `size` bytes.
pub(super) const fn places(size: usize) -> usize {
    let fit = BYTES / size;
    if fit > PLACES {
        PLACES
    } else if fit < 4 {
        4
    } else {
        fit
    }
}

impl Quarantine {
    /// Takes a slot of `size` bytes in, and lets one go if all places are taken.
    pub(super) fn exchange(&mut self, random: &mut Random, size: usize, slot: u32) -> Option<u32> {
        let places = places(size);
        let place = &mut self.places[random.below(places)];
        let next = core::mem::replace(place, slot + 1);
        if next == 0 {
            return None;
        }
        let oldest = &mut self.queue[self.oldest as usize % PLACES];
        self.oldest = (self.oldest + 1) % places as u32;
        core::mem::replace(oldest, next).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_comes_out_once_and_late() {
        // SAFETY: all zero is a value of both.
        let (mut quarantine, mut random): (Quarantine, Random) = unsafe { core::mem::zeroed() };
        for size in [8, 1024, 4096, 32 << 10] {
            quarantine.places = [0; PLACES];
            quarantine.queue = [0; PLACES];
            quarantine.oldest = 0;
            let mut out = std::collections::HashSet::new();
            for slot in 0..10_000 {
                if let Some(old) = quarantine.exchange(&mut random, size, slot) {
                    assert!(out.insert(old) && (old as usize + places(size)) < slot as usize, "{old} at {slot}");
                }
            }
            assert_eq!(out.len(), 10_000 - 2 * places(size));
        }
    }
}
