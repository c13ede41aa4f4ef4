//! Addresses: a limit on them (`RLIMIT_AS`), and none left.

use super::child::{in_child, in_child_within};
use super::model::{Block, KIB, MIB};
use super::process::{address_space, limit};
use super::{ROUTES, absurd_requests_are_refused, everything_works, layout, take_all};
use std::ptr::null_mut;
use std::thread;

/// Uses up what a limit leaves, on all routes, and frees it: nothing but null, and all of it usable again.
fn use_up(most: usize) -> usize {
    let mut blocks = Vec::with_capacity(50_000);
    for size in ROUTES {
        blocks.extend(Block::try_new(layout(size), false, size as u64));
    }
    let taken = take_all(&mut blocks, most);
    absurd_requests_are_refused();
    for block in &mut blocks {
        // In place, by a move, or not at all.
        _ = block.try_resize(block.range().len() + 64 * KIB);
    }
    // A thread is refused or runs.
    if let Ok(thread) = thread::Builder::new().spawn(|| Block::try_new(layout(5000), true, 1).map(Block::free)) {
        _ = thread.join().expect("the thread ends well");
    }
    blocks.drain(..).for_each(Block::free);
    taken
}

#[test]
fn a_limited_address_space_from_the_start() {
    // A process of this size starts at 24 MiB or so.
    for mib in [32, 64, 256] {
        in_child_within(
            concat!(module_path!(), "::a_limited_address_space_from_the_start"),
            Some((mib * MIB) as u64),
            || {
                let before = address_space();
                let taken = use_up(usize::MAX);
                assert!(taken > 0, "nothing to be had, at {before} bytes");
                Block::new(layout(100 * KIB), true, 1).free();
            },
        );
    }
}

macro_rules! with_room {
    ($($name:ident: $mib:literal;)*) => {$(
        #[test]
        fn $name() {
            in_child(concat!(module_path!(), "::", stringify!($name)), || {
                everything_works();
                super::GLOBAL.purge();
                limit(libc::RLIMIT_AS, address_space() + $mib * MIB);
                let taken = use_up(2 * $mib * MIB);
                // What the engine had reserved before is there still.
                assert!(taken >= $mib * MIB / 2, "{taken} bytes of {} MiB", $mib);
                let again = use_up(2 * $mib * MIB);
                assert!(again >= taken / 2, "{again} bytes the second time, {taken} the first");
            });
        }
    )*};
}

with_room! {
    eight_mebibytes_of_addresses_left: 8;
    twelve_mebibytes_of_addresses_left: 12;
    sixteen_mebibytes_of_addresses_left: 16;
    thirty_two_mebibytes_of_addresses_left: 32;
    sixty_four_mebibytes_of_addresses_left: 64;
    two_hundred_and_fifty_six_mebibytes_of_addresses_left: 256;
}

/// All addresses that are free, in pieces from a large part of everything down to a page.
fn take_all_addresses() -> Vec<(*mut libc::c_void, usize)> {
    let mut taken = Vec::with_capacity(10_000);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let mut len = 1_usize << 46;
    while len >= mapalloc::page_size() && taken.len() < taken.capacity() {
        // SAFETY: new addresses without access.
        let base = unsafe { libc::mmap(null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            len /= 2;
        } else {
            taken.push((base, len));
        }
    }
    taken
}

#[test]
fn no_address_left() {
    in_child(concat!(module_path!(), "::no_address_left"), || {
        everything_works();
        let mut blocks = Vec::with_capacity(10_000);
        let all = take_all_addresses();
        // What is reserved serves; what needs a mapping is null.
        for n in 0..2_000 {
            blocks.extend(Block::try_new(layout(ROUTES[n % ROUTES.len()] + n), n % 2 == 0, n as u64));
        }
        let served = blocks.len();
        let no_mapping = Block::try_new(layout(700 * MIB), false, 1).is_none();
        absurd_requests_are_refused();
        let no_pages = mapalloc::PageVec::<u8>::try_with_capacity(100 * MIB).is_err();
        let no_thread = thread::Builder::new().stack_size(64 * MIB).spawn(|| ()).is_err();
        blocks.iter_mut().for_each(|block| _ = block.try_resize(6 * MIB));
        blocks.drain(..).for_each(Block::free);
        for (base, len) in all {
            // SAFETY: the test's own, and nothing lies there.
            assert_eq!(unsafe { libc::munmap(base, len) }, 0);
        }
        assert!(no_mapping && no_pages && no_thread, "there were addresses left");
        assert!(served > 1_000, "{served} blocks of what was reserved");
        everything_works();
        Block::new(layout(700 * MIB), false, 1).free();
    });
}
