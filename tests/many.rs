//! More pages with options than the kernel allows mappings, and threads that use them while children are made.
#![cfg(target_os = "linux")]

#[path = "global/child.rs"]
mod child;
mod fork;
mod process;

use child::in_child;
use fork::in_fork;
use mapalloc::map::{Features, Fork, Guard, Lock, MapOptions, Protect};
use mapalloc::{PageBox, PageVec, Secrecy, Secret, SecretVec, page_size};
use process::mappings;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

/// `vm.max_map_count`, if a test can reach it.
fn limit_of_mappings() -> Option<usize> {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    if limit > 100_000 {
        println!("vm.max_map_count is {limit}: more than a test can reach");
    }
    (limit <= 100_000).then_some(limit)
}

/// Pages whose guards are mappings of their own.
const PARTED: MapOptions = MapOptions::new().guard_pages(1, 1).on_fork(Fork::Wipe);

#[test]
fn the_limit_of_mappings_is_a_clean_error() {
    in_child(concat!(module_path!(), "::the_limit_of_mappings_is_a_clean_error"), || {
        let Some(limit) = limit_of_mappings() else { return };
        let before = mappings();
        // Memory of the test's own, from before the limit: at it, even a growing list may be refused.
        let mut boxes = Vec::with_capacity(limit);
        let error = loop {
            match PageBox::with_options(boxes.len() as u64, PARTED) {
                Ok(boxed) => boxes.push(boxed),
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
        assert!(boxes.len() * 3 > limit / 2 && boxes.len() < limit, "{} boxes of {limit} mappings", boxes.len());
        // Refused again and again, which leaves nothing: what was made is still there, and no more is mapped.
        for _ in 0..100 {
            PageBox::with_options(1_u64, PARTED).unwrap_err();
            PageVec::<u8>::with_options(100_000, PARTED).unwrap_err();
        }
        let full = mappings();
        assert!(full <= limit + 2, "{full} mappings, {limit} allowed");
        assert!(
            boxes
                .iter()
                .zip(0..)
                .all(|(boxed, n)| **boxed == n && PageBox::granted(boxed).guards() == Some(Guard::Protected))
        );
        // Every other one first, so that neighbours part; then all.
        let mut odd = false;
        boxes.retain(|_| {
            odd = !odd;
            odd
        });
        assert!(boxes.iter().zip((0..).step_by(2)).all(|(boxed, n)| **boxed == n));
        drop(boxes);
        // The table of what has options stays.
        assert!(mappings() <= before + 2, "{} mappings, {before} before", mappings());
        drop(PageBox::with_options(1_u64, PARTED).unwrap());
        thread::spawn(|| ()).join().unwrap();
    });
}

#[test]
fn vectors_at_the_limit_stay_as_they_are() {
    in_child(concat!(module_path!(), "::vectors_at_the_limit_stay_as_they_are"), || {
        let Some(limit) = limit_of_mappings() else { return };
        let page = page_size();
        let mut guarded: PageVec<u8> = PageVec::with_options(10 * page, PARTED).unwrap();
        guarded.resize(10 * page, 1);
        let mut reserved: PageVec<u8> = PageVec::with_reserved(100 * page);
        reserved.resize(10 * page, 2);
        let mut object = PageVec::from([3_u8; 1000]).into_read_only().unwrap();
        let ladder = [Secrecy::Locked, Secrecy::Swappable];
        let mut secret = Secret::<u64>::with_ladder(&ladder, |value| *value = 4).unwrap();
        let before = mappings();
        let mut boxes = Vec::with_capacity(limit);
        while let Ok(boxed) = PageBox::with_options(0_u8, PARTED) {
            boxes.push(boxed);
        }
        let start = guarded.as_ptr();
        // Whatever the kernel says to these, the contents are right.
        for len in [5 * page, 20 * page, page] {
            guarded.truncate(len);
            guarded.shrink_to_fit();
            _ = guarded.try_reserve_exact(len);
            reserved.truncate(len);
            reserved.shrink_to_fit();
            _ = reserved.decommit();
            _ = reserved.try_reserve(30 * page);
            assert!(guarded.iter().all(|&byte| byte == 1) && reserved.iter().all(|&byte| byte == 2), "{len}");
            assert!(guarded.len() <= guarded.capacity() && reserved.len() <= reserved.capacity());
        }
        assert_eq!(guarded.as_ptr(), start);
        object.write().unwrap()[0] = 5;
        *secret.write() += 1;
        assert_eq!((object[0], object[999], *secret.read()), (5, 3, 5));
        let boxed = guarded.into_boxed_slice();
        assert_eq!((boxed.len(), boxed[page - 1]), (page, 1));
        drop(boxes);
        let mut guarded = PageVec::from(boxed);
        guarded.resize(50 * page, 1);
        reserved.resize(100 * page, 2);
        assert!(guarded.iter().all(|&byte| byte == 1) && reserved.iter().all(|&byte| byte == 2));
        assert!(mappings() <= before + 3, "{} mappings, {before} before", mappings());
    });
}

/// Makes one of each, grows it and drops it; whether all contents were right. Small figures, so that no huge pages come in.
fn make_grow_and_drop(round: usize) -> bool {
    let options = [
        MapOptions::new().guard_pages(1, 1),
        MapOptions::new().dump(false).on_fork(Fork::Omit),
        MapOptions::new().on_fork(Fork::Wipe).guard_pages(0, 1),
        MapOptions::new().lock(Lock::OnFault).best_effort(Features::LOCK),
    ];
    let Ok(mut vec) = PageVec::<usize>::with_options(10, options[round % 4]) else { return false };
    for n in 0..3000 {
        if vec.try_push(n + round).is_err() {
            return false;
        }
    }
    let Ok(mut stable) = PageVec::<usize>::try_with_reserved(10_000, options[(round + 1) % 4]) else { return false };
    stable.extend(0..5000);
    let boxed = vec.into_boxed_slice();
    let Ok(secret) = Secret::<u64>::from_fn(|secret| *secret = round as u64) else { return false };
    let mut growing = SecretVec::new();
    for n in 0..40 {
        if growing.push(round as u32 + n).is_err() {
            return false;
        }
    }
    boxed.iter().enumerate().all(|(n, &element)| element == n + round)
        && stable.iter().enumerate().all(|(n, &element)| element == n)
        && *secret.read() == round as u64
        && growing.read().iter().zip(0..).all(|(&element, n)| element == round as u32 + n)
}

#[test]
fn threads_and_children_get_along() {
    in_child(concat!(module_path!(), "::threads_and_children_get_along"), || {
        let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
        let before = mappings();
        thread::scope(|scope| {
            for thread in 0..4 {
                let (stop, rounds) = (&stop, &rounds);
                scope.spawn(move || {
                    let mut round = thread * 100_000;
                    while !stop.load(Relaxed) {
                        assert!(make_grow_and_drop(round), "round {round}");
                        round += 1;
                        rounds.fetch_add(1, Relaxed);
                    }
                });
            }
            // Held by the thread that forks, and dropped by its children.
            let held = || {
                let omitted = PageBox::with_options([1_u64; 1000], MapOptions::new().on_fork(Fork::Omit)).unwrap();
                let wiped = PageBox::with_options([1_u64; 1000], PARTED).unwrap();
                (omitted, wiped, Secret::new(1_u64).unwrap())
            };
            let mut forks = 0;
            while forks < 100 || rounds.load(Relaxed) < 400 {
                let (omitted, wiped, secret) = held();
                let code = in_fork(|| {
                    let zeros = wiped[999] == 0 && *secret.read() == 0;
                    let made = (0..5).all(|round| make_grow_and_drop(forks + round));
                    // SAFETY: the child's own copies, which it uses no more, and ends without dropping again.
                    unsafe {
                        drop(std::ptr::read(&omitted));
                        drop(std::ptr::read(&wiped));
                        drop(std::ptr::read(&secret));
                    }
                    let again = make_grow_and_drop(forks);
                    i32::from(!zeros) + 2 * i32::from(!made) + 4 * i32::from(!again)
                });
                if code != 0 {
                    stop.store(true, Relaxed);
                }
                assert_eq!(code, 0, "fork {forks}");
                assert_eq!((omitted[999], wiped[999], *secret.read()), (1, 1, 1));
                forks += 1;
            }
            stop.store(true, Relaxed);
        });
        println!("{} rounds", rounds.load(Relaxed));
        // Thread stacks and heaps of the C library's may stay.
        assert!(mappings() < before + 100, "{} mappings, {before} before", mappings());
    });
}
