//! Vectors whose elements never move, memory given back in part, and zeros without a memset.

#[path = "global/child.rs"]
mod child;

use child::in_child;
use mapalloc::map::{Lock, MapOptions};
use mapalloc::{PageVec, page_size};
use procfs::process::Process;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of memory that the kernel's area at an address has.
fn resident(address: *const u8) -> usize {
    let address = address.addr() as u64;
    let maps = Process::myself().and_then(|me| me.smaps()).expect("/proc/self/smaps");
    let area = maps.into_iter().find(|map| (map.address.0..map.address.1).contains(&address)).expect("mapped");
    area.extension.map["Rss"] as usize
}

/// Guards keep an area apart from its neighbours, so that its figures are its own; no huge pages blur them.
const APART: MapOptions = MapOptions::new().guard_pages(1, 1).huge_pages(false);

#[test]
fn elements_never_move() {
    let mut vec: PageVec<u64> = PageVec::with_reserved(1 << 20);
    assert_eq!((vec.len(), vec.capacity(), vec.reserved()), (0, 0, Some(1 << 20)));
    let start = vec.as_ptr();
    let mut grown = 0;
    for n in 0..600_000 {
        vec.push(n);
        grown += usize::from(vec.len() == vec.capacity());
    }
    assert!(grown < 30, "growth is amortised: {grown} steps");
    vec.extend(600_000..700_000);
    vec.extend_from_slice(&[1; 1000]);
    vec.insert(5, 7);
    vec.reserve_exact((1 << 20) - vec.len());
    assert_eq!((vec.capacity(), vec.as_ptr()), (1 << 20, start));
    // SAFETY: an element of a reserved vector, to which nobody has a reference.
    assert_eq!(unsafe { start.add(6).read() }, 5);
    vec.truncate(10);
    vec.shrink_to_fit();
    assert_eq!((vec.capacity(), vec.as_ptr()), (page_size() / 8, start));
    vec.clear();
    vec.shrink_to_fit();
    assert_eq!((vec.capacity(), vec.as_ptr(), vec.reserved()), (0, start, Some(1 << 20)));
    let moved = std::mem::take(&mut vec);
    assert_eq!((moved.as_ptr(), vec.reserved()), (start, None));
    let mut vec = moved;
    vec.extend(0..10);
    assert_eq!((vec.as_ptr(), vec.iter().sum::<u64>()), (start, 45));
    let boxed = vec.into_boxed_slice();
    assert_eq!(boxed.as_ptr(), start);
    let vec = PageVec::from(boxed);
    assert_eq!((vec.as_ptr(), vec.reserved()), (start, Some(1 << 20)));
    assert_eq!(vec.into_iter().rev().take(2).collect::<Vec<_>>(), [9, 8]);
}

#[test]
fn past_the_reservation_there_is_no_room() {
    let most = page_size() / 8 * 3;
    let mut vec: PageVec<u64> = PageVec::with_reserved(most);
    vec.extend(0..most as u64);
    assert_eq!(vec.capacity(), most);
    let start = vec.as_ptr();
    let error = vec.try_push(1).unwrap_err();
    assert_eq!(error.raw_os_error(), None);
    assert!(error.to_string().contains("more than is reserved"), "{error}");
    vec.try_reserve(1).unwrap_err();
    vec.try_reserve_exact(most).unwrap_err();
    vec.try_reserve(usize::MAX).unwrap_err();
    let additions: [fn(&mut PageVec<u64>); 5] = [
        |vec| vec.push(1),
        |vec| vec.insert(0, 1),
        |vec| vec.extend([1]),
        |vec| vec.reserve(1),
        |vec| vec.resize(vec.len() + 1, 1),
    ];
    for add in additions {
        let message = catch_unwind(AssertUnwindSafe(|| add(&mut vec))).unwrap_err();
        assert!(message.downcast_ref::<String>().unwrap().contains("more than is reserved"));
    }
    assert!(vec.as_ptr() == start && vec.iter().copied().eq(0..most as u64));
    vec.pop();
    vec.try_push(5).unwrap();
    assert!(PageVec::<u64>::try_with_reserved(usize::MAX, MapOptions::new()).is_err());
    assert!(PageVec::<u8>::try_with_reserved(1 << 60, MapOptions::new()).unwrap_err().raw_os_error().is_some());
}

