//! Vectors whose addresses stay, and zeros without a memset: what is promised of addresses, of contents and of memory.

#[path = "global/child.rs"]
mod child;
mod common;
mod process;

use child::in_child;
use common::quietly;
use mapalloc::map::{Backing, Features, Lock, MapOptions};
use mapalloc::{Operation, PageVec, page_size};
use process::{address_space, areas, limit, locked, resident};

fn bytes<T>(vec: &PageVec<T>) -> usize {
    (vec.capacity() * size_of::<T>()).next_multiple_of(page_size())
}

/// How many pages of the capacity are in memory.
fn resident_in<T>(vec: &PageVec<T>) -> usize {
    resident(vec.as_ptr().cast(), bytes(vec))
}

#[test]
fn no_element_moves() {
    let mut vec: PageVec<u64> = PageVec::with_reserved(1 << 20);
    assert_eq!((vec.len(), vec.capacity()), (0, 0), "nothing is committed yet");
    let most = vec.reserved().unwrap();
    assert!(most >= 1 << 20);
    vec.push(0);
    let start = vec.as_ptr();
    let same = |vec: &PageVec<u64>, what: &str| {
        assert_eq!(vec.as_ptr(), start, "{what}");
        assert_eq!(vec.reserved(), Some(most), "{what}");
    };
    for n in 1..5000 {
        vec.push(n);
        same(&vec, "push");
    }
    vec.extend(5000..200_000);
    same(&vec, "extend");
    vec.insert(100, u64::MAX);
    assert_eq!((vec[99], vec[100], vec[101]), (99, u64::MAX, 100));
    vec.remove(100);
    same(&vec, "insert and remove");
    vec.reserve(100_000);
    vec.reserve_exact(300_000);
    same(&vec, "reserve");
    vec.extend_from_slice(&[7; 1000]);
    vec.extend_from_within(..1000);
    vec.resize(210_000, 9);
    same(&vec, "the other ways to grow");
    vec.truncate(10);
    vec.shrink_to_fit();
    same(&vec, "shrink_to_fit");
    vec.retain(|n| n % 2 == 0);
    assert_eq!(vec, [0, 2, 4, 6, 8]);
    vec.clear();
    vec.shrink_to_fit();
    same(&vec, "clear");
    vec.extend(0..most as u64);
    same(&vec, "to the last element");
    assert_eq!((vec.len(), vec.capacity()), (most, most));
    // SAFETY: an element of a reserved vector, to which nobody has a reference.
    assert_eq!(unsafe { start.add(most - 1).read() }, most as u64 - 1);
}

#[test]
fn the_reservation_is_the_end() {
    let mut vec: PageVec<u32> = PageVec::with_reserved(1000);
    let most = vec.reserved().unwrap();
    vec.extend(0..most as u32);
    let before = (vec.as_ptr(), vec.len(), vec.capacity());
    let unchanged = |vec: &PageVec<u32>| {
        assert_eq!((vec.as_ptr(), vec.len(), vec.capacity()), before);
        assert!(vec.iter().copied().eq(0..most as u32));
    };
    let error = vec.try_push(1).unwrap_err();
    assert_eq!((error.operation(), error.raw_os_error()), (Operation::Allocate, None));
    assert_eq!(error.bytes(), (most + 1) * 4, "{error}");
    unchanged(&vec);
    vec.try_reserve(1).unwrap_err();
    vec.try_reserve_exact(1).unwrap_err();
    vec.try_reserve(usize::MAX).unwrap_err();
    unchanged(&vec);
    // SAFETY: all integers may have zero bytes.
    unsafe { vec.try_resize_zeroed_unchecked(most + 1) }.unwrap_err();
    // SAFETY: as above.
    unsafe { vec.try_extend_zeroed_unchecked(usize::MAX) }.unwrap_err();
    unchanged(&vec);
    type Step = fn(&mut PageVec<u32>);
    let steps: [Step; 6] = [
        |vec| vec.push(1),
        |vec| vec.extend([1]),
        |vec| vec.insert(0, 1),
        |vec| vec.reserve(1),
        |vec| vec.resize(vec.len() + 1, 0),
        // SAFETY: all integers may have zero bytes.
        |vec| unsafe { vec.extend_zeroed_unchecked(1) },
    ];
    for step in steps {
        let panic = quietly(|| step(&mut vec)).unwrap_err();
        let words = panic.downcast_ref::<String>().unwrap();
        assert!(words.contains("reserved"), "{words}");
        unchanged(&vec);
    }
    // Room that is there can be used up to the last element all the same.
    vec.pop();
    vec.try_reserve(1).unwrap();
    vec.try_push(most as u32 - 1).unwrap();
    unchanged(&vec);
}

