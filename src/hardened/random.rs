//! Random choices, from the kernel's own generator: an attacker who has seen many of them cannot tell the next.

use crate::sys;

/// Choices for one system call.
const POOL: usize = 128;

/// A store of random numbers, which are used once. All zero, it is empty.
pub(super) struct Random {
    pool: [u16; POOL],
    left: usize,
}

impl Random {
    pub(super) const fn empty() -> Self {
        Self { pool: [0; POOL], left: 0 }
    }

    /// A number below `n`, which is at most 2^16.
    pub(super) fn below(&mut self, n: usize) -> usize {
        if self.left == 0 {
            self.refill();
        }
        self.left -= 1;
        (usize::from(self.pool[self.left]) * n) >> 16
    }

    #[cold]
    fn refill(&mut self) {
        let mut bytes = [0; 2 * POOL];
        // A system that refuses this after it has granted the first is one that leaves no choice but the old numbers, mixed.
        let fresh = sys::random(&mut bytes).is_ok();
        for (number, bytes) in self.pool.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *number = if fresh { u16::from_ne_bytes(*bytes) } else { number.wrapping_mul(0x6255).wrapping_add(0x3619) };
        }
        self.left = POOL;
    }

    /// Drops what is left: a child of `fork` must not choose as its parent does.
    pub(super) fn forget(&mut self) {
        self.left = 0;
    }
}

/// Eight bytes for a key.
pub(super) fn key() -> Option<[u8; 8]> {
    let mut key = [0; 8];
    sys::random(&mut key).is_ok().then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_spread_over_all_of_the_range() {
        let mut random = Random::empty();
        let mut counts = [0; 10];
        (0..20_000).for_each(|_| counts[random.below(10)] += 1);
        // 2,000 each, with a standard deviation of 42.
        assert!(counts.iter().all(|count| (1600..2400).contains(count)), "{counts:?}");
        assert_eq!(random.below(1), 0);
    }
}
