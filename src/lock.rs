//! The crate's mutex: a futex word beside the data it guards.
//!
//! It never allocates, is never poisoned, can live in a `static`, and can be taken before `fork` and released in both
//! processes, none of which the standard library promises for its own.
//!
//! Invariants of the word: 0 is free, 1 is held, 2 is held with threads possibly asleep on it.

use crate::sync::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
    SPINS, constant, spin_loop,
};
use crate::sys;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// The lock alone.
pub(crate) struct RawLock {
    word: AtomicU32,
}

impl RawLock {
    /// Waits for the lock and takes it.
    #[inline]
    pub(crate) fn acquire(&self) {
        if self.word.compare_exchange(FREE, HELD, Acquire, Relaxed).is_err() {
            self.wait();
        }
    }

    /// Takes the lock, if that needs no waiting.
    #[inline]
    pub(crate) fn try_acquire(&self) -> bool {
        self.word.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok()
    }

    #[cold]
    fn wait(&self) {
        for _ in 0..SPINS {
            if self.word.load(Relaxed) == FREE && self.word.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok() {
                return;
            }
            spin_loop();
        }
        while self.word.swap(CONTENDED, Acquire) != FREE {
            sys::futex_wait(&self.word, CONTENDED);
        }
    }

    /// Releases the lock.
    ///
    /// # Safety
    /// It is held on behalf of the caller, and no [`Guard`] of it is alive.
    #[inline]
    pub(crate) unsafe fn release(&self) {
        if self.word.swap(FREE, Release) == CONTENDED {
            sys::futex_wake(&self.word);
        }
    }
}

/// A value and the lock that guards it.
pub(crate) struct Mutex<T> {
    lock: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives the value to one thread at a time, so sharing the mutex only sends the value between threads.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    constant! {
        pub(crate) fn new(value: T) -> Self {
            Self { lock: RawLock { word: AtomicU32::new(FREE) }, value: UnsafeCell::new(value) }
        }
    }

    /// Waits for the lock and takes it.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.lock.acquire();
        Guard { mutex: self }
    }

    /// Takes the lock, if that needs no waiting.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.lock.try_acquire().then(|| Guard { mutex: self })
    }

    /// The lock alone: for `fork`, where taking and releasing lie in different functions.
    pub(crate) fn raw(&self) -> &RawLock {
        &self.lock
    }
}

/// The right to use the value, until dropped.
pub(crate) struct Guard<'a, T> {
    mutex: &'a Mutex<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock, and `&mut self` makes this the only reference through it.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this guard took the lock and ends here.
        unsafe { self.mutex.lock.release() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time() {
        static SUM: Mutex<u64> = Mutex::new(0);
        const ROUNDS: u64 = if cfg!(miri) { 200 } else { 10_000 };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let mut sum = SUM.lock();
                        let seen = *sum;
                        *sum = seen + 1;
                    }
                });
            }
        });
        assert_eq!(*SUM.lock(), 4 * ROUNDS);
    }

    #[test]
    fn a_sleeper_is_woken() {
        static FLAG: Mutex<bool> = Mutex::new(false);
        let guard = FLAG.lock();
        let waiter = std::thread::spawn(|| *FLAG.lock() = true);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!*guard);
        drop(guard);
        waiter.join().unwrap();
        assert!(*FLAG.lock());
    }

    #[cfg(not(miri))]
    #[test]
    fn a_signal_does_not_give_a_sleeper_the_lock() {
        use core::sync::atomic::AtomicUsize;
        static HANDLED: AtomicUsize = AtomicUsize::new(0);
        static SLEEPER: AtomicU32 = AtomicU32::new(0);
        static ENTERED: Mutex<bool> = Mutex::new(false);
        extern "C" fn count(_signal: i32) {
            HANDLED.fetch_add(1, Relaxed);
        }
        // SAFETY: plain data, and a handler that touches an atomic only; nothing else here uses this signal. It interrupts
        // system calls.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = count as *const () as usize;
            assert_eq!(libc::sigaction(libc::SIGURG, &action, core::ptr::null_mut()), 0);
        }
        let guard = ENTERED.lock();
        let sleeper = std::thread::spawn(|| {
            // SAFETY: no preconditions.
            SLEEPER.store(unsafe { libc::gettid() } as u32, Relaxed);
            *ENTERED.lock() = true;
        });
        // Asleep, or about to be: what comes after the first few finds it in the kernel.
        while ENTERED.raw().word.load(Relaxed) != CONTENDED {
            std::thread::yield_now();
        }
        for signals in 1..=50 {
            // SAFETY: the thread lives as long as the lock is held.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), SLEEPER.load(Relaxed), libc::SIGURG) };
            while HANDLED.load(Relaxed) < signals && !sleeper.is_finished() {
                std::thread::yield_now();
            }
        }
        assert!(!*guard, "two threads have the lock");
        drop(guard);
        sleeper.join().unwrap();
        assert!(*ENTERED.lock());
    }
}
