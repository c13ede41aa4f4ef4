//! `fork` while other threads allocate: the child can go on allocating, and so can its children.

use super::child::in_child;
use super::model::{Block, KIB, MIB, Random};
use std::alloc::Layout;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Forks of the busy process. `MAPALLOC_FORKS` has another number.
const FORKS: usize = 200;

/// Threads that are busy meanwhile.
const BUSY: u64 = 8;

const SIZES: [usize; 8] = [16, 700, 3 * KIB, 20 * KIB, 60 * KIB, 200 * KIB, 3 * MIB, 9 * MIB];

#[test]
fn a_child_of_a_busy_process_can_allocate_on_every_route() {
    in_child(concat!(module_path!(), "::a_child_of_a_busy_process_can_allocate_on_every_route"), || {
        let forks = std::env::var("MAPALLOC_FORKS").map_or(FORKS, |forks| forks.parse().expect("a number of forks"));
        while_busy(busy, || (0..forks).for_each(|_| fork_once(in_the_fork)));
    });
}

#[test]
fn a_child_of_a_child_can_allocate() {
    in_child(concat!(module_path!(), "::a_child_of_a_child_can_allocate"), || {
        while_busy(busy, || {
            for _ in 0..20 {
                fork_once(|from_parent| {
                    // The child has threads of its own when it forks, and ends them before it does.
                    while_busy(busy_with_little, || fork_once(in_the_fork));
                    in_the_fork(from_parent);
                });
            }
        });
    });
}

#[test]
fn fork_while_another_thread_purges() {
    in_child(concat!(module_path!(), "::fork_while_another_thread_purges"), || {
        let purge = |seed: u64, orders: &Orders| {
            if seed < BUSY - 2 {
                return busy(seed, orders);
            }
            while orders.go_on() {
                crate::GLOBAL.purge();
            }
        };
        while_busy(purge, || {
            for _ in 0..120 {
                fork_once(|from_parent| {
                    crate::GLOBAL.purge();
                    in_the_fork(from_parent);
                    crate::GLOBAL.purge();
                });
            }
        });
    });
}

#[test]
fn a_child_that_has_allocated_can_become_another_program() {
    in_child(concat!(module_path!(), "::a_child_that_has_allocated_can_become_another_program"), || {
        while_busy(busy, || {
            for _ in 0..20 {
                fork_once(|from_parent| {
                    in_the_fork(from_parent);
                    let arguments = [c"sh".as_ptr(), c"-c".as_ptr(), c"exit 0".as_ptr(), std::ptr::null()];
                    // SAFETY: a path, and arguments that end with null.
                    unsafe { libc::execv(c"/bin/sh".as_ptr(), arguments.as_ptr()) };
                    panic!("execv: {}", std::io::Error::last_os_error());
                });
            }
        });
    });
}

extern "C" fn allocate_at_fork() {
    [40, 5000, 100_000].into_iter().for_each(|size| block(size, true).free());
}

#[test]
fn handlers_of_fork_may_allocate() {
    in_child(concat!(module_path!(), "::handlers_of_fork_may_allocate"), || {
        // The engine has registered its own by now, so that these run before them in the parent, and after them then.
        block(100_000, false).free();
        // SAFETY: the handler is a function of the program.
        let errno =
            unsafe { libc::pthread_atfork(Some(allocate_at_fork), Some(allocate_at_fork), Some(allocate_at_fork)) };
        assert_eq!(errno, 0);
        while_busy(busy, || (0..20).for_each(|_| fork_once(in_the_fork)));
    });
}

/// What the busy threads of this process are told. They rest while a child of it is at work, which would be long otherwise.
struct Orders {
    stop: AtomicBool,
    rest: AtomicBool,
    /// What they have done together.
    turns: AtomicUsize,
}

static ORDERS: Orders =
    Orders { stop: AtomicBool::new(true), rest: AtomicBool::new(false), turns: AtomicUsize::new(0) };