#[test]
fn clones_have_a_reservation_of_their_own() {
    let mut vec: PageVec<u32> = PageVec::try_with_reserved(100_000, APART).unwrap();
    vec.extend(0..5000);
    let mut copy = vec.clone();
    assert_eq!((copy.reserved(), copy.granted().guards()), (vec.reserved(), vec.granted().guards()));
    let start = copy.as_ptr();
    copy.extend(5000..100_000);
    assert!(copy.as_ptr() == start && copy.iter().copied().eq(0..100_000) && vec.len() == 5000);
}

#[test]
fn odd_sizes_have_their_room() {
    let mut units: PageVec<()> = PageVec::with_reserved(10);
    units.extend([(); 100]);
    assert_eq!((units.len(), units.capacity()), (100, usize::MAX));

    #[derive(Clone, Copy)]
    #[repr(align(65536))]
    struct Wide([u8; 65536]);
    let mut wide = PageVec::with_options(0, APART).unwrap();
    assert_eq!(wide.capacity(), 65536 / page_size().max(65536) * usize::from(page_size() >= 65536));
    wide.push(Wide([3; 65536]));
    assert!(wide.granted().guards().is_some() && wide.as_ptr().addr() % 65536 == 0);
    // SAFETY: zeros are a `Wide`.
    unsafe { wide.resize_zeroed_unchecked(3) };
    assert!(wide.granted().guards().is_some(), "the options hold");
    assert_eq!((wide[0].0[65535], wide[2].0[65535]), (3, 0));

    let mut large: PageVec<[u8; 5000]> = PageVec::with_reserved(10);
    let start = large.as_ptr();
    for n in 0..10 {
        large.push([n; 5000]);
    }
    assert!(large.as_ptr() == start && large.iter().enumerate().all(|(n, row)| row[4999] == n as u8));
    large.truncate(1);
    large.shrink_to_fit();
    assert!(large.capacity() >= 1 && large[0][4999] == 0);
}

#[test]
fn memory_goes_back_and_addresses_stay() {
    let len = 8 << 20;
    let mut vec: PageVec<u8> = PageVec::try_with_reserved(len, APART).unwrap();
    vec.resize(len, 1);
    let start = vec.as_ptr();
    assert!(resident(start) >= len);
    vec.truncate(3 * page_size() + 1);
    vec.decommit().unwrap();
    assert_eq!((vec.capacity(), vec.as_ptr()), (len, start));
    assert!(resident(start) <= 4 * page_size(), "{} bytes stay", resident(start));
    assert!(vec.iter().all(|&byte| byte == 1));
    vec.resize(len, 2);
    vec.truncate(1);
    vec.shrink_to_fit();
    assert!(resident(start) <= page_size() && vec[0] == 1);

    // The same for a vector that grows by moving.
    let mut vec: PageVec<u8> = PageVec::with_options(len, APART).unwrap();
    vec.resize(len, 1);
    vec.clear();
    vec.decommit().unwrap();
    assert_eq!((vec.capacity(), resident(vec.as_ptr())), (len, 0));
    let mut plain: PageVec<u8> = PageVec::with_capacity(page_size());
    plain.push(1);
    plain.decommit().unwrap();
    assert_eq!(plain, [1]);
    PageVec::<u8>::new().decommit().unwrap();
}

/// A vector whose room is dirty.
fn used(options: Option<MapOptions>, len: usize) -> PageVec<u8> {
    let mut vec = match options {
        Some(options) => PageVec::with_options(len, options).unwrap(),
        None => PageVec::with_capacity(len),
    };
    vec.resize(vec.capacity(), 0xff);
    vec.clear();
    vec
}

