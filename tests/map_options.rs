//! Options of mappings, vectors and boxes: the kernel shows each of them, and they last.

#[path = "global/child.rs"]
mod child;
mod fork;
mod options;
mod process;

use child::in_child;
use mapalloc::map::{Backing, Features, Lock, MapOptions, Mapping, Protect};
use mapalloc::{Operation, PageBox, PageVec, page_size};
use options::{ALL_FLAGS, Holder, NONE, assert_flags, can_lock, each, flagged};
use process::{any_flags, figure, flags, locked, mappings, resident, wall};
use procfs::process::VmFlags;

#[test]
fn the_kernel_shows_every_option() {
    let bytes = 10 * page_size();
    for (options, expected) in flagged() {
        for (kind, holder) in each(bytes, options) {
            assert_flags(holder.start(), bytes, expected, kind);
            assert_eq!(holder.granted().missing(), Features::empty(), "{kind}");
        }
    }
    for (kind, holder) in each(bytes, NONE) {
        assert_flags(holder.start(), bytes, VmFlags::empty(), kind);
    }
}

#[test]
fn pages_are_in_memory_when_asked_for() {
    let bytes = 50 * page_size();
    let pages = |options: MapOptions| {
        each(bytes, options).map(|(_, holder)| resident(holder.start() as *const u8, bytes)).collect::<Vec<_>>()
    };
    assert_eq!(pages(NONE.populate(true).required(Features::POPULATE)), [50; 3]);
    assert_eq!(pages(NONE.lock(Lock::Now)), [50; 3]);
    assert_eq!(pages(NONE.lock(Lock::OnFault)), [0; 3]);
    assert_eq!(pages(NONE.dump(false)), [0; 3]);
    for (kind, holder) in each(bytes, NONE.lock(Lock::Now).guard_pages(1, 1)) {
        assert_eq!(figure("Locked", holder.start(), bytes), bytes, "{kind}");
        assert_eq!(figure("Rss", holder.start(), bytes), bytes, "{kind}");
    }
}

