//! Options of mappings, vectors and boxes: the kernel shows each of them, they last, and a refusal leaves nothing behind.

#[path = "global/child.rs"]
mod child;
mod fork;
mod process;

use child::in_child;
use fork::{alone_in_fork, fault_of};
use mapalloc::map::{Backing, Features, Fork, Granted, Guard, Lock, MapOptions, Mapping, Numa, Protect};
use mapalloc::{Error, Operation, PageBox, PageVec, Result, page_size};
use process::{
    Call, any_flags, areas, figure, flags, is_mapped, limit_locking, locked, mappings, refuse, resident, wall,
};
use procfs::process::VmFlags;
use std::fs::File;

const NONE: MapOptions = MapOptions::new();

/// What has pages made with options.
enum Holder {
    Pages(Mapping),
    Vec(PageVec<u64>),
    Box(PageBox<[u64]>),
}

impl Holder {
    /// One of each kind, of at least so many bytes, or the errors.
    fn each(bytes: usize, options: MapOptions) -> [(&'static str, Result<Self>); 3] {
        let boxed = || {
            let boxed = PageBox::<[u64]>::new_uninit_slice_with(bytes / 8, options)?;
            // SAFETY: the bytes are zero, as the constructor says.
            Ok(Self::Box(unsafe { boxed.assume_init() }))
        };
        [
            ("mapping", options.map(bytes).map(Self::Pages)),
            ("vector", PageVec::with_options(bytes / 8, options).map(Self::Vec)),
            ("box", boxed()),
        ]
    }

    fn start(&self) -> usize {
        match self {
            Self::Pages(pages) => pages.as_ptr().addr(),
            Self::Vec(vec) => vec.as_ptr().addr(),
            Self::Box(boxed) => boxed.as_ptr().addr(),
        }
    }

    fn granted(&self) -> Granted {
        match self {
            Self::Pages(pages) => pages.granted(),
            Self::Vec(vec) => vec.granted(),
            Self::Box(boxed) => PageBox::granted(boxed),
        }
    }
}

#[track_caller]
fn each(bytes: usize, options: MapOptions) -> impl Iterator<Item = (&'static str, Holder)> {
    Holder::each(bytes, options).into_iter().map(|(kind, holder)| match holder {
        Ok(holder) => (kind, holder),
        Err(error) => panic!("{kind}: {error}"),
    })
}

/// Whether the process may lock as much as these tests do.
fn can_lock() -> bool {
    NONE.lock(Lock::OnFault).map(128 << 20).map_err(|error| println!("too little can be locked here: {error}")).is_ok()
}

/// Options that show as flags of the kernel's, and the flags.
fn flagged() -> Vec<(MapOptions, VmFlags)> {
    let mut flagged = vec![
        (NONE.dump(false), VmFlags::DD),
        (NONE.on_fork(Fork::Omit), VmFlags::DC),
        (NONE.on_fork(Fork::Wipe), VmFlags::WF),
        (NONE.lock(Lock::Now), VmFlags::LO),
        (NONE.lock(Lock::OnFault), VmFlags::LO),
        (NONE.no_reserve(true), VmFlags::NR),
        (NONE.huge_pages(false), VmFlags::NH),
        (NONE.dump(false).on_fork(Fork::Wipe).lock(Lock::OnFault), VmFlags::DD | VmFlags::WF | VmFlags::LO),
        (NONE.dump(false).on_fork(Fork::Omit).guard_pages(1, 2), VmFlags::DD | VmFlags::DC),
        (NONE.dump(false).lock(Lock::Now).guard_pages(2, 1), VmFlags::DD | VmFlags::LO),
        (NONE.on_fork(Fork::Wipe).guard_pages(1, 1), VmFlags::WF),
        (NONE.align(1 << 21).dump(false), VmFlags::DD),
    ];
    if !can_lock() {
        flagged.retain(|(_, flags)| !flags.contains(VmFlags::LO));
    }
    flagged
}

const ALL_FLAGS: VmFlags = VmFlags::DD
    .union(VmFlags::DC)
    .union(VmFlags::WF)
    .union(VmFlags::LO)
    .union(VmFlags::NR)
    .union(VmFlags::NH)
    .union(VmFlags::HG);

/// Every area of a range has these flags of those that options set, and no area has another.
#[track_caller]
fn assert_flags(start: usize, len: usize, expected: VmFlags, what: &str) {
    assert_eq!(flags(start, len) & ALL_FLAGS, expected, "{what}");
    assert_eq!(any_flags(start, len) & ALL_FLAGS, expected, "{what}");
}

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

/// The guards of a mapping fault at their first and last bytes, and nothing beside them does.
#[track_caller]
fn assert_guards(start: usize, len: usize, (before, after): (usize, usize), what: &str) {
    // SAFETY: the read faults in a child, or reads bytes that nobody writes meanwhile.
    let read = |at: usize| fault_of(|| _ = std::hint::black_box(unsafe { (at as *const u8).read_volatile() }));
    // SAFETY: as above; the child writes to its own copy.
    let write = |at: usize| fault_of(|| unsafe { (at as *mut u8).write_volatile(1) });
    for inside in [start, start + len - 1] {
        assert_eq!((read(inside), write(inside)), (None, None), "{what}");
    }
    let first_and_last = |from: usize, to: usize| if from < to { vec![from, to - 1] } else { vec![] };
    for guarded in [first_and_last(start - before, start), first_and_last(start + len, start + len + after)].concat() {
        assert_eq!((read(guarded), write(guarded)), (Some(guarded), Some(guarded)), "{what}: {guarded:#x}");
    }
}

#[test]
fn guards_fault_at_their_first_and_last_bytes() {
    in_child(concat!(module_path!(), "::guards_fault_at_their_first_and_last_bytes"), || {
        let page = page_size();
        for counts in [(1, 1), (0, 2), (2, 0), (3, 3)] {
            for options in [
                NONE,
                NONE.lock(Lock::Now),
                NONE.lock(Lock::OnFault),
                NONE.on_fork(Fork::Wipe),
                NONE.align(1 << 21),
                NONE.populate(true),
                NONE.dump(false),
            ] {
                let options = options.guard_pages(counts.0, counts.1);
                let guards = (counts.0 * page, counts.1 * page);
                for (kind, holder) in each(3 * page, options) {
                    assert_guards(holder.start(), 3 * page, guards, kind);
                }
                let mut vec: PageVec<u8> = PageVec::with_options(page, options).unwrap();
                if options == options.on_fork(Fork::Wipe) {
                    assert_eq!(vec.granted().guards(), Some(Guard::Protected), "markers are not there in a child");
                }
                for len in [5 * page, 3 << 20, 2 * page, page, 7 * page, 4 * page] {
                    vec.resize(len, 1);
                    vec.shrink_to_fit();
                    assert_eq!(vec.capacity(), len);
                    assert_guards(vec.as_ptr().addr(), len, guards, &format!("{len} bytes of {options:?}"));
                }
                let clone = vec.clone();
                assert_guards(clone.as_ptr().addr(), 4 * page, guards, "clone");

                let mut pages = options.reserve(10 * page).unwrap();
                for len in [4 * page, 10 * page, 2 * page] {
                    pages.commit(len).unwrap();
                    pages.uncommit(len).unwrap();
                    let start = pages.as_ptr().addr();
                    let closed = 10 * page - len;
                    assert_guards(start, len, (guards.0, closed + guards.1), &format!("{len} of a reservation"));
                }
                pages.shrink(3 * page).unwrap();
                pages.commit(3 * page).unwrap();
                assert_guards(pages.as_ptr().addr(), 3 * page, guards, "a shrunk reservation");
                pages.grow(30 * page).unwrap();
                assert_guards(pages.as_ptr().addr(), 30 * page, guards, "a grown reservation");
            }
        }
    });
}

#[test]
fn guards_go_with_their_mapping() {
    in_child(concat!(module_path!(), "::guards_go_with_their_mapping"), || {
        let page = page_size();
        for options in [NONE.guard_pages(2, 2), NONE.guard_pages(2, 2).on_fork(Fork::Wipe)] {
            let before = mappings();
            let mut vec: PageVec<u8> = PageVec::with_options(10 * page, options).unwrap();
            vec.resize(20 * page, 1);
            vec.truncate(1);
            vec.shrink_to_fit();
            vec.resize(30 * page, 1);
            let start = vec.as_ptr().addr();
            drop(vec);
            for at in [start - 2 * page, start - 1, start, start + 30 * page, start + 32 * page - 1] {
                assert!(!is_mapped(at), "{at:#x}");
            }
            // The table of what has options stays.
            assert!(mappings() <= before + 1);
        }
    });
}

#[test]
fn names_show_or_are_refused() {
    let named = |start: usize| {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().any(|line| line.starts_with(&format!("{start:x}-")) && line.ends_with("[anon:frames of a pool]"))
    };
    let options = NONE.name(c"frames of a pool").align(1 << 21);
    for (kind, made) in Holder::each(10 * page_size(), options) {
        match made {
            Ok(holder) => assert!(named(holder.start()), "{kind}"),
            Err(error) => {
                println!("pages cannot be named here: {error}");
                assert_eq!((error.operation(), error.raw_os_error()), (Operation::Name, Some(libc::EINVAL)), "{kind}");
            }
        }
    }
    for (kind, holder) in each(10 * page_size(), options.best_effort(Features::NAME)) {
        assert_ne!(named(holder.start()), holder.granted().missing() == Features::NAME, "{kind}");
    }
    // A name that no kernel takes.
    for (kind, made) in Holder::each(page_size(), NONE.name(c"[what a name must not have]")) {
        assert_eq!(made.err().map(|error| error.operation()), Some(Operation::Name), "{kind}");
    }
}

#[test]
fn nodes_show_or_are_refused() {
    let policy = |start: usize| {
        let maps = std::fs::read_to_string("/proc/self/numa_maps").unwrap();
        let line = maps.lines().find(|line| line.starts_with(&format!("{start:x} ")));
        line.and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned()
    };
    // Aligned, so that each is the first of its area.
    let options = NONE.align(1 << 21);
    if let Err(error) = options.numa(Numa::Bind(1)).map(1) {
        println!("there are no nodes here: {error}");
        assert_eq!((error.operation(), error.raw_os_error()), (Operation::Place, Some(libc::ENOSYS)));
        return;
    }
    for (numa, word) in
        [(Numa::Bind(1), "bind:0"), (Numa::Prefer(1), "prefer:0"), (Numa::Interleave(1), "interleave:0")]
    {
        for (kind, holder) in each(10 * page_size(), options.numa(numa)) {
            assert!(policy(holder.start()).starts_with(word), "{kind}: {}", policy(holder.start()));
        }
    }
    let mut vec: PageVec<u64> = PageVec::with_options(10, options.numa(Numa::Bind(1))).unwrap();
    vec.extend(0..1_000_000);
    assert_eq!(policy(vec.as_ptr().addr()), "bind:0", "after growth");
    for nowhere in [Numa::Bind(1 << 63), Numa::Bind(0), Numa::Interleave(1 << 63), Numa::Interleave(0)] {
        for (kind, made) in Holder::each(10 * page_size(), options.numa(nowhere)) {
            let error = made.err().unwrap_or_else(|| panic!("{kind} was made"));
            assert_eq!(
                (error.operation(), error.raw_os_error()),
                (Operation::Place, Some(libc::EINVAL)),
                "{nowhere:?}"
            );
        }
        for (kind, holder) in each(10 * page_size(), options.numa(nowhere).best_effort(Features::NUMA)) {
            assert_eq!(holder.granted().missing(), Features::NUMA, "{kind}");
        }
    }
}

#[test]
fn transparent_huge_pages_are_granted_where_the_system_has_them() {
    let policy = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let are_off = policy.is_empty() || policy.contains("[never]");
    for (kind, made) in Holder::each(4 << 20, NONE.backing(&[Backing::Transparent])) {
        match made {
            Ok(holder) => {
                assert!(!are_off, "{kind}");
                assert_eq!(holder.granted().backing(), Backing::Transparent, "{kind}");
                assert_flags(holder.start(), 4 << 20, VmFlags::HG, kind);
            }
            Err(error) => assert!(are_off, "{kind}: {error}"),
        }
    }
    for (kind, holder) in each(4 << 20, NONE.huge_pages(true)) {
        assert_eq!(holder.granted().backing() == Backing::System, are_off, "{kind}");
    }
    let mut vec: PageVec<u64> = PageVec::with_options(10, NONE.huge_pages(true)).unwrap();
    for len in [1000, 1_000_000, 10] {
        vec.resize(len, 1);
        vec.shrink_to_fit();
        assert_eq!(flags(vec.as_ptr().addr(), vec.capacity() * 8).contains(VmFlags::HG), !are_off, "{len}");
    }
}

/// The pool of huge pages of 2 MiB, which the tests that use it share.
struct Pool {
    before: String,
    /// Locked, so that one process at a time uses the pool.
    _turn: File,
}

const POOL: &str = "/proc/sys/vm/nr_hugepages";
const HUGE: usize = 2 << 20;

impl Pool {
    /// The pool with so many pages free, if this process can see to that.
    fn with(pages: usize) -> Option<Self> {
        let turn = File::open(POOL).ok()?;
        turn.lock().unwrap();
        let pool = Self { before: std::fs::read_to_string(POOL).unwrap(), _turn: turn };
        if let Err(error) = std::fs::write(POOL, pages.to_string()) {
            println!("the pool of huge pages cannot be changed: {error}");
        }
        let (free, size) = (memory_figure("HugePages_Free:"), memory_figure("Hugepagesize:"));
        println!("the pool has {free} pages of {size} KiB, {pages} were wanted");
        (free == pages && size * 1024 == HUGE).then_some(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // A process that could not make the pool larger cannot make it smaller, and need not.
        _ = std::fs::write(POOL, self.before.trim());
    }
}

fn memory_figure(name: &str) -> usize {
    let figures = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = figures.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)).map_or(0, |figure| figure.parse().unwrap())
}

