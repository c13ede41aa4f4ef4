//! The hardened heap, called directly: what it needs, what it gives back, and what it leaves to chance.

#[path = "global/child.rs"]
mod child;
mod fork;

use child::{in_child, in_child_within};
use fork::{fault_of, in_fork};
use mapalloc::PageAlloc;
use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashSet;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};

static HEAP: PageAlloc = PageAlloc::new().hardened();

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

fn alloc(size: usize) -> *mut u8 {
    // SAFETY: the size is not zero.
    unsafe { HEAP.alloc(layout(size)) }
}

fn free(block: *mut u8, size: usize) {
    // SAFETY: every caller frees a live block of that size, once.
    unsafe { HEAP.dealloc(block, layout(size)) }
}

#[test]
fn blocks_are_zero_whoever_had_them() {
    for size in [1, 24, 100, 1000, 8000, 30_000, 100_000, 5 << 20] {
        for _ in 0..300_000 / size + 3 {
            let block = alloc(size);
            // SAFETY: a live block of that size, which the hardened heap zeroes.
            unsafe {
                assert!((0..size).all(|at| *block.add(at) == 0), "{size}");
                block.write_bytes(0xAA, size);
            }
            free(block, size);
        }
    }
}

#[test]
fn reallocation_keeps_contents_between_all_sizes() {
    let sizes = [1, 7, 8, 16, 17, 100, 1000, 1016, 4096, 32_760, 32_761, 40_000, 40_960, 40_961, 1 << 20, 3 << 20];
    for from in sizes {
        for to in sizes {
            let block = alloc(from);
            // SAFETY: live blocks of the sizes that are named.
            let moved = unsafe {
                (0..from).for_each(|at| block.add(at).write(at as u8));
                let moved = HEAP.realloc(block, layout(from), to);
                assert!((0..from.min(to)).all(|at| *moved.add(at) == at as u8), "{from} to {to}");
                moved.write_bytes(1, to);
                moved
            };
            // An end that was left wrong would end the program here.
            free(moved, to);
        }
    }
}

#[test]
fn addresses_cannot_be_told() {
    // In a process of its own: other tests leave free slots in few places.
    in_child(concat!(module_path!(), "::addresses_cannot_be_told"), || {
        let blocks: Vec<usize> = (0..400).map(|_| alloc(48).addr()).collect();
        // How far each is from the one before: 819 slots of a slab and more to choose from.
        let distances: HashSet<isize> = blocks.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as isize).collect();
        assert!(distances.len() > 200, "{} distances", distances.len());
        // What was freed does not come back at once.
        let mut again = 0;
        for _ in 0..1000 {
            let block = alloc(48);
            free(block, 48);
            let next = alloc(48);
            again += usize::from(next == block);
            free(next, 48);
        }
        assert_eq!(again, 0);
    });
}

#[test]
fn children_of_fork_choose_each_on_their_own() {
    in_child(concat!(module_path!(), "::children_of_fork_choose_each_on_their_own"), || {
        free(alloc(48), 48);
        let choices = || {
            let mut ends = [0; 2];
            // SAFETY: a live pair, of which the parent closes one end and owns the other.
            unsafe { assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0) };
            let code = in_fork(|| {
                let blocks: [usize; 32] = std::array::from_fn(|_| alloc(48).addr());
                // SAFETY: a live array.
                let written = unsafe { libc::write(ends[1], blocks.as_ptr().cast(), size_of_val(&blocks)) };
                i32::from(written != size_of_val(&blocks) as isize)
            });
            assert_eq!(code, 0);
            // SAFETY: as above.
            let read = unsafe {
                libc::close(ends[1]);
                OwnedFd::from_raw_fd(ends[0])
            };
            let mut bytes = Vec::new();
            std::fs::File::from(read).read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len(), 32 * 8);
            bytes
        };
        assert_ne!(choices(), choices());
    });
}