#[test]
fn zeros_are_zero_whatever_was_there() {
    let page = page_size();
    let steps = [1, 3, 100, page - 1, page, page + 1, 3 * page + 7, 300 << 10, 2 << 20];
    for options in [None, Some(APART), Some(APART.lock(Lock::Now)), Some(MapOptions::new().align(1 << 21))] {
        for first in steps {
            for second in steps {
                let mut vec = used(options, 1 << 20);
                vec.resize(first, 7);
                // SAFETY: zero is a byte.
                unsafe { vec.extend_zeroed_unchecked(second) };
                assert_eq!(vec.len(), first + second);
                assert!(vec[..first].iter().all(|&byte| byte == 7), "{first} + {second}");
                assert!(vec[first..].iter().all(|&byte| byte == 0), "{first} + {second}");
            }
        }
    }
    let mut vec = PageVec::from([1_u64, 2, 3]);
    // SAFETY: zero is a `u64`.
    unsafe {
        vec.resize_zeroed_unchecked(2);
        assert_eq!(vec, [1, 2]);
        vec.resize_zeroed_unchecked(4);
        assert_eq!(vec, [1, 2, 0, 0]);
        vec.resize_zeroed_unchecked(4);
        vec.try_resize_zeroed_unchecked(usize::MAX / 4).unwrap_err();
        vec.try_extend_zeroed_unchecked(usize::MAX).unwrap_err();
        assert_eq!(vec, [1, 2, 0, 0]);
        assert!(catch_unwind(AssertUnwindSafe(|| vec.extend_zeroed_unchecked(usize::MAX))).is_err());
        let mut reserved: PageVec<u64> = PageVec::with_reserved(page_size() / 8);
        reserved.try_extend_zeroed_unchecked(page_size() / 8 + 1).unwrap_err();
        reserved.try_extend_zeroed_unchecked(page_size() / 8).unwrap();
        assert!(reserved.iter().all(|&n| n == 0) && reserved.len() == page_size() / 8);
    }
}

#[test]
fn zeros_touch_no_new_page() {
    let len = 16 << 20;
    let mut vec: PageVec<u8> = PageVec::with_options(len, APART).unwrap();
    // SAFETY: zero is a byte.
    unsafe { vec.resize_zeroed_unchecked(len) };
    assert_eq!(resident(vec.as_ptr()), 0);
    vec.clear();
    for _ in 0..100 {
        // SAFETY: zero is a byte.
        unsafe { vec.extend_zeroed_unchecked(len / 200) };
    }
    assert!(resident(vec.as_ptr()) <= 101 * page_size(), "{} bytes", resident(vec.as_ptr()));
    let mut vec: PageVec<u8> = PageVec::try_with_reserved(len, APART).unwrap();
    // SAFETY: zero is a byte.
    unsafe { vec.resize_zeroed_unchecked(len) };
    assert_eq!(resident(vec.as_ptr()), 0);
    assert_eq!(vec.iter().map(|&byte| u64::from(byte)).sum::<u64>(), 0);
}

#[test]
fn room_behind_the_elements_is_all_that_is_committed() {
    let mut vec: PageVec<u16> = PageVec::with_reserved(100_000);
    assert!(vec.spare_capacity_mut().is_empty());
    vec.push(1);
    let room = vec.spare_capacity_mut();
    assert_eq!(room.len(), page_size() / 2 - 1);
    room.fill(std::mem::MaybeUninit::new(4));
    // SAFETY: written above.
    unsafe { vec.set_len(page_size() / 2) };
    assert!(vec[1..].iter().all(|&n| n == 4));
}

#[test]
fn a_refusal_of_memory_changes_nothing() {
    in_child(concat!(module_path!(), "::a_refusal_of_memory_changes_nothing"), || {
        let reserved: PageVec<u64> = PageVec::with_reserved(1 << 24);
        let plain: PageVec<u64> = PageVec::new();
        let guarded: PageVec<u64> = PageVec::with_options(1, APART).unwrap();
        let mut all = [reserved, plain, guarded];
        for vec in &mut all {
            vec.extend(0..10_000);
        }
        // No more private writable memory than there is.
        let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
        // SAFETY: a live limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) }, 0);
        for vec in &mut all {
            let (start, capacity) = (vec.as_ptr(), vec.capacity());
            let error = vec.try_reserve(1 << 23).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
            assert_eq!((vec.as_ptr(), vec.capacity()), (start, capacity));
            assert!(vec.iter().copied().eq(0..10_000));
        }
        assert!(PageVec::<u64>::try_with_reserved(1 << 30, MapOptions::new()).is_ok(), "addresses are no memory");
    });
}
