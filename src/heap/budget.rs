//! How much free memory may stay resident: a budget in bytes, not a timer.
//!
//! The free that exceeds the budget gives the excess back, so that memory falls without a clock or further activity. The
//! budget is a share of what is live, between a floor and a ceiling; and memory that is asked for again soon after it was
//! given back (regret) raises it for a while, so that no cycle of giving back and faulting in can settle.
//!
//! While the background thread looks after what lies idle, the budget is also what was live lately and is free now: what
//! rises and falls in cycles then keeps its pages, and the process is never larger for it than it has just been.

use crate::sys;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The budget never falls below this: giving back less is not worth the system calls.
const FLOOR: usize = 8 << 20;

/// The share of the live bytes alone never lifts the budget above this.
const CEILING: usize = 256 << 20;

/// Free bytes may be one part in this many of the live ones.
const SHARE: usize = 8;

/// A request this soon after memory was given back is regret.
const REGRET_MILLISECONDS: u64 = 50;

/// What regret added is halved each time this span passes without more of it.
const HALF_LIFE_MILLISECONDS: u64 = 1000;

/// Regret never lifts the budget by more than this.
const MAX_BONUS: usize = 256 << 20;

/// The budget's state: relaxed numbers, any mixture of which gives a usable budget.
pub(super) struct Budget {
    bonus: AtomicUsize,
    bonus_since: AtomicU64,
    /// What was given back lately and not regretted since, and when the last of it was.
    purged: AtomicUsize,
    purged_at: AtomicU64,
    /// The most that was live since the background thread last looked, and in the interval before.
    peak: AtomicUsize,
    last_peak: AtomicUsize,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self {
            bonus: AtomicUsize::new(0),
            bonus_since: AtomicU64::new(0),
            purged: AtomicUsize::new(0),
            purged_at: AtomicU64::new(0),
            peak: AtomicUsize::new(0),
            last_peak: AtomicUsize::new(0),
        }
    }

    /// Notes how much is live after it has become more.
    #[inline]
    pub(super) fn rose(&self, live: usize) {
        if live > self.peak.load(Relaxed) {
            self.peak.store(live, Relaxed);
        }
    }

    /// What was live lately and is free now.
    pub(super) fn fallen(&self, live: usize) -> usize {
        self.peak.load(Relaxed).max(self.last_peak.load(Relaxed)).saturating_sub(live)
    }

    /// Forgets what was live before the last call but one.
    pub(super) fn age(&self, live: usize) {
        self.last_peak.store(self.peak.swap(live, Relaxed), Relaxed);
    }

    /// The bytes that may stay free and resident while `live` bytes are in use.
    pub(super) fn limit(&self, live: usize) -> usize {
        (live / SHARE).clamp(FLOOR, CEILING) + self.bonus()
    }

    fn bonus(&self) -> usize {
        let bonus = self.bonus.load(Relaxed);
        if bonus == 0 {
            return 0;
        }
        let now = sys::coarse_milliseconds();
        let half_lives = now.saturating_sub(self.bonus_since.load(Relaxed)) / HALF_LIFE_MILLISECONDS;
        if half_lives == 0 {
            return bonus;
        }
        let left = bonus.checked_shr(half_lives as u32).filter(|&left| left >= FLOOR).unwrap_or(0);
        self.bonus.store(left, Relaxed);
        self.bonus_since.store(now, Relaxed);
        left
    }

    /// Notes that memory was given back.
    pub(super) fn purged(&self, bytes: usize) {
        if bytes > 0 {
            let now = sys::coarse_milliseconds();
            let recent = now.saturating_sub(self.purged_at.load(Relaxed)) <= REGRET_MILLISECONDS;
            let before = if recent { self.purged.load(Relaxed) } else { 0 };
            self.purged.store(before.saturating_add(bytes), Relaxed);
            self.purged_at.store(now, Relaxed);
        }
    }

    /// Notes that a request of `bytes` found no free memory that is resident.
    pub(super) fn missed(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let purged = self.purged.load(Relaxed);
        if purged == 0 {
            return;
        }
        let now = sys::coarse_milliseconds();
        if now.saturating_sub(self.purged_at.load(Relaxed)) > REGRET_MILLISECONDS {
            self.purged.store(0, Relaxed);
            return;
        }
        // Only as much is regretted as was given back.
        let regretted = bytes.min(purged);
        self.purged.store(purged - regretted, Relaxed);
        self.bonus.store(self.bonus().saturating_add(regretted).min(MAX_BONUS), Relaxed);
        self.bonus_since.store(now, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_a_clamped_share() {
        let budget = Budget::new();
        assert_eq!(budget.limit(0), FLOOR);
        assert_eq!(budget.limit(1 << 30), 128 << 20);
        assert_eq!(budget.limit(usize::MAX), CEILING);
    }

    #[test]
    fn what_fell_lately_is_known_for_two_intervals() {
        let budget = Budget::new();
        budget.rose(100);
        budget.rose(80);
        assert_eq!((budget.fallen(30), budget.fallen(200)), (70, 0));
        budget.age(30);
        assert_eq!(budget.fallen(30), 70);
        budget.rose(50);
        budget.age(20);
        assert_eq!(budget.fallen(20), 30);
        budget.age(20);
        assert_eq!(budget.fallen(20), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "it goes back in time, and Miri's clock starts at zero")]
    fn regret_raises_the_limit_for_a_while() {
        let budget = Budget::new();
        budget.missed(64 << 20);
        assert_eq!(budget.limit(0), FLOOR, "nothing was given back, so nothing is regretted");
        budget.purged(64 << 20);
        budget.missed(60 << 20);
        budget.missed(60 << 20);
        assert_eq!(budget.limit(0), FLOOR + (64 << 20), "no more is regretted than was given back");
        budget.bonus_since.fetch_sub(2 * HALF_LIFE_MILLISECONDS, Relaxed);
        assert_eq!(budget.limit(0), FLOOR + (16 << 20));
        budget.bonus_since.fetch_sub(9 * HALF_LIFE_MILLISECONDS, Relaxed);
        assert_eq!(budget.limit(0), FLOOR);
        for _ in 0..10 {
            budget.purged(64 << 20);
            budget.missed(64 << 20);
        }
        assert_eq!(budget.limit(0), FLOOR + MAX_BONUS);
    }
}
