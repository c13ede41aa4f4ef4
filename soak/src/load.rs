//! The load: threads that make, change, check and free objects in common slots, in phases.
//!
//! An object is in a slot or with the thread that has taken it out; any thread may take any object, so that most are freed by
//! another thread than the one that made them.

use crate::contents::Random;
use crate::objects::{Fault, Object};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What the threads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// As much as may be, as fast as can be.
    Burst,
    /// Half of it, and exchanges.
    Steady,
    /// Threads come and go.
    Waves,
    /// A quarter is left, and nothing happens but for the looks.
    Idle,
    /// The threads end.
    Rest,
}

impl Phase {
    pub const BUSY: [Self; 4] = [Self::Burst, Self::Steady, Self::Waves, Self::Idle];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Burst => "burst",
            Self::Steady => "steady",
            Self::Waves => "waves",
            Self::Idle => "idle",
            Self::Rest => "rest",
        }
    }
}

const SLOTS: usize = 2048;

/// What all threads share.
pub struct Load {
    slots: [Mutex<Option<Object>>; SLOTS],
    phase: AtomicU8,
    /// Ends the run: a fault, or the user.
    pub stop: AtomicBool,
    faults: Mutex<Vec<String>>,
    pub live: AtomicUsize,
    most: usize,
    pub steps: AtomicU64,
    pub threads_ended: AtomicU64,
}

impl Load {
    pub fn new(most: usize) -> Self {
        Self {
            slots: [const { Mutex::new(None) }; SLOTS],
            phase: AtomicU8::new(Phase::Rest as u8),
            stop: AtomicBool::new(false),
            faults: Mutex::new(Vec::new()),
            live: AtomicUsize::new(0),
            most,
            steps: AtomicU64::new(0),
            threads_ended: AtomicU64::new(0),
        }
    }

    pub fn phase(&self) -> Phase {
        Phase::BUSY.into_iter().find(|&phase| phase as u8 == self.phase.load(Relaxed)).unwrap_or(Phase::Rest)
    }

    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Notes what is wrong and ends the run.
    pub fn fail(&self, what: impl Into<String>) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(what.into());
        self.stop.store(true, Relaxed);
    }

    pub fn note<T>(&self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|Fault(what)| self.fail(what)).ok()
    }

    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn slot(&self, random: &mut Random) -> std::sync::MutexGuard<'_, Option<Object>> {
        self.slots[random.below(SLOTS)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self, object: Object) {
        self.live.fetch_sub(object.size(), Relaxed);
        self.note(object.free());
    }

    fn target(&self) -> usize {
        match self.phase() {
            Phase::Burst => self.most,
            Phase::Steady | Phase::Waves => self.most / 2,
            Phase::Idle => self.most / 4,
            Phase::Rest => 0,
        }
    }

    /// One step on one slot.
    pub fn step(&self, random: &mut Random) {
        self.steps.fetch_add(1, Relaxed);
        let (target, live) = (self.target(), self.live.load(Relaxed));
        let mut slot = self.slot(random);
        let Some(mut object) = slot.take() else {
            if live < target
                && let Some(object) = self.note(Object::any(random))
            {
                self.live.fetch_add(object.size(), Relaxed);
                *slot = Some(object);
            }
            return;
        };
        let choice = random.below(8);
        if choice < 2 || live > target && choice < 6 {
            drop(slot);
            return self.free(object);
        }
        if matches!(choice, 2 | 4 | 6) {
            let before = object.size();
            let changed = object.change(random);
            self.live.fetch_add(object.size(), Relaxed);
            self.live.fetch_sub(before, Relaxed);
            self.note(changed);
        }
        if choice != 7 {
            *slot = Some(object);
            return;
        }
        // To another slot, whose object goes.
        drop(slot);
        let replaced = self.slot(random).replace(object);
        replaced.into_iter().for_each(|object| self.free(object));
    }

    /// The work of a thread for a cycle.
    pub fn work(&self, mut random: Random) {
        loop {
            match self.phase() {
                Phase::Rest => break,
                Phase::Idle if self.live.load(Relaxed) <= self.target() => thread::sleep(Duration::from_millis(5)),
                _ => self.step(&mut random),
            }
        }
    }

    /// A look at every object in turn, again and again.
    pub fn rove(&self) {
        for slot in self.slots.iter().cycle() {
            if self.phase() == Phase::Rest {
                break;
            }
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(object) = &*slot else { continue };
            self.note(object.check());
            drop(slot);
            // It looks, and is not to be all the load.
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Threads that come, take a few steps and go, a few at a time, while the phase lasts.
    pub fn waves(&self, random: &mut Random) {
        while self.phase() == Phase::Waves {
            let seeds: [u64; 4] = std::array::from_fn(|_| random.next());
            thread::scope(|scope| {
                for seed in seeds {
                    let spawned = thread::Builder::new().spawn_scoped(scope, move || {
                        let mut random = Random::new(seed);
                        (0..60).for_each(|_| self.step(&mut random));
                        self.threads_ended.fetch_add(1, Relaxed);
                    });
                    if let Err(error) = spawned {
                        self.fail(format!("no thread: {error}"));
                    }
                }
            });
        }
    }

    /// Flips a byte in some live object; whether there was one.
    pub fn corrupt(&self) -> bool {
        self.slots.iter().any(|slot| {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.as_mut().is_some_and(Object::corrupt)
        })
    }

    /// Frees everything.
    pub fn clear(&self) {
        for slot in &self.slots {
            let object = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            object.into_iter().for_each(|object| self.free(object));
        }
        let left = self.live.load(Relaxed);
        if left != 0 {
            self.fail(format!("all objects are freed, and {left} bytes of them are left by the count"));
        }
    }
}