#[test]
fn memory_goes_back_and_addresses_stay() {
    let len = 1000 * page_size();
    let mut vec: PageVec<u8> = PageVec::with_reserved(len);
    vec.resize(len, 1);
    let start = vec.as_ptr();
    assert_eq!(resident(start, len), 1000);
    vec.truncate(10 * page_size() + 1);
    vec.decommit().unwrap();
    assert_eq!((vec.capacity(), resident(start, len)), (len, 11));
    assert!(vec.iter().all(|&byte| byte == 1));
    vec.resize(len, 2);
    assert_eq!((vec[10 * page_size()], vec[10 * page_size() + 1], vec[len - 1]), (1, 2, 2));
    vec.truncate(3 * page_size());
    vec.shrink_to_fit();
    assert_eq!((vec.as_ptr(), vec.capacity(), resident(start, len)), (start, 3 * page_size(), 3));
    vec.clear();
    vec.shrink_to_fit();
    assert_eq!((vec.capacity(), resident(start, len)), (0, 0));
    vec.push(7);
    assert_eq!((vec.as_ptr(), &*vec), (start, &[7][..]));
    assert_eq!(areas(start.addr(), len).iter().map(|map| map.address.1 - map.address.0).sum::<u64>() as usize, len);
}

#[test]
fn elements_without_a_size_need_no_reservation() {
    let mut vec: PageVec<()> = PageVec::with_reserved(10);
    vec.resize(1000, ());
    vec.shrink_to_fit();
    vec.decommit().unwrap();
    assert_eq!((vec.len(), vec.capacity(), vec.reserved()), (1000, usize::MAX, None));
    // SAFETY: a value without bytes.
    unsafe { vec.resize_zeroed_unchecked(usize::MAX) };
    // SAFETY: as above.
    assert!(unsafe { vec.try_extend_zeroed_unchecked(1) }.is_err());
    assert_eq!(vec.len(), usize::MAX);
}

#[test]
fn elements_may_be_larger_than_a_page() {
    type Large = [u64; 1000];
    for options in [MapOptions::new(), MapOptions::new().guard_pages(1, 1)] {
        let mut vec: PageVec<Large> = PageVec::try_with_reserved(50, options).unwrap();
        vec.push([1; 1000]);
        let start = vec.as_ptr();
        while vec.try_push([vec.len() as u64 + 1; 1000]).is_ok() {}
        assert_eq!((vec.as_ptr(), Some(vec.len())), (start, vec.reserved()));
        assert!(vec.iter().enumerate().all(|(n, large)| *large == [n as u64 + 1; 1000]));
        vec.truncate(1);
        vec.shrink_to_fit();
        vec.decommit().unwrap();
        assert_eq!((vec.as_ptr(), vec[0]), (start, [1; 1000]));

        // A vector of options begins with less than one element has room for.
        let mut vec: PageVec<Large> = PageVec::with_options(0, options.dump(false)).unwrap();
        vec.push([3; 1000]);
        // SAFETY: all integers may have zero bytes.
        unsafe { vec.resize_zeroed_unchecked(20) };
        assert_eq!((vec[0], vec[19]), ([3; 1000], [0; 1000]));
        vec.shrink_to_fit();
        assert_eq!(vec.clone()[19], [0; 1000]);
    }
}

#[test]
fn a_clone_has_a_reservation_of_its_own() {
    let mut vec: PageVec<u64> = PageVec::with_reserved(100_000);
    vec.extend(0..1000);
    let mut clone = vec.clone();
    assert_eq!((clone.reserved(), &*clone), (vec.reserved(), &*vec));
    let (one, other) = (vec.as_ptr(), clone.as_ptr());
    assert_ne!(one, other);
    vec.extend(1000..100_000);
    clone.extend(1000..50_000);
    assert_eq!((vec.as_ptr(), clone.as_ptr()), (one, other));
    drop(vec);
    assert!(clone.iter().copied().eq(0..50_000));
    assert!(clone.try_reserve(clone.reserved().unwrap()).is_err());
    // Through a box and back the reservation stays too.
    let boxed = clone.into_boxed_slice();
    assert_eq!(boxed.as_ptr(), other);
    let mut vec = PageVec::from(boxed);
    vec.extend(50_000..100_000);
    assert_eq!((vec.as_ptr(), vec[99_999]), (other, 99_999));
}

