//! Signals that arrive inside the allocator: a handler that does not allocate and returns harms nothing, and one that ends the
//! process ends it.

use super::child::in_child;
use super::model::{Block, MIB, Random};
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Signals that were handled, in all and on stacks of their own.
static HANDLED: AtomicUsize = AtomicUsize::new(0);
static ELSEWHERE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(signal: i32) {
    HANDLED.fetch_add(1, Relaxed);
    if signal == libc::SIGUSR2 {
        // SAFETY: plain data, which the kernel writes; a system call that only asks.
        let flags = unsafe {
            let mut stack: libc::stack_t = zeroed();
            libc::sigaltstack(std::ptr::null(), &mut stack);
            stack.ss_flags
        };
        ELSEWHERE.fetch_add(usize::from(flags & libc::SS_ONSTACK != 0), Relaxed);
    }
}

extern "C" fn leave(_signal: i32) {
    // SAFETY: among what POSIX allows in a handler.
    unsafe { libc::_exit(42) }
}

fn handle(signal: i32, handler: extern "C" fn(i32), flags: i32) {
    // SAFETY: plain data, and a handler that touches atomics only or ends the process.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_flags = flags;
        action.sa_sigaction = handler as *const () as usize;
        assert_eq!(libc::sigaction(signal, &action, null_mut()), 0);
    }
}

/// Has the process signalled so many microseconds of its life, again and again.
fn set_timer(signal_every: i64) {
    let time = libc::timeval { tv_sec: 0, tv_usec: signal_every };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: the timer is live.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, null_mut()) }, 0);
}

/// Gives the thread a stack for handlers, for ever.
fn set_alternate_stack() {
    let stack = vec![0u8; 64 << 10].leak();
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
    // SAFETY: the memory is leaked, so the handlers' alone.
    assert_eq!(unsafe { libc::sigaltstack(&stack, null_mut()) }, 0);
}

/// An error number that no call of the kernel's gives.
const UNTOUCHED: i32 = 4242;

fn errno() -> *mut i32 {
    // SAFETY: no preconditions.
    unsafe { libc::__errno_location() }
}

/// Allocates and frees on every route until told to stop; contents and `errno` stay as they are.
fn work(seed: u64, stop: &AtomicBool) {
    let mut random = Random::new(seed);
    let mut blocks: Vec<Block> = Vec::with_capacity(64);
    while !stop.load(Relaxed) {
        let (layout, zeroed) = (random.layout(5 * MIB), random.below(2) == 0);
        // SAFETY: this thread's own.
        unsafe { *errno() = UNTOUCHED };
        blocks.push(Block::new(layout, zeroed, seed));
        if blocks.len() == 40 {
            blocks.swap_remove(random.below(40)).free();
        }
        if random.below(4) == 0 {
            let which = random.below(blocks.len());
            blocks[which].resize(random.size(MIB));
        }
        // SAFETY: as above.
        let errno = unsafe { *errno() };
        assert_eq!(errno, UNTOUCHED, "{}", std::io::Error::from_raw_os_error(errno));
    }
    blocks.into_iter().for_each(Block::free);
}

#[test]
fn signals_inside_the_allocator_harm_nothing() {
    in_child(concat!(module_path!(), "::signals_inside_the_allocator_harm_nothing"), || {
        const WORKERS: usize = 4;
        const SIGNALS: usize = 20_000;
        // Calls that are interrupted go on, or fail with EINTR; the stack is the thread's, or the handlers'.
        handle(libc::SIGALRM, count, libc::SA_RESTART);
        handle(libc::SIGUSR1, count, 0);
        handle(libc::SIGUSR2, count, libc::SA_ONSTACK);
        let stop = AtomicBool::new(false);
        let ids = [const { AtomicU32::new(0) }; WORKERS];
        let started = Barrier::new(WORKERS + 1);
        thread::scope(|scope| {
            for (seed, id) in ids.iter().enumerate() {
                let (stop, started) = (&stop, &started);
                scope.spawn(move || {
                    set_alternate_stack();
                    // SAFETY: no preconditions.
                    id.store(unsafe { libc::gettid() } as u32, Relaxed);
                    started.wait();
                    work(seed as u64, stop);
                });
            }
            started.wait();
            set_timer(300);
            let begun = Instant::now();
            let mut sent = 0;
            while HANDLED.load(Relaxed) < SIGNALS && begun.elapsed() < Duration::from_secs(6) {
                let id = ids[sent % WORKERS].load(Relaxed);
                let signal = if (sent / WORKERS).is_multiple_of(2) { libc::SIGUSR1 } else { libc::SIGUSR2 };
                // SAFETY: a thread of this process, which lives until it is told to stop.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id, signal) };
                sent += 1;
                if sent % 16 == 0 {
                    thread::yield_now();
                }
            }
            set_timer(0);
            stop.store(true, Relaxed);
        });
        assert!(HANDLED.load(Relaxed) > 100, "{} signals", HANDLED.load(Relaxed));
        assert!(ELSEWHERE.load(Relaxed) > 10, "{} signals on stacks of their own", ELSEWHERE.load(Relaxed));
    });
}

#[test]
fn a_handler_may_end_the_process() {
    in_child(concat!(module_path!(), "::a_handler_may_end_the_process"), || {
        for round in 0..30 {
            // SAFETY: the child only allocates, which the allocator promises to work, and never returns.
            let child = unsafe { libc::fork() };
            if child == 0 {
                handle(libc::SIGALRM, leave, 0);
                set_timer(500 + 37 * round);
                let never = AtomicBool::new(false);
                work(round as u64, &never);
            }
            let mut status = 0;
            // SAFETY: the status is live, and the child this process's.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert!(libc::WIFEXITED(status), "{status:x}");
            assert_eq!(libc::WEXITSTATUS(status), 42);
        }
    });
}