#[test]
fn without_a_pool_the_ladder_leads_down() {
    let Some(_pool) = Pool::with(0) else { return };
    let huge = Backing::HugeTlb(HUGE);
    for (kind, holder) in each(HUGE, NONE.backing(&[Backing::HugeTlb(HUGE), Backing::Base]).guard_pages(1, 1)) {
        assert_eq!(holder.granted().backing(), Backing::Base, "{kind}");
        assert!(flags(holder.start(), HUGE).contains(VmFlags::NH), "{kind}");
    }
    for (kind, made) in Holder::each(HUGE, NONE.backing(&[Backing::HugeTlb(HUGE)])) {
        let error = made.err().unwrap_or_else(|| panic!("{kind} has {huge:?}"));
        assert_eq!((error.operation(), error.raw_os_error()), (Operation::Map, Some(libc::ENOMEM)), "{kind}");
    }
    // A size that no machine has.
    let error = NONE.backing(&[Backing::HugeTlb(8 << 20)]).map(1).unwrap_err();
    assert_eq!(error.operation(), Operation::Map);
    assert!(error.raw_os_error().is_some(), "{error}");
}

#[test]
fn a_pool_is_used_and_given_back() {
    in_child(concat!(module_path!(), "::a_pool_is_used_and_given_back"), || {
        let Some(_pool) = Pool::with(8) else { return };
        let page = page_size();
        let options = NONE.backing(&[Backing::HugeTlb(HUGE)]).guard_pages(1, 1);
        for (kind, holder) in each(HUGE + 8, options) {
            assert_eq!(holder.granted().backing(), Backing::HugeTlb(HUGE), "{kind}");
            assert!(flags(holder.start(), 2 * HUGE).contains(VmFlags::HT), "{kind}");
            assert_eq!(holder.start() % HUGE, 0, "{kind}");
            assert_guards(holder.start(), 2 * HUGE, (page, page), kind);
        }
        assert_eq!(memory_figure("HugePages_Free:"), 8, "all pages are back");

        let mut vec: PageVec<u8> = PageVec::with_options(10, options).unwrap();
        assert_eq!(vec.capacity(), HUGE);
        vec.resize(HUGE + 5, 7);
        assert!(flags(vec.as_ptr().addr(), vec.capacity()).contains(VmFlags::HT));
        assert_guards(vec.as_ptr().addr(), vec.capacity(), (page, page), "grown");
        assert!(vec.iter().all(|&byte| byte == 7));
        let clone = vec.clone();
        assert!(flags(clone.as_ptr().addr(), HUGE).contains(VmFlags::HT));
        vec.truncate(100);
        // SAFETY: all integers may have zero bytes.
        unsafe { vec.resize_zeroed_unchecked(HUGE + 4) };
        assert!(vec[..100].iter().all(|&byte| byte == 7) && vec[100..].iter().all(|&byte| byte == 0));
        vec.truncate(100);
        vec.decommit().unwrap();
        vec.shrink_to_fit();
        assert_eq!((vec.capacity(), vec[99]), (HUGE, 7));
        assert_guards(vec.as_ptr().addr(), HUGE, (page, page), "shrunk");

        // More than the pool has: the vector stays, or steps down where the ladder does.
        let before = (vec.as_ptr(), vec.capacity());
        let error = vec.try_reserve(20 * HUGE).unwrap_err();
        assert_eq!((error.operation(), error.raw_os_error()), (Operation::Map, Some(libc::ENOMEM)));
        assert_eq!((vec.as_ptr(), vec.capacity(), vec[99]), (before.0, before.1, 7));
        let mut vec: PageVec<u8> =
            PageVec::with_options(10, NONE.backing(&[Backing::HugeTlb(HUGE), Backing::System])).unwrap();
        assert_eq!(vec.granted().backing(), Backing::HugeTlb(HUGE));
        vec.resize(20 * HUGE, 3);
        assert_eq!((vec.granted().backing(), vec[HUGE]), (Backing::System, 3));
        drop((vec, clone));
        // A reservation passes over the pool.
        let error = options.reserve(HUGE).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
    });
}

