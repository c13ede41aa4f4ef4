//! Secrets: nobody sees them but through a borrow, and nothing of them is left.

#[path = "global/child.rs"]
mod child;
mod fork;
mod process;

use child::in_child;
use fork::{alone_in_fork, fault_of, in_fork};
use mapalloc::{Secrecy, Secret, SecretVec};
use process::limit_locking;
use procfs::process::{Process, VmFlags};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;

const LOCKED: &[Secrecy] = &[Secrecy::Locked];
const EITHER: [&[Secrecy]; 2] = [&[Secrecy::Hidden], LOCKED];

/// The flags of the pages at an address.
fn flags_at(address: usize) -> VmFlags {
    let maps = Process::myself().and_then(|me| me.smaps()).expect("/proc/self/smaps");
    let found = maps.into_iter().find(|map| (map.address.0..map.address.1).contains(&(address as u64)));
    found.expect("the address is mapped").extension.vm_flags
}

/// A secret kept as asked, or `None` where the kernel cannot do that.
fn kept(ladder: &[Secrecy], byte: u8) -> Option<Secret<[u8; 32]>> {
    match Secret::with_ladder(ladder, |key: &mut [u8; 32]| key.fill(byte)) {
        Ok(secret) => Some(secret),
        Err(error) if ladder == [Secrecy::Hidden] => {
            println!("memory cannot be hidden here: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn address(secret: &Secret<[u8; 32]>) -> *const u8 {
    secret.read().as_ptr()
}

#[test]
fn a_secret_is_what_was_written() {
    let mut secret = Secret::new([1_u32, 2, 3]).unwrap();
    secret.write()[1] = 7;
    assert_eq!(*secret.read(), [1, 7, 3]);
    let slice = Secret::<[u16]>::slice_from_fn(40_000, |slice| slice[39_999] = 5).unwrap();
    assert_eq!((slice.read().len(), slice.read()[39_998], slice.read()[39_999]), (40_000, 0, 5));
    assert_eq!(Secret::new(()).unwrap().secrecy(), None);
    assert_eq!(Secret::<[u64]>::slice_from_fn(0, |_| {}).unwrap().read().len(), 0);
    assert!(Secret::<[u64]>::slice_from_fn(usize::MAX / 4, |_| {}).is_err());
    assert!(Secret::<u8>::with_ladder(&[], |_| {}).is_err());
}

#[test]
fn values_moved_in_are_wiped_where_they_were() {
    let mut value = [9_u8; 100];
    let secret = Secret::from_mut(&mut value).unwrap();
    assert_eq!((value, *secret.read()), ([0; 100], [9; 100]));
    let mut values = vec![3_u64; 1000];
    let secret = Secret::from_mut_slice(&mut values).unwrap();
    assert!(values.iter().all(|&value| value == 0));
    assert!(secret.read().iter().all(|&value| value == 3));
}

#[test]
fn nothing_is_printed() {
    let mut secret = Secret::new(0x5eed_u32).unwrap();
    assert_eq!(format!("{secret:?} {:?}", secret.read()), "Secret(..) SecretRef(..)");
    assert_eq!(format!("{:?}", secret.write()), "SecretMut(..)");
    let mut vec = SecretVec::new();
    vec.push(b's').unwrap();
    assert_eq!(format!("{vec:?}"), "SecretVec(..)");
}

#[test]
fn closed_pages_fault_at_the_address_and_open_ones_do_not() {
    in_child(concat!(module_path!(), "::closed_pages_fault_at_the_address_and_open_ones_do_not"), || {
        // A child of `fork` has pages of its own, with the same access.
        for ladder in EITHER {
            let Some(mut secret) = kept(ladder, 1) else { continue };
            let start = address(&secret);
            // SAFETY: the reads fault, or read pages that are open.
            let read = |at: *const u8| _ = std::hint::black_box(unsafe { at.read_volatile() });
            assert_eq!(fault_of(|| read(start)), Some(start.addr()));
            let borrow = secret.read();
            assert_eq!(fault_of(|| read(start)), None);
            // SAFETY: the write faults.
            assert_eq!(fault_of(|| unsafe { start.cast_mut().write_volatile(1) }), Some(start.addr()), "read-only");
            drop(borrow);
            let borrow = secret.write();
            assert_eq!(fault_of(|| read(start)), None);
            drop(borrow);
            assert_eq!(fault_of(|| read(start)), Some(start.addr()));
        }
    });
}

#[test]
fn guards_lie_on_both_sides() {
    in_child(concat!(module_path!(), "::guards_lie_on_both_sides"), || {
        for ladder in EITHER {
            let len = 3 * mapalloc::page_size();
            let Ok(secret) = Secret::<[u8]>::slice_with_ladder(len, ladder, |_| {}) else { continue };
            let borrow = secret.read();
            let start = borrow.as_ptr();
            // SAFETY: the reads fault, or read open pages.
            let read = |at: *const u8| fault_of(|| _ = std::hint::black_box(unsafe { at.read_volatile() }));
            let (before, behind) = (start.wrapping_sub(1), start.wrapping_add(len));
            assert_eq!((read(start), read(start.wrapping_add(len - 1))), (None, None));
            assert_eq!((read(before), read(behind)), (Some(before.addr()), Some(behind.addr())));
        }
    });
}

#[test]
fn pages_are_locked_and_left_out_of_dumps() {
    for ladder in EITHER {
        let Some(secret) = kept(ladder, 1) else { continue };
        assert_eq!(secret.secrecy(), Some(ladder[0]));
        let flags = flags_at(address(&secret).addr());
        assert!(flags.contains(VmFlags::LO | VmFlags::DD), "{flags:?}");
        let fork = if ladder == LOCKED { VmFlags::WF } else { VmFlags::DC };
        assert!(flags.contains(fork), "{flags:?}");
    }
}

#[test]
fn hidden_memory_cannot_be_read_through_the_kernel() {
    let Some(secret) = kept(&[Secrecy::Hidden], 0x5a) else { return };
    let locked = kept(LOCKED, 0x5a).unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let read = |secret: &Secret<[u8; 32]>| {
        let borrow = secret.read();
        let mut seen = [0; 32];
        memory.read_at(&mut seen, borrow.as_ptr().addr() as u64).map(|_| seen)
    };
    assert_eq!(read(&locked).unwrap(), [0x5a; 32], "the test sees what the kernel can read");
    read(&secret).expect_err("not even the kernel can read this");
}

#[test]
fn a_dropped_secret_is_wiped() {
    for ladder in EITHER {
        let Some(secret) = kept(ladder, 0xaa) else { continue };
        // Its neighbour keeps the pages open, and there.
        let neighbour = kept(ladder, 0xbb).unwrap();
        let borrow = neighbour.read();
        let start = address(&secret);
        // SAFETY: the pages are open as long as the neighbour is borrowed, and nobody writes meanwhile.
        let seen = || unsafe { start.cast::<[u8; 32]>().read_volatile() };
        assert_eq!(seen(), [0xaa; 32]);
        drop(secret);
        assert_eq!(seen(), [0; 32]);
        assert_eq!(*borrow, [0xbb; 32]);
    }
}

#[test]
fn a_child_of_fork_finds_zeros_and_can_go_on() {
    in_child(concat!(module_path!(), "::a_child_of_fork_finds_zeros_and_can_go_on"), || {
        for ladder in EITHER {
            let Some(secret) = kept(ladder, 0xcc) else { continue };
            let borrow = kept(ladder, 0xdd).unwrap();
            let open = borrow.read();
            let code = in_fork(|| {
                let zeros = *secret.read() == [0; 32] && *open == [0; 32];
                drop(secret);
                i32::from(!zeros)
            });
            assert_eq!(code, 0, "{ladder:?}");
            assert_eq!(*open, [0xdd; 32], "the parent has its secret still");
        }
    });
}

#[test]
fn what_a_child_keeps_secret_is_kept_as_well() {
    in_child(concat!(module_path!(), "::what_a_child_keeps_secret_is_kept_as_well"), || {
        for ladder in EITHER {
            // Each leaves room for more in its pages.
            let Some(mut inherited) = kept(ladder, 1) else { continue };
            alone_in_fork(|| {
                let own = kept(ladder, 2).unwrap();
                assert_eq!(own.secrecy(), Some(ladder[0]));
                assert!(flags_at(address(&own).addr()).contains(VmFlags::LO | VmFlags::DD), "{ladder:?}");
                // What is written to the pages that came with the fork is left out of dumps, and of the next child.
                inherited.write().fill(3);
                assert_eq!(inherited.secrecy(), Some(Secrecy::Swappable), "{ladder:?}");
                assert!(flags_at(address(&inherited).addr()).contains(VmFlags::WF | VmFlags::DD), "{ladder:?}");
                alone_in_fork(|| assert_eq!((*inherited.read(), *own.read()), ([0; 32], [0; 32]), "{ladder:?}"));
                assert_eq!((*inherited.read(), *own.read()), ([3; 32], [2; 32]), "{ladder:?}");
            });
            assert_eq!((*inherited.read(), inherited.secrecy()), ([1; 32], Some(ladder[0])));
        }
    });
}

#[test]
fn a_few_locked_pages_hold_thousands_of_keys() {
    in_child(concat!(module_path!(), "::a_few_locked_pages_hold_thousands_of_keys"), || {
        limit_locking(8 << 20);
        for ladder in EITHER {
            if kept(ladder, 0).is_none() {
                continue;
            }
            let keys: Vec<_> = (0..50_000_u32)
                .map(|n| Secret::with_ladder(ladder, |key: &mut [u8; 32]| key[..4].copy_from_slice(&n.to_ne_bytes())))
                .collect::<Result<_, _>>()
                .expect("50,000 keys fit into 8 MiB");
            for (n, key) in keys.iter().enumerate().step_by(997) {
                assert_eq!(key.read()[..4], (n as u32).to_ne_bytes());
            }
            let locked = Process::myself().and_then(|me| me.status()).unwrap().vmlck.unwrap();
            println!("{ladder:?}: 50,000 keys in {locked} KiB of locked memory");
            drop(keys);
            let locked = Process::myself().and_then(|me| me.status()).unwrap().vmlck.unwrap();
            assert!(locked <= 64, "{locked} KiB stay locked");
        }
    });
}

#[test]
fn a_secret_grows_as_far_as_the_limit_lets_it() {
    in_child(concat!(module_path!(), "::a_secret_grows_as_far_as_the_limit_lets_it"), || {
        limit_locking(1 << 20);
        let mut vec = SecretVec::with_ladder(LOCKED);
        vec.extend_from_slice(&[1_u8; 400 << 10]).unwrap();
        // Twice as much would be over the limit, as long as the old place is there as well.
        vec.push(2).unwrap();
        assert_eq!((vec.len(), vec.read()[0], vec.read()[400 << 10]), ((400 << 10) + 1, 1, 2));
        let capacity = vec.capacity();
        vec.extend_from_slice(&vec![3; 1 << 20]).unwrap_err();
        vec.reserve(usize::MAX - vec.len()).unwrap_err();
        assert_eq!((vec.len(), vec.capacity(), vec.read()[400 << 10]), ((400 << 10) + 1, capacity, 2));
    });
}

#[test]
fn without_locked_memory_the_caller_decides() {
    in_child(concat!(module_path!(), "::without_locked_memory_the_caller_decides"), || {
        limit_locking(0);
        let error = Secret::new(1_u64).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
        let ladder = [Secrecy::Hidden, Secrecy::Locked, Secrecy::Swappable];
        let secret = Secret::<u64>::with_ladder(&ladder, |value| *value = 5).unwrap();
        assert_eq!((secret.secrecy(), *secret.read()), (Some(Secrecy::Swappable), 5));
    });
}

#[test]
fn threads_borrow_neighbours_at_once() {
    let secrets: Vec<_> = (0..4_u8).map(|n| Secret::new([n; 32]).unwrap()).collect();
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for (n, mut secret) in secrets.into_iter().enumerate() {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                for round in 0..2000_u32 {
                    assert_eq!(secret.read()[0], n as u8);
                    secret.write()[1..5].copy_from_slice(&round.to_ne_bytes());
                    let (a, b) = (secret.read(), secret.read());
                    assert_eq!((a[1..5].to_vec(), b[0]), (round.to_ne_bytes().to_vec(), n as u8));
                }
            });
        }
    });
}

