//! System calls that a filter (seccomp) refuses, or that it ends the process for: what each route needs.

use super::child::in_child;
use super::fork::in_fork;
use super::model::{KIB, MIB};
use super::process::{Call, refuse};
use super::{Block, layout};
use mapalloc::{PageAlloc, PageVec};
use std::alloc::{GlobalAlloc, Layout};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Called directly: what the test's own program allocates meanwhile is not to be counted among its calls.
static HEAP: PageAlloc = PageAlloc::new().with_small_limit(0).with_background_thread(false);

/// Ends the process at any of these calls, from here on.
fn kill_on(calls: &[libc::c_long]) -> bool {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    // The number of the call is the first word of `seccomp_data`.
    let mut filter = [step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0); 32];
    let mut len = 1;
    for &call in calls {
        filter[len] = step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32);
        filter[len + 1] = step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_KILL_PROCESS);
        len += 2;
    }
    filter[len] = step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW);
    let program = libc::sock_fprog { len: len as u16 + 1, filter: filter.as_mut_ptr() };
    // SAFETY: plain system calls; the program is live.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    }
}

/// All calls by which memory and threads are had.
const ALL: [libc::c_long; 9] = [
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_brk,
    libc::SYS_clone,
    libc::SYS_clone3,
];

/// A block of this size, written at its ends, resized if it is to be, and freed.
fn use_block(size: usize, zeroed: bool, resized: Option<usize>) {
    let layout = Layout::from_size_align(size, 8).expect("a layout");
    // SAFETY: no size is zero; the block is used within its size and freed with its layout.
    unsafe {
        let block = if zeroed { HEAP.alloc_zeroed(layout) } else { HEAP.alloc(layout) };
        assert!(!block.is_null(), "{size} bytes");
        assert!(!zeroed || (block.read() == 0 && block.add(size - 1).read() == 0));
        block.write(1);
        block.add(size - 1).write(2);
        let Some(new_size) = resized else { return HEAP.dealloc(block, layout) };
        let new = HEAP.realloc(block, layout, new_size);
        assert!(!new.is_null() && new.read() == 1, "{size} to {new_size} bytes");
        new.add(new_size - 1).write(3);
        HEAP.dealloc(new, Layout::from_size_align(new_size, 8).expect("a layout"));
    }
}

/// What a program does, and the calls that it needs for that and no others.
type Need = (&'static str, fn(), &'static [libc::c_long]);

const NEEDS: [Need; 7] = [
    (
        "objects and runs that fit into what is committed",
        || {
            for _ in 0..100 {
                [1, 100, 700, 9 * KIB, 30 * KIB, 40 * KIB, 300 * KIB]
                    .into_iter()
                    .for_each(|size| use_block(size, true, None));
                use_block(100, false, Some(3000));
                use_block(40 * KIB, false, Some(100 * KIB));
            }
        },
        &[],
    ),
    ("more objects and runs", hold_nine_mebibytes, &[libc::SYS_mprotect]),
    (
        "zeros of a megabyte and more, of memory that was used",
        || {
            hold_nine_mebibytes();
            use_block(2 * MIB, false, None);
            use_block(2 * MIB, true, None);
        },
        &[libc::SYS_mprotect, libc::SYS_mincore, libc::SYS_madvise],
    ),
    (
        "a block that grows to 16 MiB",
        || use_block(100 * KIB, false, Some(15 * MIB)),
        &[libc::SYS_mprotect, libc::SYS_mincore, libc::SYS_madvise],
    ),
    ("a large block", || use_block(5 * MIB, true, None), &[libc::SYS_mmap, libc::SYS_munmap]),
    (
        "a dense large block",
        || use_block(40 * MIB, false, None),
        &[libc::SYS_mmap, libc::SYS_munmap, libc::SYS_madvise],
    ),
    (
        "a block that grows past 16 MiB",
        || use_block(20 * MIB, false, Some(500 * MIB)),
        &[libc::SYS_mmap, libc::SYS_munmap, libc::SYS_madvise, libc::SYS_mremap],
    ),
];

/// Runs that are never freed.
fn hold_nine_mebibytes() {
    let layout = Layout::from_size_align(3 * MIB, 8).expect("a layout");
    // SAFETY: the size is not zero.
    (0..3).for_each(|_| assert!(unsafe { !HEAP.alloc(layout).is_null() }));
}

/// Runs `body` in a child in which all calls but these end the process; how it ends.
fn with_calls(body: fn(), allowed: impl Fn(libc::c_long) -> bool) -> i32 {
    in_fork(|| {
        let killing: Vec<_> = ALL.into_iter().filter(|&call| !allowed(call)).collect();
        if !kill_on(&killing) {
            return 77;
        }
        body();
        0
    })
}

