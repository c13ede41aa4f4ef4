//! Programs with one memory error each, after the manner of hardened_malloc's tests, for whatever global allocator they run
//! on. What an allocator makes of one is seen in a process of its own: it may end it with a report, or at a fault, or let it go
//! on; then the program says whether the error did harm.

#![allow(dead_code, reason = "not every user runs every program")]

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::hint::black_box;

/// What became of an error that did not end the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It had no effect that a program could notice or use.
    Harmless,
    /// Two owners of one block, another's data read or changed, or an answer that came from the attacker.
    Harm,
}

use Left::{Harm, Harmless};

/// A program, its name, and what it does wrong.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) run: fn() -> Left,
}

macro_rules! programs {
    ($($name:ident, $what:literal;)*) => {
        /// All of them, in the order of the table.
        pub(crate) const PROGRAMS: &[Program] =
            &[$(Program { name: stringify!($name), what: $what, run: $name }),*];
    };
}

programs! {
    double_free_at_once, "free a 64 B block twice";
    double_free_after_another, "free A, B, then A again";
    double_free_after_many, "free A, 40 others of its size, then A again";
    double_free_8k, "free an 8 KiB block twice";
    double_free_large, "free a 1 MiB block twice";
    realloc_of_freed, "reallocate a freed block";
    free_inside_small, "free a pointer 16 bytes into a 64 B block";
    free_inside_page, "free a pointer 4 KiB into a 1 MiB block";
    free_misaligned, "free a pointer 1 byte into a block";
    free_of_stack, "free a pointer to the stack";
    free_of_static, "free a pointer to a static";
    free_of_mapping, "free a pointer to a mapping of the program's own";
    wrong_class, "free a 64 B block as one of 1,000 B";
    wrong_size, "free a 100 B block as one of 97 B";
    wrong_route, "free a 64 B block as one of 1 MiB";
    wrong_size_large, "free a 1 MiB block as one of 900 KiB";
    overflow_of_one, "write 1 byte behind a block of 64 B";
    overflow_of_one_odd, "write 1 byte behind a block of 61 B";
    overflow_of_a_zero, "write a zero byte behind a block of 64 B";
    overflow_of_eight, "write 8 bytes behind a block of 64 B";
    overflow_into_neighbours, "write 256 bytes behind a block of 64 B";
    overflow_of_all, "write 4 MiB on from a block of 64 B";
    underflow_small, "write 8 bytes before a block of 64 B";
    overflow_large, "write the byte behind the pages of a 1 MiB block";
    overflow_large_slack, "write behind a block of 1 MiB - 100 B, in its last page";
    underflow_large, "write the byte before a 1 MiB block";
    write_after_free, "write to a freed 64 B block, then allocate 10,000 others";
    write_after_free_8k, "write to a freed 8 KiB block, then allocate 2,000 others";
    write_after_free_large, "write to a freed 1 MiB block";
    read_after_free, "read a freed 64 B block: its contents";
    read_after_free_large, "read a freed 1 MiB block: its contents";
    reuse_after_free, "free a 64 B block and allocate: the same address at once";
    left_over_contents, "allocate 64 B blocks: what a freed one held";
    next_address, "allocate 64 B blocks: each lies right behind the last";
    forged_link, "write an address to a freed 64 B block, then allocate there";
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

/// A block whose bytes are all `fill`. The compiler does not know where it comes from.
fn block(size: usize, fill: u8) -> *mut u8 {
    // SAFETY: the size is not zero; the block is that long.
    unsafe {
        let block = black_box(alloc(layout(size)));
        assert!(!block.is_null());
        block.write_bytes(fill, size);
        block
    }
}

/// Frees what may be no block of that size.
fn free(block: *mut u8, size: usize) {
    // SAFETY: none: this is what is tested.
    unsafe { dealloc(black_box(block), layout(size)) };
}

fn write(at: *mut u8, byte: u8, count: usize) {
    let at = black_box(at);
    // SAFETY: none: this is what is tested.
    (0..count).for_each(|n| unsafe { at.wrapping_add(n).write_volatile(byte) });
}

/// Whether two of many new blocks of a size overlap, or another's contents change: then an error has done harm.
fn shared_among(size: usize, count: usize) -> Left {
    let blocks: Vec<*mut u8> = (0..count).map(|n| block(size, n as u8)).collect();
    let mut starts: Vec<usize> = blocks.iter().map(|block| block.addr()).collect();
    starts.sort_unstable();
    let overlap = starts.windows(2).any(|pair| pair[1] - pair[0] < size);
    // SAFETY: live blocks of that size.
    let intact =
        |(n, &block): (usize, &*mut u8)| (0..size).all(|at| unsafe { block.add(at).read_volatile() } == n as u8);
    if overlap || !blocks.iter().enumerate().all(intact) { Harm } else { Harmless }
}

fn double_free_at_once() -> Left {
    let a = block(64, 1);
    free(a, 64);
    free(a, 64);
    shared_among(64, 300)
}

fn double_free_after_another() -> Left {
    let (a, b) = (block(64, 1), block(64, 2));
    free(a, 64);
    free(b, 64);
    free(a, 64);
    shared_among(64, 300)
}

fn double_free_after_many() -> Left {
    let others: Vec<_> = (0..40).map(|_| block(64, 2)).collect();
    let a = block(64, 1);
    free(a, 64);
    others.into_iter().for_each(|other| free(other, 64));
    free(a, 64);
    shared_among(64, 300)
}

fn double_free_8k() -> Left {
    let a = block(8 << 10, 1);
    free(a, 8 << 10);
    free(a, 8 << 10);
    shared_among(8 << 10, 100)
}

fn double_free_large() -> Left {
    let a = block(1 << 20, 1);
    free(a, 1 << 20);
    free(a, 1 << 20);
    shared_among(1 << 20, 8)
}

fn realloc_of_freed() -> Left {
    let a = block(64, 1);
    free(a, 64);
    // SAFETY: none: this is what is tested.
    black_box(unsafe { realloc(black_box(a), layout(64), 200) });
    shared_among(64, 300)
}

fn free_inside_small() -> Left {
    let a = block(64, 1);
    free(a.wrapping_add(16), 64);
    shared_among(64, 300)
}

fn free_inside_page() -> Left {
    let a = block(1 << 20, 1);
    free(a.wrapping_add(4096), 1 << 20);
    shared_among(1 << 20, 8)
}

fn free_misaligned() -> Left {
    let a = block(64, 1);
    free(a.wrapping_add(1), 64);
    shared_among(64, 300)
}

#[repr(align(64))]
struct Bytes([u8; 4096]);

/// Frees what is no block; harm if it is given out.
fn free_foreign(start: *mut u8, len: usize) -> Left {
    free(start, 64);
    let given: Vec<_> = (0..300).map(|_| block(64, 0)).collect();
    let inside = given.iter().any(|block| (start.addr()..start.addr() + len).contains(&block.addr()));
    if inside { Harm } else { Harmless }
}

fn free_of_stack() -> Left {
    let mut bytes = Bytes([0; 4096]);
    free_foreign(black_box(&mut bytes).0.as_mut_ptr().wrapping_add(1024), 64)
}

fn free_of_static() -> Left {
    static mut BYTES: Bytes = Bytes([0; 4096]);
    free_foreign((&raw mut BYTES).cast::<u8>().wrapping_add(1024), 64)
}

fn free_of_mapping() -> Left {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a mapping of its own.
    let pages = unsafe { libc::mmap(std::ptr::null_mut(), 1 << 20, access, flags, -1, 0) };
    assert_ne!(pages, libc::MAP_FAILED);
    free_foreign(pages.cast::<u8>().wrapping_add(64 << 10), 64)
}

fn wrong_class() -> Left {
    let neighbours: Vec<_> = (0..32).map(|_| block(64, 3)).collect();
    free(neighbours[16], 1000);
    let harm = shared_among(1000, 100);
    keep_if_intact(&neighbours, 16, 64, harm)
}

/// Harm also if one of the neighbours of the block that was freed has changed.
fn keep_if_intact(blocks: &[*mut u8], freed: usize, size: usize, left: Left) -> Left {
    // SAFETY: live blocks of that size.
    let intact = |&block: &*mut u8| (0..size).all(|at| unsafe { block.add(at).read_volatile() } == 3);
    let others = blocks.iter().enumerate().filter(|&(n, _)| n != freed);
    if others.map(|(_, block)| block).all(intact) { left } else { Harm }
}

fn wrong_size() -> Left {
    let a = block(100, 1);
    free(a, 97);
    shared_among(100, 300)
}

fn wrong_route() -> Left {
    let neighbours: Vec<_> = (0..32).map(|_| block(64, 3)).collect();
    free(neighbours[16], 1 << 20);
    let harm = shared_among(1 << 20, 4);
    keep_if_intact(&neighbours, 16, 64, harm)
}

fn wrong_size_large() -> Left {
    let a = block(1 << 20, 1);
    free(a, 900 << 10);
    shared_among(900 << 10, 8)
}

/// A block of `size` in the midst of others, with what `error` does to it; then all of them are freed.
fn among_others(size: usize, error: impl Fn(*mut u8)) -> Left {
    let blocks: Vec<_> = (0..64).map(|_| block(size, 3)).collect();
    error(blocks[32]);
    let left = keep_if_intact(&blocks, 64, size, Harmless);
    blocks.into_iter().for_each(|block| free(block, size));
    left
}

fn overflow_of_one() -> Left {
    among_others(64, |block| write(block.wrapping_add(64), 0x41, 1))
}

fn overflow_of_one_odd() -> Left {
    among_others(61, |block| write(block.wrapping_add(61), 0x41, 1))
}

fn overflow_of_a_zero() -> Left {
    among_others(64, |block| write(block.wrapping_add(64), 0, 1))
}

fn overflow_of_eight() -> Left {
    among_others(64, |block| write(block.wrapping_add(64), 0x41, 8))
}

fn overflow_into_neighbours() -> Left {
    among_others(64, |block| write(block.wrapping_add(64), 0x41, 256))
}

fn overflow_of_all() -> Left {
    among_others(64, |block| write(block.wrapping_add(64), 0x41, 4 << 20))
}

fn underflow_small() -> Left {
    among_others(64, |block| write(block.wrapping_sub(8), 0x41, 8))
}

fn overflow_large() -> Left {
    let a = block(1 << 20, 3);
    write(a.wrapping_add(1 << 20), 0x41, 1);
    free(a, 1 << 20);
    Harm
}

fn overflow_large_slack() -> Left {
    let size = (1 << 20) - 100;
    let a = block(size, 3);
    write(a.wrapping_add(size), 0x41, 4);
    free(a, size);
    Harmless
}

fn underflow_large() -> Left {
    let a = block(1 << 20, 3);
    write(a.wrapping_sub(1), 0x41, 1);
    free(a, 1 << 20);
    Harm
}

/// Writes to a freed block, and to nothing else; harm if that changes a block that was given out.
fn write_to_freed(size: usize, more: usize) -> Left {
    // Enough of them that no quarantine holds it any longer.
    let others: Vec<_> = (0..more).map(|_| block(size, 2)).collect();
    let a = block(size, 1);
    free(a, size);
    others.into_iter().for_each(|other| free(other, size));
    write(a.wrapping_add(size / 2), 0x41, 8);
    let mut given: Vec<_> = (0..2 * more).map(|n| block(size, n as u8)).collect();
    // The address lives on in the hands of the attacker.
    write(a.wrapping_add(size / 2), 0x42, 8);
    // SAFETY: live blocks of that size.
    let changed = given.iter().enumerate().any(|(n, &block)| unsafe { block.add(size / 2).read_volatile() } != n as u8);
    given.drain(..).for_each(|block| free(block, size));
    if changed { Harm } else { Harmless }
}

fn write_after_free() -> Left {
    write_to_freed(64, 5000)
}

fn write_after_free_8k() -> Left {
    write_to_freed(8 << 10, 1000)
}

fn write_after_free_large() -> Left {
    let a = block(1 << 20, 1);
    free(a, 1 << 20);
    write(a.wrapping_add(1 << 19), 0x41, 8);
    shared_among(1 << 20, 4)
}

/// Harm if a secret can be read in what was freed.
fn read_freed(size: usize) -> Left {
    let a = block(size, 0x53);
    free(a, size);
    // SAFETY: none: this is what is tested.
    let seen = (0..size).filter(|&at| unsafe { black_box(a).wrapping_add(at).read_volatile() } == 0x53).count();
    if seen * 2 >= size { Harm } else { Harmless }
}

fn read_after_free() -> Left {
    read_freed(64)
}

fn read_after_free_large() -> Left {
    read_freed(1 << 20)
}

fn reuse_after_free() -> Left {
    let a = block(64, 1);
    free(a, 64);
    if (0..8).any(|_| block(64, 2) == a) { Harm } else { Harmless }
}

fn left_over_contents() -> Left {
    let secrets: Vec<_> = (0..300).map(|_| block(64, 0x53)).collect();
    secrets.into_iter().for_each(|secret| free(secret, 64));
    let holds_a_secret = (0..300).any(|_| {
        // SAFETY: the size is not zero, and what is read is the block's, whatever it holds.
        let block = black_box(unsafe { alloc(layout(64)) });
        // SAFETY: as above.
        (16..64).any(|at| unsafe { block.add(at).read_volatile() } == 0x53)
    });
    if holds_a_secret { Harm } else { Harmless }
}

fn next_address() -> Left {
    let blocks: Vec<_> = (0..200).map(|_| block(64, 1).addr()).collect();
    let adjacent = blocks.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 96).count();
    if adjacent > 100 { Harm } else { Harmless }
}

/// Puts the address of a variable where a free block may have a link to the next one, and allocates: harm if the variable is
/// given out as a block.
fn forged_link() -> Left {
    let target = Box::into_raw(Box::new(Bytes([0; 4096]))).cast::<u8>();
    let held: Vec<_> = (0..10).map(|_| block(64, 0)).collect();
    held.iter().for_each(|&block| free(block, 64));
    for at in held.iter().flat_map(|&block| [block, block.wrapping_add(8)]) {
        // SAFETY: none: this is what is tested.
        unsafe { black_box(at).cast::<*mut u8>().write_volatile(target) };
    }
    let given: Vec<_> = (0..300).map(|_| block(64, 0).addr()).collect();
    if given.iter().any(|block| (target.addr()..target.addr() + 4096).contains(block)) { Harm } else { Harmless }
}