impl Orders {
    /// Whether a busy thread is to take another turn.
    fn go_on(&self) -> bool {
        self.turns.fetch_add(1, Relaxed);
        while self.rest.load(Relaxed) && !self.stop.load(Relaxed) {
            thread::sleep(Duration::from_micros(300));
        }
        !self.stop.load(Relaxed)
    }

    /// Waits until the threads, if there are any, are in the middle of things.
    fn wait_for_work(&self) {
        self.rest.store(false, Relaxed);
        let turns = self.turns.load(Relaxed);
        while !self.stop.load(Relaxed) && self.turns.load(Relaxed) < turns + 100 {
            thread::yield_now();
        }
    }
}

/// Calls `body` while threads are busy. One call at a time, in a process of its own.
fn while_busy(busy: impl Fn(u64, &Orders) + Sync, body: impl FnOnce()) {
    ORDERS.stop.store(false, Relaxed);
    thread::scope(|scope| {
        for seed in 0..BUSY {
            let busy = &busy;
            scope.spawn(move || busy(seed, &ORDERS));
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        ORDERS.stop.store(true, Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Holds some blocks and exchanges them until told to stop.
fn busy(seed: u64, orders: &Orders) {
    // Small blocks for the most part: it is the allocator that is to be busy, and not the contents.
    busy_with(seed, orders, if seed == 0 { MIB } else { 16 * KIB }, 24);
}

fn busy_with_little(seed: u64, orders: &Orders) {
    busy_with(seed, orders, 16 * KIB, 8);
}

fn busy_with(seed: u64, orders: &Orders, largest: usize, most: usize) {
    let mut random = Random::new(seed);
    let mut blocks: Vec<Block> = Vec::new();
    while orders.go_on() {
        let layout = random.layout(largest);
        blocks.push(Block::new(layout, random.below(2) == 0, seed));
        if blocks.len() > most {
            let which = random.below(blocks.len());
            blocks.swap_remove(which).free();
        }
    }
    blocks.into_iter().for_each(Block::free);
}

pub(super) fn block(size: usize, zeroed: bool) -> Block {
    Block::new(Layout::from_size_align(size, 8).expect("a layout"), zeroed, size as u64)
}

pub(super) fn fork_once(body: impl FnOnce(Vec<Block>)) {
    let from_parent: Vec<Block> = SIZES.map(|size| block(size, false)).into();
    ORDERS.wait_for_work();
    // SAFETY: the child only allocates, which is what is tested, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // There are none here.
            ORDERS.stop.store(true, Relaxed);
            // A panic must not unwind into the parent's frames.
            let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(from_parent))).is_ok();
            // SAFETY: the way out of a forked child.
            unsafe { libc::_exit(i32::from(!passed)) }
        }
        child => {
            ORDERS.rest.store(true, Relaxed);
            let status = wait(child);
            assert_eq!(status, Some(0), "the forked child (None: it hangs)");
        }
    }
    from_parent.into_iter().for_each(Block::free);
}

pub(super) fn in_the_fork(from_parent: Vec<Block>) {
    for (i, size) in SIZES.into_iter().enumerate() {
        // Smaller ones in numbers: a child must not be long, or few forks fit into the time that a test has.
        let count = if size <= 100 * KIB { 4 } else { 1 };
        let mut some: Vec<Block> = (0..count).map(|n| block(size, (i + n) % 2 == 0)).collect();
        some.iter_mut().for_each(|block| block.resize(SIZES[(i + 3) % SIZES.len()]));
        some.into_iter().for_each(Block::free);
    }
    from_parent.into_iter().for_each(Block::free);
}

/// The exit status of `child`, or `None` if it does not end: then it is killed.
fn wait(child: libc::pid_t) -> Option<i32> {
    let started = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to an integer that the call may write.
        match unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } {
            0 if started.elapsed() < Duration::from_secs(20) => thread::sleep(Duration::from_micros(200)),
            0 => {
                // SAFETY: the child has not been waited for, so the number is its own.
                unsafe { libc::kill(child, libc::SIGKILL) };
                // SAFETY: as above.
                unsafe { libc::waitpid(child, &mut status, 0) };
                return None;
            }
            _ => return Some(status),
        }
    }
}