#[test]
fn a_growing_secret_leaves_nothing_behind() {
    let mut vec = SecretVec::with_ladder(LOCKED);
    // In the pages of the first place, which stay while this is borrowed.
    let neighbour = Secret::<[u8; 16]>::with_ladder(LOCKED, |_| {}).unwrap();
    vec.extend_from_slice(&[0xee_u8; 16]).unwrap();
    let first = vec.read().as_ptr();
    let open = neighbour.read();
    vec.extend_from_slice(&[0xff; 5000]).unwrap();
    assert_ne!(vec.read().as_ptr(), first);
    // SAFETY: the pages are open while the neighbour is borrowed.
    assert_eq!(unsafe { first.cast::<[u8; 16]>().read_volatile() }, [0; 16]);
    drop(open);
    assert_eq!((vec.len(), vec.read()[15], vec.read()[5015]), (5016, 0xee, 0xff));

    // What is cut off is wiped at once: it reads zero when the room is used again.
    vec.truncate(10).unwrap();
    assert_eq!(vec.pop().unwrap(), Some(0xee));
    let behind = vec.read().as_ptr().wrapping_add(9);
    let borrow = vec.read();
    // SAFETY: within the room of the vector, which is borrowed.
    assert_eq!(unsafe { [behind.read_volatile(), behind.add(1).read_volatile()] }, [0, 0]);
    drop(borrow);
    vec.clear().unwrap();
    assert_eq!((vec.pop().unwrap(), vec.is_empty()), (None, true));
    assert!(vec.capacity() >= 5016);
    assert!(vec.reserve(usize::MAX).is_err());
    assert_eq!(SecretVec::<u8>::with_capacity(100).unwrap().capacity(), 128);
}
