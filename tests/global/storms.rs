//! Storms of threads: they come and go while they free each other's objects, and allocate up to their very last step, also
//! as threads of C that Rust knows nothing of.
//!
//! A thread's last steps are the destructors of its `pthread` keys, of which the allocator has one. glibc runs them in the
//! order in which the keys were made, again and again as long as some set their values anew, four rounds at most. So there is
//! a key here that was made before the allocator's, by a constructor of the program, and one that is made after it.

use super::child::in_child;
use super::model::{Block, KIB, MIB, Random};
use std::alloc::Layout;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::thread;

/// What threads leave for others to free.
static LEFT: Mutex<VecDeque<Block>> = Mutex::new(VecDeque::new());

/// More than this is freed by whoever comes.
const MOST_LEFT: usize = 200;

/// Leaves some blocks for others, and frees what others have left.
fn exchange(seed: u64, count: usize, largest: usize) {
    let mut random = Random::new(seed);
    for n in 0..count {
        let mut block = Block::new(random.layout(largest), n % 3 == 0, seed << 8 | n as u64);
        if n % 4 == 0 {
            block.resize(random.size(largest));
        }
        let taken = {
            let mut left = LEFT.lock().expect("no panic");
            left.push_back(block);
            let most = left.len() > MOST_LEFT;
            if most || random.below(2) == 0 { left.pop_front() } else { None }
        };
        if let Some(block) = taken {
            block.free();
        }
    }
}

fn free_what_is_left() {
    let left = std::mem::take(&mut *LEFT.lock().expect("no panic"));
    left.into_iter().for_each(Block::free);
}

/// Live objects and bytes, by route. The fallback's are left out: what the C library keeps of a thread is its own.
fn live() -> [(usize, usize); 3] {
    let stats = crate::GLOBAL.stats();
    [stats.slab, stats.run, stats.large].map(|route| (route.live, route.live_bytes))
}

#[test]
fn threads_come_and_go_while_they_free_each_others_objects() {
    in_child(concat!(module_path!(), "::threads_come_and_go_while_they_free_each_others_objects"), || {
        let storm = |waves: u64| {
            for wave in 0..waves {
                let threads = [0, 1, 2, 3, 4, 5, 6, 7].map(|i| {
                    thread::spawn(move || exchange(wave << 4 | i, 24, if i == 0 { 8 * MIB } else { 96 * KIB }))
                });
                threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
            }
            free_what_is_left();
        };
        storm(5);
        let (before, metadata) = (live(), crate::GLOBAL.stats().metadata_bytes);
        storm(60);
        assert_eq!(live(), before);
        // Caches are handed on: 480 more threads need no more than the forty before them, but for what the heap itself needs.
        let grown = crate::GLOBAL.stats().metadata_bytes - metadata;
        assert!(grown < 480 * 2 * KIB, "{grown} bytes of metadata more");
    });
}

/// A key whose destructor allocates, and sets its value again as long as that makes another round.
struct Key {
    /// The key's number plus one.
    raw: AtomicU32,
    /// Rounds in all threads.
    rounds: AtomicUsize,
}

static BEFORE: Key = Key { raw: AtomicU32::new(0), rounds: AtomicUsize::new(0) };
static AFTER: Key = Key { raw: AtomicU32::new(0), rounds: AtomicUsize::new(0) };

/// Rounds of destructors that glibc promises.
const ROUNDS: usize = 4;

impl Key {
    fn make(&self, destructor: unsafe extern "C" fn(*mut c_void)) {
        let mut raw = 0;
        // SAFETY: the number is live, and the destructor a function of the program.
        assert_eq!(unsafe { libc::pthread_key_create(&mut raw, Some(destructor)) }, 0);
        self.raw.store(raw + 1, Relaxed);
    }

    fn number(&self) -> libc::pthread_key_t {
        self.raw.load(Relaxed) - 1
    }

    /// Sets the thread's value: how many rounds are to come.
    fn set(&self, rounds: usize) {
        // SAFETY: the key was made; the value is a number and nobody follows it.
        assert_eq!(unsafe { libc::pthread_setspecific(self.number(), std::ptr::without_provenance(rounds)) }, 0);
    }

    /// What the destructor does.
    fn run(&self, value: *mut c_void) {
        let round = self.rounds.fetch_add(1, Relaxed);
        exchange(round as u64, 6, 600 * KIB);
        let more = value.addr() - 1;
        if more > 0 {
            self.set(more);
        }
    }
}

unsafe extern "C" fn run_before(value: *mut c_void) {
    BEFORE.run(value);
}