#[test]
fn the_limit_of_locked_memory_is_an_error_or_a_note() {
    in_child(concat!(module_path!(), "::the_limit_of_locked_memory_is_an_error_or_a_note"), || {
        let page = page_size();
        limit_locking(3 << 20);
        let locking = NONE.lock(Lock::Now);
        // The table of what has options is made first, so that it is not counted.
        drop(each(page, locking).collect::<Vec<_>>());
        for guarded in [locking, locking.guard_pages(1, 1)] {
            let before = (mappings(), locked());
            for (kind, made) in Holder::each(4 << 20, guarded) {
                let error = made.err().unwrap_or_else(|| panic!("{kind} was made"));
                assert_eq!((error.operation(), error.bytes()), (Operation::Lock, 4 << 20), "{kind}");
                assert!(error.raw_os_error().is_some(), "{kind}");
            }
            assert_eq!((mappings(), locked()), before, "nothing is left");
            for (kind, holder) in each(4 << 20, guarded.best_effort(Features::LOCK)) {
                assert_eq!(holder.granted().missing(), Features::LOCK, "{kind}");
                assert!(!any_flags(holder.start(), 4 << 20).contains(VmFlags::LO), "{kind}");
            }
            assert_eq!((mappings(), locked()), before);
        }
        for elements in [100, 300_000_usize] {
            // What was locked stays locked if growth is refused.
            let mut vec: PageVec<u64> = PageVec::with_options(elements, locking).unwrap();
            vec.extend(0..elements as u64);
            for walled in [false, true] {
                if walled {
                    wall(vec.as_ptr().addr() + vec.capacity() * 8);
                }
                let before = (vec.as_ptr(), vec.capacity(), locked(), mappings());
                let error = vec.try_reserve_exact(1_000_000).unwrap_err();
                assert!(error.raw_os_error().is_some(), "{error}");
                assert_eq!((vec.as_ptr(), vec.capacity(), locked(), mappings()), before);
                assert!(flags(vec.as_ptr().addr(), vec.capacity() * 8).contains(VmFlags::LO), "still locked");
                assert!(vec.iter().copied().eq(0..elements as u64));
            }
            drop(vec);
            // What may do without it grows without it.
            let mut vec: PageVec<u64> = PageVec::with_options(elements, locking.best_effort(Features::LOCK)).unwrap();
            vec.extend(0..elements as u64);
            assert_eq!(vec.granted().missing(), Features::empty());
            vec.reserve_exact(1_000_000);
            assert_eq!((vec.granted().missing(), locked()), (Features::LOCK, 0));
            assert!(vec.iter().copied().eq(0..elements as u64));
        }
        let mut pages = locking.reserve(8 << 20).unwrap();
        pages.commit(1 << 20).unwrap();
        pages[0] = 7;
        let before = (mappings(), locked());
        assert_eq!(pages.commit(8 << 20).unwrap_err().operation(), Operation::Lock);
        assert_eq!((pages.len(), pages[0], (mappings(), locked())), (1 << 20, 7, before));
        assert_eq!(areas(pages.as_ptr().addr(), 8 << 20).len(), 2, "what is not committed has no access");
        pages.commit(2 << 20).unwrap();
    });
}

