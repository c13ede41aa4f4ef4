//! `fork` while other threads allocate: the child can go on allocating.

use super::child::in_child;
use super::model::{Block, KIB, MIB, Random};
use std::alloc::Layout;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const FORKS: usize = 40;
const SIZES: [usize; 8] = [16, 700, 3 * KIB, 20 * KIB, 60 * KIB, 200 * KIB, 3 * MIB, 9 * MIB];

#[test]
fn a_child_of_a_busy_process_can_allocate_on_every_route() {
    in_child(concat!(module_path!(), "::a_child_of_a_busy_process_can_allocate_on_every_route"), || {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for seed in 0..3 {
                let stop = &stop;
                scope.spawn(move || busy(seed, stop));
            }
            let result = std::panic::catch_unwind(|| (0..FORKS).for_each(|_| fork_once()));
            stop.store(true, Relaxed);
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        });
    });
}

/// Holds some blocks and exchanges them until told to stop.
fn busy(seed: u64, stop: &AtomicBool) {
    let mut random = Random::new(seed);
    let mut blocks: Vec<Block> = Vec::new();
    while !stop.load(Relaxed) {
        let layout = random.layout(MIB);
        blocks.push(Block::new(layout, random.below(2) == 0, seed));
        if blocks.len() > 64 {
            let which = random.below(blocks.len());
            blocks.swap_remove(which).free();
        }
    }
    blocks.into_iter().for_each(Block::free);
}

fn block(size: usize, zeroed: bool) -> Block {
    Block::new(Layout::from_size_align(size, 8).expect("a layout"), zeroed, size as u64)
}

fn fork_once() {
    let from_parent: Vec<Block> = SIZES.map(|size| block(size, false)).into();
    // SAFETY: the child only allocates, which is what is tested, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // A panic must not unwind into the parent's frames.
            let passed = std::panic::catch_unwind(|| in_the_fork(from_parent)).is_ok();
            // SAFETY: the way out of a forked child.
            unsafe { libc::_exit(i32::from(!passed)) }
        }
        child => {
            let status = wait(child);
            assert_eq!(status, Some(0), "the forked child (None: it hangs)");
        }
    }
    from_parent.into_iter().for_each(Block::free);
}

fn in_the_fork(from_parent: Vec<Block>) {
    for (i, size) in SIZES.into_iter().enumerate() {
        let mut some: Vec<Block> = (0..4).map(|n| block(size, n % 2 == 0)).collect();
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