#[test]
fn starts_are_aligned_guards_or_not() {
    for align in [1, 16, page_size(), 1 << 16, 1 << 21, 1 << 25] {
        for guards in [(0, 0), (1, 0), (3, 2)] {
            for (kind, holder) in each(3 * page_size(), NONE.align(align).guard_pages(guards.0, guards.1)) {
                assert_eq!(holder.start() % align.max(page_size()), 0, "{kind}: {align} {guards:?}");
                let bytes = (guards.0 * page_size(), guards.1 * page_size());
                assert_eq!(holder.granted().guard_bytes(), bytes, "{kind}");
            }
        }
    }
    #[repr(align(65536))]
    struct Wide(#[expect(dead_code, reason = "only the place counts")] u8);
    let wide = PageBox::with_options(Wide(1), NONE.align(16)).unwrap();
    assert_eq!((&raw const *wide).addr() % 65536, 0, "the value's own alignment counts as well");
}

#[test]
fn options_without_sense_are_refused() {
    let sane = NONE.dump(false);
    for (kind, made) in Holder::each(page_size(), sane.align(12_345)) {
        let error = made.err().unwrap_or_else(|| panic!("{kind} was made"));
        assert_eq!((error.operation(), error.bytes(), error.raw_os_error()), (Operation::Map, 12_345, None), "{kind}");
    }
    for options in [
        sane.align(0),
        sane.align(3),
        sane.backing(&[]),
        sane.backing(&[Backing::HugeTlb(3 << 20)]),
        sane.backing(&[Backing::HugeTlb(0)]),
        sane.guard_pages(usize::MAX, 0),
        sane.guard_pages(1, isize::MAX as usize / page_size()),
    ] {
        assert!(Holder::each(page_size(), options).into_iter().all(|(_, made)| made.is_err()), "{options:?}");
    }
    assert_eq!(sane.map(0).unwrap_err().raw_os_error(), None);
    assert_eq!(sane.map(usize::MAX).unwrap_err().raw_os_error(), None);
    PageVec::<u64>::with_options(usize::MAX / 4, sane).unwrap_err();
    PageBox::<[u64]>::new_uninit_slice_with(usize::MAX / 4, sane).unwrap_err();
}

#[test]
fn a_vector_keeps_its_options_for_life() {
    for (options, expected) in flagged() {
        let mut vec: PageVec<u64> = PageVec::with_options(1000, options).unwrap();
        let mut len = 0;
        let check = |vec: &PageVec<u64>, len: u64, what: &str| {
            let bytes = vec.capacity() * 8;
            assert_flags(vec.as_ptr().addr(), bytes, expected, &format!("{what}: {options:?}"));
            assert!(vec.iter().copied().eq(0..len), "{what}: {options:?}");
            assert_eq!(vec.granted().missing(), Features::empty(), "{what}");
        };
        let mut grow = |vec: &mut PageVec<u64>, to: u64| {
            vec.extend(len..to);
            len = to;
        };
        check(&vec, 0, "new");
        grow(&mut vec, 3000);
        check(&vec, 3000, "grown");
        // Nothing can grow in place over this.
        wall(vec.as_ptr().addr() + vec.capacity() * 8);
        let at = vec.capacity() as u64;
        grow(&mut vec, at + 1);
        check(&vec, at + 1, "moved");
        grow(&mut vec, 300_000);
        check(&vec, 300_000, "grown past a huge page");
        wall(vec.as_ptr().addr() + vec.capacity() * 8);
        grow(&mut vec, 900_000);
        check(&vec, 900_000, "moved with huge pages");
        vec.truncate(5000);
        vec.shrink_to_fit();
        assert!(vec.capacity() < 5000 + page_size());
        check(&vec, 5000, "shrunk");
        let clone = vec.clone();
        check(&clone, 5000, "cloned");
        let boxed = clone.into_boxed_slice();
        assert_flags(boxed.as_ptr().addr(), boxed.len() * 8, expected, "boxed");
        let boxed = boxed.clone();
        assert_flags(boxed.as_ptr().addr(), boxed.len() * 8, expected, "a clone of the box");
        let raw = PageBox::into_raw(boxed);
        // SAFETY: from `into_raw`, once.
        let mut again = PageVec::from(unsafe { PageBox::from_raw(raw) });
        check(&again, 5000, "a vector again");
        again.extend(5000..20_000);
        check(&again, 20_000, "and grown");
        let (base, len, capacity) = vec.into_raw_parts();
        // SAFETY: from `into_raw_parts`, once.
        let mut vec = unsafe { PageVec::from_raw_parts(base, len, capacity) };
        vec.extend(5000..50_000);
        check(&vec, 50_000, "from raw parts, and grown");
        vec.clear();
        vec.shrink_to_fit();
        vec.extend(0..10);
        check(&vec, 10, "emptied");
        // An empty box has a page, with the options, for the vector that comes of it.
        vec.clear();
        let mut vec = PageVec::from(vec.into_boxed_slice());
        vec.extend(0..2000);
        check(&vec, 2000, "by way of an empty box");
    }
}

/// Figures that look random, and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// Elements of which pages hold no whole number.
type Odd = [u8; 24];

/// Does the same to both.
fn step(vec: &mut PageVec<Odd>, model: &mut Vec<Odd>, dice: &mut Dice) {
    let element = [dice.below(255) as u8 + 1; 24];
    let (len, some) = (vec.len(), 1 + dice.below(3000));
    match dice.below(14) {
        0 => {
            vec.push(element);
            model.push(element);
        }
        1 => {
            vec.resize(len + some, element);
            model.resize(len + some, element);
        }
        2 | 3 => {
            vec.truncate(some);
            model.truncate(some);
        }
        4 => vec.shrink_to_fit(),
        5 => vec.shrink_to(some),
        6 => vec.reserve_exact(some),
        7 => vec.decommit().unwrap(),
        8 => *vec = vec.clone(),
        9 => *vec = PageVec::from(std::mem::take(vec).into_boxed_slice()),
        10 | 11 => {
            // SAFETY: all integers may have zero bytes.
            unsafe { vec.extend_zeroed_unchecked(some) };
            model.resize(len + some, [0; 24]);
        }
        12 => {
            let at = dice.below(len + 1);
            vec.insert(at, element);
            model.insert(at, element);
            vec.drain(at / 2..at);
            model.drain(at / 2..at);
        }
        _ => {
            let object = std::mem::take(vec).into_no_access().unwrap().protect::<mapalloc::map::ReadOnly>().unwrap();
            assert!(object[..] == model[..]);
            *vec = object.into_writable().unwrap();
        }
    }
}

#[test]
fn a_vector_with_options_is_a_vector() {
    let reserve = |options| PageVec::try_with_reserved(1 << 17, options);
    for (seed, (options, expected)) in flagged().into_iter().enumerate() {
        for (reserved, made) in [(false, PageVec::with_options(0, options)), (true, reserve(options))] {
            let (mut vec, mut model, mut dice) = (made.unwrap(), Vec::new(), Dice(seed as u64 + 1));
            for round in 0..500 {
                step(&mut vec, &mut model, &mut dice);
                model.truncate(40_000);
                vec.truncate(40_000);
                assert!(vec[..] == model[..], "round {round}: {options:?}, reserved: {reserved}");
                assert!(vec.capacity() >= vec.len());
            }
            vec.push([1; 24]);
            let seen = flags(vec.as_ptr().addr(), vec.len() * 24) & ALL_FLAGS;
            assert_eq!(seen | VmFlags::NR, expected | VmFlags::NR, "{options:?}, reserved: {reserved}");
            assert_eq!(vec.reserved().is_some(), reserved);
        }
    }
}

#[test]
fn a_mapping_keeps_its_options_for_life() {
    for (options, expected) in flagged() {
        let page = page_size();
        let check = |pages: &Mapping, what: &str| {
            let what = &format!("{what}: {options:?}");
            assert_flags(pages.as_ptr().addr(), pages.len(), expected, what);
            assert_eq!(pages.as_ptr().addr() % pages.align(), 0, "{what}");
            assert_eq!(pages[0], 7, "{what}: {options:?}");
        };
        let mut pages = options.map(3 * page).unwrap();
        pages[0] = 7;
        pages[3 * page - 1] = 8;
        check(&pages, "new");
        wall(pages.as_ptr().addr() + pages.reserved());
        pages.grow(10 * page).unwrap();
        assert_eq!((pages[3 * page - 1], pages[3 * page]), (8, 0));
        check(&pages, "grown");
        wall(pages.as_ptr().addr() + pages.reserved());
        pages.grow(5 << 20).unwrap();
        assert_eq!((pages[3 * page - 1], pages[3 * page], pages.len()), (8, 0, 5 << 20));
        check(&pages, "moved");
        let raw = pages.into_raw();
        // SAFETY: from `into_raw`, once.
        let mut pages = unsafe { Mapping::from_raw(raw) };
        pages.shrink(4 * page).unwrap();
        check(&pages, "shrunk");
        pages.grow(8 * page).unwrap();
        assert_eq!(pages[4 * page..].iter().position(|&byte| byte != 0), None, "new bytes are zero");
        check(&pages, "grown again");
        pages.decommit(page..8 * page).unwrap();
        check(&pages, "given back in part");

        // A reservation is not counted, whatever the options say.
        let options = options.no_reserve(true);
        let check = |pages: &Mapping, what: &str| {
            let (start, len) = (pages.as_ptr().addr(), pages.len());
            assert_eq!((flags(start, len) | VmFlags::NR) & ALL_FLAGS, expected | VmFlags::NR, "{what}: {options:?}");
            assert_eq!(
                (any_flags(start, len) | VmFlags::NR) & ALL_FLAGS,
                expected | VmFlags::NR,
                "{what}: {options:?}"
            );
        };
        let mut pages = options.reserve(100 * page).unwrap();
        assert_eq!((pages.len(), pages.reserved()), (0, 100 * page));
        pages.commit(page).unwrap();
        pages[0] = 7;
        check(&pages, "committed");
        pages.commit(50 * page).unwrap();
        check(&pages, "committed further");
        pages.uncommit(page).unwrap();
        pages.commit(20 * page).unwrap();
        assert!(pages[page..].iter().all(|&byte| byte == 0));
        check(&pages, "committed again");
        pages.grow(200 * page).unwrap();
        assert_eq!((pages.len(), pages[20 * page]), (200 * page, 0));
        check(&pages, "grown past the reservation");
    }
}

#[test]
fn what_is_to_be_populated_grows_populated() {
    for options in [
        NONE.populate(true),
        NONE.populate(true).required(Features::POPULATE),
        NONE.populate(true).required(Features::POPULATE).guard_pages(1, 1),
    ] {
        let page = page_size();
        let mut vec: PageVec<u8> = PageVec::with_options(10 * page, options).unwrap();
        vec.push(1);
        for pages in [20, 100, 1000] {
            vec.reserve_exact(pages * page);
            assert_eq!(resident(vec.as_ptr(), vec.capacity()) * page, vec.capacity(), "{options:?}");
        }
        let mut reserved: PageVec<u8> = PageVec::try_with_reserved(100 * page, options).unwrap();
        reserved.resize(30 * page, 1);
        assert_eq!(resident(reserved.as_ptr(), 100 * page) * page, reserved.capacity());
        let mut pages = options.map(3 * page).unwrap();
        if pages.grow_in_place(50 * page).is_ok() {
            assert_eq!(resident(pages.as_ptr(), 50 * page), 50);
        }
    }
}

#[test]
fn growth_in_place_moves_nothing() {
    in_child(concat!(module_path!(), "::growth_in_place_moves_nothing"), || {
        let page = page_size();
        for (options, expected) in flagged() {
            let mut pages = options.map(3 * page).unwrap();
            pages.fill(7);
            let start = pages.as_ptr();
            let before = (mappings(), locked());
            let is_guarded = pages.granted().guard_bytes().1 > 0;
            let is_walled = wall(start.addr() + 3 * page);
            if is_guarded || is_walled {
                let before = if is_walled { (mappings(), locked()) } else { before };
                pages.grow_in_place(10 * page).unwrap_err();
                assert_eq!((pages.as_ptr(), pages.len(), pages.reserved()), (start, 3 * page, 3 * page));
                assert_eq!((mappings(), locked()), before, "{options:?}");
                // SAFETY: the wall was made by this test, or nothing is there.
                assert!(!is_walled || unsafe { libc::munmap((start.addr() + 3 * page) as *mut _, page) } == 0);
            }
            if !is_guarded && is_walled {
                pages.grow_in_place(4 * page).unwrap();
                assert_eq!(
                    (pages.as_ptr(), pages.len(), pages[3 * page - 1], pages[3 * page]),
                    (start, 4 * page, 7, 0)
                );
                assert_flags(start.addr(), 4 * page, expected, "grown in place");
            }
            assert!(pages[..3 * page].iter().all(|&byte| byte == 7));
            let mut pages = options.reserve(10 * page).unwrap();
            pages.grow_in_place(5 * page).unwrap();
            assert_eq!((pages.len(), pages.reserved()), (5 * page, 10 * page));
        }
    });
}

#[test]
fn growth_and_drop_leave_nothing_locked() {
    in_child(concat!(module_path!(), "::growth_and_drop_leave_nothing_locked"), || {
        if !can_lock() {
            return;
        }
        let before = locked();
        for options in [NONE.lock(Lock::OnFault), NONE.lock(Lock::Now), NONE.lock(Lock::Now).guard_pages(1, 1)] {
            let mut vec: PageVec<u8> = PageVec::with_options(1 << 20, options).unwrap();
            for bytes in [2 << 20, 4 << 20, 8 << 20] {
                wall(vec.as_ptr().addr() + vec.capacity());
                vec.reserve_exact(bytes);
                assert_eq!(locked() - before, vec.capacity(), "{options:?}");
            }
            vec.resize(5, 1);
            for bytes in [1 << 20, 5] {
                vec.shrink_to(bytes);
                assert_eq!(locked() - before, vec.capacity(), "{options:?}, shrunk");
                assert!(vec.capacity() < bytes + page_size());
            }
            drop(vec);
            assert_eq!(locked(), before, "{options:?}");
        }
    });
}