unsafe extern "C" fn run_after(value: *mut c_void) {
    if value.addr() == ROUNDS {
        // The allocator has taken this thread's cache back: the next thread gets it, and both are at work.
        let beside = start(beside, 0);
        exchange(ROUNDS as u64, 30, 4 * KIB);
        join(beside);
    }
    AFTER.run(value);
}

extern "C" fn beside(_: *mut c_void) -> *mut c_void {
    exchange(99, 30, 4 * KIB);
    null_mut()
}

extern "C" fn constructor() {
    BEFORE.make(run_before);
}

#[used]
// SAFETY: the section is an array of pointers to functions of this type, which the C library calls before `main`.
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

/// What a thread of C does before it ends: its number says which.
extern "C" fn in_c_thread(number: *mut c_void) -> *mut c_void {
    let number = number.addr();
    // Every other one has not met the allocator before its destructors do.
    if number.is_multiple_of(2) {
        exchange(number as u64, 8, 64 * KIB);
    }
    if !number.is_multiple_of(3) {
        BEFORE.set(ROUNDS);
    }
    if number % 3 != 1 {
        AFTER.set(ROUNDS);
    }
    null_mut()
}

/// Starts a thread of C.
fn start(body: extern "C" fn(*mut c_void) -> *mut c_void, number: usize) -> libc::pthread_t {
    let mut thread = 0;
    // SAFETY: the identifier is live; the body takes a number for its argument.
    let errno = unsafe { libc::pthread_create(&mut thread, null(), body, std::ptr::without_provenance_mut(number)) };
    assert_eq!(errno, 0);
    thread
}

fn join(thread: libc::pthread_t) {
    // SAFETY: made by `start`, and joined once.
    assert_eq!(unsafe { libc::pthread_join(thread, null_mut()) }, 0);
}

/// Starts threads of C, eight at a time, and waits for them.
fn c_threads(count: usize, body: extern "C" fn(*mut c_void) -> *mut c_void) {
    for first in (0..count).step_by(8) {
        [0, 1, 2, 3, 4, 5, 6, 7].map(|i| start(body, first + i)).into_iter().for_each(join);
    }
}

#[test]
fn destructors_allocate_before_and_after_the_allocators_own() {
    in_child(concat!(module_path!(), "::destructors_allocate_before_and_after_the_allocators_own"), || {
        // By now the allocator has made its key.
        drop(vec![0u8; 100_000]);
        AFTER.make(run_after);
        assert!(BEFORE.number() + 1 < AFTER.number(), "the allocator's key is between the two");
        // Six is the period of what the threads do.
        const THREADS: usize = 8 * 12;
        c_threads(THREADS, in_c_thread);
        free_what_is_left();
        let before = live();
        c_threads(THREADS, in_c_thread);
        free_what_is_left();
        assert_eq!(live(), before);
        let rounds = [&BEFORE, &AFTER].map(|key| key.rounds.load(Relaxed));
        // Two in three set each key, twice.
        assert_eq!(rounds, [2 * THREADS * 2 / 3 * ROUNDS; 2], "every destructor ran each time");
        // The same in threads of Rust, whose own values are gone by then.
        for seed in 0..30 {
            let thread = thread::spawn(move || {
                exchange(seed, 6, 64 * KIB);
                BEFORE.set(ROUNDS);
                AFTER.set(ROUNDS);
            });
            thread.join().expect("no panic");
        }
        free_what_is_left();
        assert_eq!(live(), before);
    });
}

/// What each thread of the next test has for its neighbour.
static HANDED: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

extern "C" fn pass_on(number: *mut c_void) -> *mut c_void {
    let number = number.addr();
    let layout = Layout::from_size_align(40 << (number % 12), 8).expect("a layout");
    let mine = Box::into_raw(Box::new(Block::new(layout, false, number as u64)));
    let theirs = HANDED[(number * 5 + 1) % 8].swap(mine.expose_provenance() as u64, AcqRel);
    if theirs != 0 {
        // SAFETY: another thread made a box of it and gave it away; the exchange gives it to one.
        unsafe { Box::from_raw(std::ptr::with_exposed_provenance_mut::<Block>(theirs as usize)) }.free();
    }
    null_mut()
}

#[test]
fn threads_of_c_pass_blocks_on() {
    c_threads(400, pass_on);
    for handed in &HANDED {
        let left = handed.swap(0, Acquire);
        if left != 0 {
            // SAFETY: as in `pass_on`, whose threads have ended.
            unsafe { Box::from_raw(std::ptr::with_exposed_provenance_mut::<Block>(left as usize)) }.free();
        }
    }
}
