//! Programs under valgrind's memcheck: on the plain heap it sees what is wrong, and on the engine nothing that is right is
//! called wrong.
//!
//! The programs are tests of this file that only do their work in a process of its own. A variable of the environment says
//! which heap that has, from before `main` on.

use mapalloc::PageAlloc;
use std::alloc::{GlobalAlloc, Layout, System, alloc, dealloc};
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::thread;

#[global_allocator]
static GLOBAL: Chosen = Chosen;

/// The plain heap, or the slabs for every size, as [`HEAP`] says.
struct Chosen;

const PLAIN: PageAlloc = PageAlloc::new().with_fallback_only();
const SLABS: PageAlloc = PageAlloc::new().with_small_limit(0);

const PROGRAM: &str = "MAPALLOC_TEST_PROGRAM";
const HEAP: &str = "MAPALLOC_TEST_HEAP";

/// 1 is the plain heap, 2 the slabs.
static HEAP_OF_PROCESS: AtomicU8 = AtomicU8::new(0);

fn is_plain() -> bool {
    if HEAP_OF_PROCESS.load(Relaxed) == 0 {
        // SAFETY: a C string, and nobody changes the environment before `main`, where the first allocation is.
        let named = unsafe { libc::getenv(c"MAPALLOC_TEST_HEAP".as_ptr()) };
        HEAP_OF_PROCESS.store(if named.is_null() { 1 } else { 2 }, Relaxed);
    }
    HEAP_OF_PROCESS.load(Relaxed) == 1
}

// SAFETY: all calls of a process go to one and the same allocator.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { if is_plain() { PLAIN.alloc(layout) } else { SLABS.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { if is_plain() { PLAIN.alloc_zeroed(layout) } else { SLABS.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { if is_plain() { PLAIN.dealloc(block, layout) } else { SLABS.dealloc(block, layout) } };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe {
            if is_plain() { PLAIN.realloc(block, layout, new_size) } else { SLABS.realloc(block, layout, new_size) }
        }
    }
}

/// A test of this file as a program under memcheck; `None` if there is no valgrind.
fn under_memcheck(program: &str, slabs: bool) -> Option<(Output, String)> {
    let mut command = Command::new("valgrind");
    command.args(["--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]);
    command.arg(std::env::current_exe().expect("the path of this test"));
    command.args([program, "--exact", "--nocapture", "--test-threads=1"]).env(PROGRAM, program);
    if slabs {
        command.env(HEAP, "slabs");
    }
    match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{}\n{said}", String::from_utf8_lossy(&output.stdout));
            Some((output, said))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("valgrind is missing (apt-get install valgrind): not tested");
            None
        }
        Err(error) => panic!("valgrind: {error}"),
    }
}

/// Whether this process is to be a program.
fn is_program(name: &str) -> bool {
    std::env::var(PROGRAM).as_deref() == Ok(name)
}

const LEAKED: usize = 1234;
const FREED: usize = 2345;
const OVERRUN: usize = 3456;

#[test]
fn a_wrong_program() {
    if !is_program("a_wrong_program") {
        return;
    }
    let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
    // SAFETY: no size is zero, and each block that is freed is one. What is not right is what the program is for: it reads a
    // block after its free, writes past the end of one, and loses one. The class of the slabs that the second is of has
    // room for a byte more; what is read lies in memory that stays mapped.
    unsafe {
        let lost = alloc(layout(LEAKED));
        lost.write_bytes(1, LEAKED);
        let freed = alloc(layout(FREED));
        freed.write_bytes(2, FREED);
        dealloc(black_box(freed), layout(FREED));
        black_box(black_box(freed).add(100).read_volatile());
        let overrun = alloc(layout(OVERRUN));
        black_box(overrun).add(OVERRUN).write_volatile(3);
        dealloc(overrun, layout(OVERRUN));
    }
}

#[test]
fn a_right_program() {
    if !is_program("a_right_program") {
        return;
    }
    // Bytes that memcheck takes for uninitialised, as those of `malloc` are and the padding of structures is, in memory that
    // is then given out as zeros.
    for round in 0..3_usize {
        for len in [10, 1000, 30_000, 100_000, 400_000, 6_000_000] {
            let layout = Layout::from_size_align(len, 8).expect("a layout");
            let mut unknown = vec![MaybeUninit::<u8>::uninit(); len];
            // SAFETY: the system's block has `len` bytes, which are copied as what they are, and is freed once.
            unsafe {
                let source = System.alloc(layout);
                unknown.as_mut_ptr().copy_from_nonoverlapping(source.cast(), len);
                System.dealloc(source, layout);
            }
            drop(black_box(unknown));
            if round == 1 && !is_plain() {
                SLABS.purge();
            }
            let zeros = black_box(vec![0_u8; len]);
            assert!(zeros.iter().all(|&byte| byte == 0));
        }
        let workers = (0..4).map(|n| {
            thread::spawn(move || (0..500).map(|i| (i, vec![n; i % 97 + 1])).collect::<HashMap<usize, Vec<usize>>>())
        });
        let maps: Vec<_> = workers.map(|worker| worker.join().expect("no panic")).collect();
        let tree: BTreeMap<_, _> = maps.iter().flatten().map(|(i, vec)| ((i, vec[0]), vec.len())).collect();
        assert_eq!(tree.len(), 2000);
        assert_eq!(tree.values().sum::<usize>(), 4 * (0..500).map(|i| i % 97 + 1).sum::<usize>());
        let mut grown = Vec::new();
        (0..300_000_u32).for_each(|n| grown.push(n));
        assert_eq!(grown.iter().map(|&n| u64::from(n)).sum::<u64>(), 300_000 * 299_999 / 2);
    }
}

#[test]
fn memcheck_sees_what_is_wrong_on_the_plain_heap() {
    let Some((_, said)) = under_memcheck("a_wrong_program", false) else { return };
    for error in [
        "Invalid read of size 1",
        "is 100 bytes inside a block of size 2,345 free'd",
        "Invalid write of size 1",
        "is 0 bytes after a block of size 3,456 alloc'd",
        "1,234 bytes in 1 blocks are definitely lost",
    ] {
        assert!(said.contains(error), "no {error:?} in:\n{said}");
    }
}

#[test]
fn memcheck_calls_nothing_wrong_that_is_right() {
    for slabs in [false, true] {
        let Some((_, said)) = under_memcheck("a_right_program", slabs) else { return };
        assert!(said.contains("ERROR SUMMARY: 0 errors"), "slabs: {slabs}\n{said}");
    }
}