/// A kind of vector on which zeroed growth is tried.
type Make<T> = (&'static str, fn() -> PageVec<T>);

fn kinds<T>() -> [Make<T>; 6] {
    [
        ("plain", PageVec::new),
        ("reserved", || PageVec::with_reserved((4 << 20) / size_of::<T>())),
        ("guarded", || PageVec::with_options(0, MapOptions::new().guard_pages(1, 1)).unwrap()),
        ("locked", || PageVec::with_options(0, locking(Lock::OnFault)).unwrap()),
        ("locked now", || PageVec::with_options(0, locking(Lock::Now)).unwrap()),
        ("reserved and locked", || {
            PageVec::try_with_reserved((4 << 20) / size_of::<T>(), locking(Lock::OnFault)).unwrap()
        }),
    ]
}

const fn locking(lock: Lock) -> MapOptions {
    MapOptions::new().lock(lock).best_effort(Features::LOCK)
}

/// Makes a vector of `used` bytes that are all ones, cuts it to `kept`, and lets it grow to `wanted` by zeros.
fn dirty_then_zeroed<T: Copy>(one: T, [used, kept, wanted]: [usize; 3]) {
    let count = |bytes: usize| bytes.div_ceil(size_of::<T>());
    for (kind, make) in kinds::<T>() {
        for shrunk in [false, true] {
            let mut vec = make();
            vec.resize(count(used), one);
            // All of the room, and not only what was asked for.
            vec.resize(vec.capacity(), one);
            vec.truncate(count(kept));
            if shrunk {
                vec.shrink_to_fit();
            }
            // SAFETY: the callers' elements are arrays of integers.
            unsafe { vec.resize_zeroed_unchecked(count(wanted)) };
            // SAFETY: the elements are initialised, and have no padding.
            let bytes = unsafe { std::slice::from_raw_parts(vec.as_ptr().cast::<u8>(), size_of_val(&*vec)) };
            let edge = count(kept) * size_of::<T>();
            let what = format!("{kind}, shrunk: {shrunk}, {} bytes each: {used} {kept} {wanted}", size_of::<T>());
            assert!(bytes[..edge].iter().all(|&byte| byte == 0xff), "{what}");
            let dirty = bytes[edge..].iter().position(|&byte| byte != 0);
            assert_eq!(dirty.map(|at| edge + at), None, "{what}");
        }
    }
}

#[test]
fn used_room_is_zero_again_at_every_offset() {
    let page = page_size();
    let offsets = [0, 1, 7, 8, 15, page / 2, page - 8, page - 1];
    for kept in offsets.into_iter().chain(offsets.map(|offset| 3 * page + offset)) {
        for wanted in [kept + 1, kept + 64, kept + page, kept + 2 * page + 3, 5 * page, (300 << 10) + kept] {
            dirty_then_zeroed(0xff_u8, [6 * page, kept, wanted.max(kept)]);
        }
    }
    for used in [300 << 10, 1 << 20] {
        dirty_then_zeroed(u64::MAX, [used, 1000, used]);
        dirty_then_zeroed(u64::MAX, [used, 0, used - 100]);
        dirty_then_zeroed(u64::MAX, [used, 5 * page, used + (1 << 20)]);
    }
}

#[test]
fn elements_that_pages_part_are_zero_as_a_whole() {
    let page = page_size();
    for kept in [0, page / 3, page, 3 * page + 5] {
        for wanted in [kept + page, kept + 3 * page, kept + 12 * page, kept + (300 << 10)] {
            for used in [wanted / 2, wanted, 2 * wanted] {
                let used = used.max(kept);
                dirty_then_zeroed([0xff_u8; 3], [used, kept, wanted]);
                dirty_then_zeroed([u64::MAX; 3], [used, kept, wanted]);
                dirty_then_zeroed([u64::MAX; 625], [used, kept, wanted]);
            }
        }
    }
}

#[test]
fn untouched_pages_stay_untouched() {
    let len = 64 << 20;
    for (kind, make) in kinds::<u8>().into_iter().filter(|(kind, _)| *kind == "plain" || *kind == "locked") {
        let mut vec = make();
        // SAFETY: all integers may have zero bytes.
        unsafe { vec.resize_zeroed_unchecked(len) };
        assert!(resident_in(&vec) <= 1, "{kind}: {} pages", resident_in(&vec));
        vec[5 << 20] = 1;
        vec[50 << 20] = 1;
        let few = resident_in(&vec);
        vec.truncate(1);
        // SAFETY: as above.
        unsafe { vec.extend_zeroed_unchecked(len - 1) };
        assert!(resident_in(&vec) <= few, "{kind}: {} pages", resident_in(&vec));
        assert!(vec[5 << 20] == 0 && vec[50 << 20] == 0, "{kind}");
    }
    let mut vec: PageVec<u8> = PageVec::with_reserved(len);
    vec.resize(100, 1);
    // SAFETY: as above.
    unsafe { vec.resize_zeroed_unchecked(len) };
    assert_eq!((vec.len(), resident_in(&vec)), (len, 1));
}

#[test]
fn locked_room_is_locked_as_it_comes_and_free_as_it_goes() {
    in_child(concat!(module_path!(), "::locked_room_is_locked_as_it_comes_and_free_as_it_goes"), || {
        let before = locked();
        let mut vec: PageVec<u8> = PageVec::try_with_reserved(1 << 20, MapOptions::new().lock(Lock::Now)).unwrap();
        assert_eq!(locked(), before, "nothing is committed");
        vec.resize(100 * page_size(), 1);
        assert_eq!(locked() - before, vec.capacity());
        vec.truncate(page_size());
        vec.shrink_to_fit();
        assert_eq!(locked() - before, page_size());
        assert_eq!(resident(vec.as_ptr(), 100 * page_size()), 1);
        vec.resize(200 * page_size(), 2);
        assert_eq!(locked() - before, vec.capacity());
        drop(vec);
        assert_eq!(locked(), before);
    });
}

#[test]
fn refused_memory_leaves_the_vector_as_it_was() {
    in_child(concat!(module_path!(), "::refused_memory_leaves_the_vector_as_it_was"), || {
        let options = MapOptions::new();
        let mut kinds: Vec<(&str, PageVec<u64>)> = vec![
            ("plain", PageVec::new()),
            ("guarded", PageVec::with_options(10, options.guard_pages(1, 1)).unwrap()),
            ("not dumped", PageVec::with_options(10, options.dump(false)).unwrap()),
            ("locked", PageVec::with_options(10, locking(Lock::Now)).unwrap()),
            ("base pages", PageVec::with_options(10, options.backing(&[Backing::Base])).unwrap()),
            ("reserved", PageVec::with_reserved(1 << 20)),
        ];
        for (_, vec) in &mut kinds {
            vec.extend(0..300_000);
            vec.shrink_to_fit();
        }
        limit(libc::RLIMIT_AS, address_space() + (1 << 20));
        for (kind, vec) in &mut kinds {
            let before = (vec.as_ptr(), vec.len(), vec.capacity(), address_space());
            if vec.reserved().is_some() {
                // Its addresses are counted already; more than them is refused without the kernel.
                vec.try_reserve(700_000).unwrap();
                continue;
            }
            for _ in 0..3 {
                let error = vec.try_reserve(300_000).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{kind}: {error}");
                // SAFETY: all integers may have zero bytes.
                unsafe { vec.try_resize_zeroed_unchecked(700_000) }.unwrap_err();
            }
            assert_eq!((vec.as_ptr(), vec.len(), vec.capacity(), address_space()), before, "{kind}");
            assert!(vec.iter().copied().eq(0..300_000), "{kind}");
        }
        PageVec::<u64>::try_with_reserved(1 << 20, options).unwrap_err();
        for (kind, vec) in &mut kinds {
            vec.push(1);
            assert_eq!((vec.len(), vec[299_999]), (300_001, 299_999), "{kind}");
        }
    });
}