/// A refusal by the kernel: the option, its feature, the calls that are to be refused, and the operation that the error
/// names.
type Refusal = (MapOptions, Features, &'static [(libc::c_long, Option<(u32, u32)>)], Operation);

const MADVISE: libc::c_long = libc::SYS_madvise;
const REFUSALS: &[Refusal] = &[
    (NONE.dump(false), Features::DUMP, &[(MADVISE, Some((2, 16)))], Operation::Advise),
    (NONE.on_fork(Fork::Omit), Features::FORK, &[(MADVISE, Some((2, 10)))], Operation::Advise),
    (NONE.on_fork(Fork::Wipe), Features::FORK, &[(MADVISE, Some((2, 18)))], Operation::Advise),
    (NONE.populate(true), Features::POPULATE, &[(MADVISE, Some((2, 23)))], Operation::Advise),
    (NONE.lock(Lock::Now), Features::LOCK, &[(libc::SYS_mlock, None)], Operation::Lock),
    (NONE.lock(Lock::OnFault), Features::LOCK, &[(libc::SYS_mlock2, None)], Operation::Lock),
    (NONE.numa(Numa::Bind(1)), Features::NUMA, &[(libc::SYS_mbind, None)], Operation::Place),
    (NONE.name(c"name"), Features::NAME, &[(libc::SYS_prctl, Some((0, libc::PR_SET_VMA as u32)))], Operation::Name),
    (
        NONE.guard_pages(1, 1),
        Features::GUARDS,
        &[(MADVISE, Some((2, 102))), (libc::SYS_mprotect, Some((2, libc::PROT_NONE as u32)))],
        Operation::Guard,
    ),
];

#[test]
fn every_refusal_is_an_error_or_a_note_and_leaves_nothing() {
    in_child(concat!(module_path!(), "::every_refusal_is_an_error_or_a_note_and_leaves_nothing"), || {
        for &(options, feature, calls, operation) in REFUSALS {
            alone_in_fork(|| {
                let bytes = 10 * page_size();
                drop(each(bytes, NONE.dump(true).align(1 << 16)).collect::<Vec<_>>());
                let refused = calls.iter().all(|&(number, argument)| refuse(&Call { number, argument }, libc::EPERM));
                if !refused {
                    println!("calls cannot be refused here: {}", std::io::Error::last_os_error());
                    return;
                }
                for options in [options, options.dump(options == options.dump(true)).align(1 << 16)] {
                    let before = mappings();
                    for (kind, made) in Holder::each(bytes, options.required(feature)) {
                        let error: Error = made.err().unwrap_or_else(|| panic!("{kind}: {options:?} was made"));
                        assert_eq!((error.operation(), error.raw_os_error()), (operation, Some(libc::EPERM)), "{kind}");
                        assert_eq!(mappings(), before, "{kind}: {feature:?} leaves something");
                    }
                    for (kind, holder) in each(bytes, options.best_effort(feature)) {
                        assert_eq!(holder.granted().missing(), feature, "{kind}");
                        // SAFETY: the holder's own first and last bytes, which are zero.
                        unsafe {
                            let start = holder.start() as *mut u8;
                            assert_eq!((start.read(), start.add(bytes - 1).read()), (0, 0));
                            start.add(bytes - 1).write(1);
                        }
                        if feature == Features::GUARDS {
                            assert_eq!((holder.granted().guards(), holder.granted().guard_bytes()), (None, (0, 0)));
                        }
                        if let Holder::Vec(mut vec) = holder {
                            vec.resize(1_000_000, 3);
                            assert_eq!((vec[999_999], vec.granted().missing()), (3, feature));
                        }
                    }
                    assert_eq!(mappings(), before, "{feature:?} leaves something");
                }
            });
        }
    });
}

#[test]
fn a_child_finds_zeros_in_wiped_pages() {
    in_child(concat!(module_path!(), "::a_child_finds_zeros_in_wiped_pages"), || {
        for options in [NONE.on_fork(Fork::Wipe), NONE.on_fork(Fork::Wipe).guard_pages(1, 1).lock(Lock::Now)] {
            let mut pages = options.map(10 * page_size()).unwrap();
            pages.fill(1);
            let mut vec: PageVec<u64> = PageVec::with_options(10, options).unwrap();
            vec.resize(10_000, 1);
            let boxed = PageBox::with_options([1_u64; 5000], options).unwrap();
            let copied: PageVec<u64> = PageVec::with_options(10, NONE.dump(false)).unwrap();
            alone_in_fork(|| {
                assert!(pages.iter().all(|&byte| byte == 0));
                assert!(vec.iter().all(|&element| element == 0));
                assert!(boxed.iter().all(|&element| element == 0));
                // They are the child's own, to be used, grown and dropped.
                vec.resize(100_000, 2);
                assert_eq!((vec[0], vec[99_999], vec.len()), (0, 2, 100_000));
                pages.fill(3);
                drop((pages, vec, boxed, copied));
            });
        }
    });
}

/// Maps a page with this byte at an address where nothing is.
fn place(address: usize, byte: u8) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: the call replaces nothing, and the page is this function's to write to.
    unsafe {
        let got = libc::mmap(address as *mut _, page_size(), libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_eq!(got.addr(), address, "{}", std::io::Error::last_os_error());
        got.cast::<u8>().write(byte);
    }
}

#[test]
fn a_child_has_no_omitted_pages_and_drops_nothing_of_its_own() {
    in_child(concat!(module_path!(), "::a_child_has_no_omitted_pages_and_drops_nothing_of_its_own"), || {
        for options in [NONE.on_fork(Fork::Omit), NONE.on_fork(Fork::Omit).guard_pages(1, 1)] {
            let bytes = 4 * page_size();
            for (kind, holder) in each(bytes, options) {
                let start = holder.start();
                // SAFETY: the read faults in a child.
                let read = || _ = std::hint::black_box(unsafe { (start as *const u8).read_volatile() });
                assert_eq!(fault_of(read), Some(start), "{kind}");
                alone_in_fork(move || {
                    // What knows its pages by their address keeps it from others as long as it is there.
                    let is_held = matches!(holder, Holder::Vec(_) | Holder::Box(_));
                    assert_eq!(is_mapped(start), is_held, "{kind}");
                    let others: Vec<PageVec<u64>> = (0..200)
                        .map(|n| {
                            let options = if n % 2 == 0 { NONE } else { NONE.dump(false) };
                            let mut vec = PageVec::with_options(bytes / 8, options).unwrap();
                            vec.resize(bytes / 8, n);
                            vec
                        })
                        .collect();
                    if !is_held && !is_mapped(start) {
                        place(start, 7);
                    }
                    drop(holder);
                    assert_eq!(is_mapped(start), !is_held, "{kind}");
                    assert!(others.iter().zip(0..).all(|(vec, n)| vec.iter().all(|&element| element == n)), "{kind}");
                    if is_held {
                        place(start, 7);
                    }
                });
            }
        }
        // The parent's are as they were.
        let mut vec: PageVec<u64> = PageVec::with_options(10, NONE.on_fork(Fork::Omit)).unwrap();
        vec.extend(0..1000);
        alone_in_fork(|| ());
        vec.extend(1000..100_000);
        assert!(vec.iter().copied().eq(0..100_000));
    });
}