#[test]
fn a_large_block_has_guards_and_leaves_a_hole() {
    let size = 100 << 10;
    let block = alloc(size);
    let page = mapalloc::page_size();
    for at in [block.wrapping_sub(1), block.wrapping_add(size), block.wrapping_add(size + page - 1)] {
        // SAFETY: none: a fault is expected, in a child.
        assert_eq!(fault_of(|| unsafe { at.write_volatile(1) }), Some(at.addr()));
    }
    free(block, size);
    for at in [block, block.wrapping_add(size / 2)] {
        // SAFETY: as above.
        assert_eq!(fault_of(|| _ = unsafe { at.read_volatile() }), Some(at.addr()));
    }
}

#[test]
fn a_slab_lies_between_gaps() {
    const SLAB: usize = 64 << 10;
    // Slots of 56 bytes, which fill a few slabs.
    let blocks: Vec<_> = (0..4000).map(|_| alloc(48)).collect();
    let slabs: HashSet<usize> = blocks.iter().map(|block| block.addr() & !(SLAB - 1)).collect();
    assert!(slabs.len() > 2, "{} slabs", slabs.len());
    for &start in &slabs {
        for at in [start - 1, start - SLAB, start + SLAB, start + 2 * SLAB - 1] {
            let at = blocks[0].with_addr(at);
            // SAFETY: none: a fault is expected, in a child.
            assert_eq!(fault_of(|| unsafe { at.write_volatile(1) }), Some(at.addr()), "{start:#x}");
        }
    }
    blocks.into_iter().for_each(|block| free(block, 48));
}

#[test]
fn a_slab_that_is_empty_is_closed_by_purge() {
    in_child(concat!(module_path!(), "::a_slab_that_is_empty_is_closed_by_purge"), || {
        let blocks: Vec<_> = (0..2000).map(|_| alloc(500)).collect();
        let middle = blocks[1000];
        blocks.into_iter().for_each(|block| free(block, 500));
        // What waits in quarantine keeps some slabs; most are empty.
        assert!(HEAP.purge() > 500 << 10);
        let mut again: Vec<_> = (0..4000).map(|_| alloc(500)).collect();
        assert!(again.contains(&middle), "its slab was opened again");
        again.drain(..).for_each(|block| free(block, 500));
    });
}

/// What is possible in so much address space.
fn exhaust_and_recover() {
    for size in [40, 3000, 20_000, 70_000] {
        let mut held = Vec::new();
        loop {
            let block = alloc(size);
            if block.is_null() || held.len() == 100_000 {
                held.extend((!block.is_null()).then_some(block));
                break;
            }
            // SAFETY: a live block.
            unsafe { block.write_bytes(7, size) };
            held.push(block);
        }
        assert!(held.len() > 20, "{} blocks of {size} bytes", held.len());
        held.into_iter().for_each(|block| free(block, size));
        HEAP.purge();
        let block = alloc(size);
        assert!(!block.is_null(), "{size}");
        free(block, size);
    }
    assert!(alloc(1 << 46).is_null() && alloc(isize::MAX as usize - 4096).is_null());
}

#[test]
fn little_address_space_is_used_up_and_given_back() {
    let test = concat!(module_path!(), "::little_address_space_is_used_up_and_given_back");
    in_child_within(test, Some(24 << 20), exhaust_and_recover);
}

#[test]
fn more_address_space_is_used_up_and_given_back() {
    let test = concat!(module_path!(), "::more_address_space_is_used_up_and_given_back");
    in_child_within(test, Some(600 << 20), exhaust_and_recover);
}

#[test]
fn it_lives_beside_the_engine() {
    static ENGINE: PageAlloc = PageAlloc::new().with_small_limit(0);
    for size in [10, 1000, 50_000, 6 << 20] {
        // SAFETY: each heap gets back what it gave.
        unsafe {
            let (hardened, plain) = (HEAP.alloc(layout(size)), ENGINE.alloc(layout(size)));
            hardened.write_bytes(1, size);
            plain.write_bytes(2, size);
            assert!(*hardened == 1 && *hardened.add(size - 1) == 1);
            ENGINE.dealloc(plain, layout(size));
            HEAP.dealloc(hardened, layout(size));
        }
    }
}