#[test]
fn each_route_makes_its_own_calls_and_no_others() {
    in_child(concat!(module_path!(), "::each_route_makes_its_own_calls_and_no_others"), || {
        if with_calls(|| (), |_| false) == 77 {
            eprintln!("no filter on system calls can be set here");
            return;
        }
        // The engine is set up, with what it commits for its first objects.
        use_block(100, true, None);
        use_block(64 * KIB, true, None);
        // The answer to a limit may be asked for at any time, and is no call that a filter would be for.
        for (what, body, needed) in NEEDS {
            let code = with_calls(body, |call| needed.contains(&call));
            assert_eq!(code, 0, "{what}, with {needed:?}; {:?}", ALL.map(|one| with_calls(body, |call| call != one)));
            for &missing in needed {
                let code = with_calls(body, |call| call != missing);
                // What is freed stays in the heap until there is too much of it.
                let spared = [libc::SYS_munmap, libc::SYS_madvise].contains(&missing);
                assert!(code == -libc::SIGSYS || spared && code == 0, "{what}, without {missing}: {code}");
            }
        }
    });
}

#[test]
fn a_filter_that_kills_on_threads_and_growth_lets_the_rest_live() {
    in_child(concat!(module_path!(), "::a_filter_that_kills_on_threads_and_growth_lets_the_rest_live"), || {
        use_block(100, true, None);
        let code = in_fork(|| {
            if !kill_on(&[libc::SYS_clone, libc::SYS_clone3, libc::SYS_mremap]) {
                return 77;
            }
            for _ in 0..3 {
                // More free memory than there would be a thread for.
                [100 * KIB, 3 * MIB, 9 * MIB, 40 * MIB].into_iter().for_each(|size| use_block(size, true, None));
                use_block(100, false, Some(10 * MIB));
            }
            0
        });
        assert!(code == 0 || code == 77, "{code}");
    });
}

/// On every route null or a good block, whatever is refused.
fn all_routes(must_serve: bool) {
    let mut blocks = Vec::with_capacity(1000);
    for n in 0..200_usize {
        let size = [100, 700, 9 * KIB, 100 * KIB, 2 * MIB, 5 * MIB][n % 6] + n;
        let block = Block::try_new(layout(size), n / 6 % 2 == 0, n as u64);
        assert!(block.is_some() || !must_serve, "{size} bytes");
        blocks.extend(block);
    }
    // The last ones are freed as they are: used here and there only, which a copy would not leave them.
    for (n, block) in blocks.iter_mut().enumerate().take(120) {
        let size = [40, 5 * KIB, 60 * KIB, MIB + 1, 20 * MIB, 6 * MIB][n % 6];
        assert!(block.try_resize(size) || !must_serve, "resized to {size} bytes");
        if n >= 30 {
            assert!(block.try_resize(size / 2 + 1) || !must_serve);
        }
    }
    for n in (0..blocks.len()).rev() {
        blocks.swap_remove(n / 2).free();
    }
    let mut vec = PageVec::new();
    for n in 0..40_000_u32 {
        let pushed = vec.try_push(n);
        assert!(pushed.is_ok() || !must_serve, "{n} elements: {pushed:?}");
    }
    assert!(!must_serve || vec.iter().copied().eq(0..40_000));
    super::GLOBAL.purge();
}

macro_rules! refused {
    ($($name:ident: $call:expr, $must_serve:literal;)*) => {$(
        #[test]
        fn $name() {
            in_child(concat!(module_path!(), "::", stringify!($name)), || {
                all_routes(true);
                for errno in [libc::ENOMEM, libc::EPERM, libc::ENOSYS] {
                    let code = in_fork(|| {
                        if !refuse(&Call { number: $call, argument: None }, errno) {
                            return 77;
                        }
                        let run = || {
                            all_routes($must_serve);
                            all_routes($must_serve);
                        };
                        i32::from(catch_unwind(AssertUnwindSafe(run)).is_err())
                    });
                    if code == 77 {
                        eprintln!("no filter on system calls can be set here");
                        return;
                    }
                    assert_eq!(code, 0, "errno {errno}");
                }
            });
        }
    )*};
}

// What gives memory back, moves it or asks about it can be done without; what commits memory cannot.
refused! {
    advice_is_refused: libc::SYS_madvise, true;
    moving_is_refused: libc::SYS_mremap, true;
    questions_are_refused: libc::SYS_mincore, true;
    unmapping_is_refused: libc::SYS_munmap, true;
    threads_are_refused: libc::SYS_clone3, true;
    commits_are_refused: libc::SYS_mprotect, false;
    mappings_are_refused: libc::SYS_mmap, false;
}
