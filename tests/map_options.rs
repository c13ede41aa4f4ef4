//! Every option of `MapOptions`, on mappings, boxes and vectors alike, by what the kernel says of the pages.

#[path = "global/child.rs"]
mod child;
mod fork;

use child::in_child;
use fork::{fault_of, in_fork};
use mapalloc::map::{Backing, Features, Fork, Granted, Guard, Lock, MapOptions, Mapping, Numa};
use mapalloc::{Error, Operation, PageBox, PageVec, page_size};
use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process, VmFlags};
use std::fs;
use std::hint::black_box;

const LEN: usize = 1 << 20;

/// A container that takes options.
trait Pages: Sized {
    const NAME: &str;
    /// At least this many bytes, all written to.
    fn make(bytes: usize, options: MapOptions) -> Result<Self, Error>;
    fn start(&self) -> *const u8;
    fn granted(&self) -> Granted;
}

impl Pages for Mapping {
    const NAME: &str = "Mapping";

    fn make(bytes: usize, options: MapOptions) -> Result<Self, Error> {
        let mut mapping = options.map(bytes)?;
        mapping.fill(1);
        Ok(mapping)
    }

    fn start(&self) -> *const u8 {
        self.as_ptr()
    }

    fn granted(&self) -> Granted {
        self.granted()
    }
}

impl Pages for PageVec<u8> {
    const NAME: &str = "PageVec";

    fn make(bytes: usize, options: MapOptions) -> Result<Self, Error> {
        let mut vec = Self::with_options(bytes, options)?;
        vec.resize(bytes, 1);
        Ok(vec)
    }

    fn start(&self) -> *const u8 {
        self.as_ptr()
    }

    fn granted(&self) -> Granted {
        self.granted()
    }
}

impl Pages for PageBox<[u8]> {
    const NAME: &str = "PageBox";

    fn make(bytes: usize, options: MapOptions) -> Result<Self, Error> {
        // SAFETY: the pages are new, and zero is a byte.
        let mut boxed = unsafe { Self::new_uninit_slice_with(bytes, options)?.assume_init() };
        boxed.fill(1);
        Ok(boxed)
    }

    fn start(&self) -> *const u8 {
        self.as_ptr()
    }

    fn granted(&self) -> Granted {
        PageBox::granted(self)
    }
}

/// Runs a generic check for all containers.
macro_rules! for_all {
    ($check:ident($($argument:expr),*)) => {
        $check::<Mapping>($($argument),*);
        $check::<PageVec<u8>>($($argument),*);
        $check::<PageBox<[u8]>>($($argument),*);
    };
}

fn areas() -> Vec<MemoryMap> {
    Process::myself().and_then(|me| me.smaps()).expect("/proc/self/smaps").into_iter().collect()
}

/// The kernel's area with this address in it.
fn area_at(address: *const u8) -> Option<MemoryMap> {
    let address = address.addr() as u64;
    areas().into_iter().find(|map| (map.address.0..map.address.1).contains(&address))
}

fn flags_at(address: *const u8) -> VmFlags {
    area_at(address).expect("mapped").extension.vm_flags
}

/// Kilobytes that an area's line of smaps says.
fn kilobytes(address: *const u8, key: &str) -> u64 {
    area_at(address).expect("mapped").extension.map[key] / 1024
}

/// Whether reading an address faults there.
#[track_caller]
fn assert_faults(at: *const u8, faults: bool) {
    // SAFETY: whatever is there, a child reads it.
    let seen = fault_of(|| _ = black_box(unsafe { at.read_volatile() }));
    assert_eq!(seen, faults.then_some(at.addr()), "at {at:p}");
}

#[test]
fn each_flag_is_set_and_not_without_being_asked_for() {
    fn check<P: Pages>(options: MapOptions, flag: VmFlags) {
        let pages = P::make(LEN, options).unwrap();
        assert!(flags_at(pages.start()).contains(flag), "{}: {flag:?}", P::NAME);
        assert_eq!(pages.granted().missing(), Features::empty());
        let plain = P::make(LEN, MapOptions::new().align(1 << 21)).unwrap();
        assert!(!flags_at(plain.start()).intersects(flag), "{}: {flag:?} unasked", P::NAME);
        assert_eq!(plain.start().addr() % (1 << 21), 0);
    }
    for_all!(check(MapOptions::new().dump(false), VmFlags::DD));
    for_all!(check(MapOptions::new().on_fork(Fork::Omit), VmFlags::DC));
    for_all!(check(MapOptions::new().on_fork(Fork::Wipe), VmFlags::WF));
    for_all!(check(MapOptions::new().lock(Lock::Now), VmFlags::LO));
    for_all!(check(MapOptions::new().lock(Lock::OnFault), VmFlags::LO));
    for_all!(check(MapOptions::new().huge_pages(false), VmFlags::NH));
    for_all!(check(MapOptions::new().huge_pages(true), VmFlags::HG));
    if fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap().trim() != "2" {
        for_all!(check(MapOptions::new().no_reserve(true), VmFlags::NR));
    }
}

#[test]
fn options_stay_through_growth_and_shrinking() {
    let options = MapOptions::new().dump(false).on_fork(Fork::Wipe).huge_pages(false).align(1 << 16);
    let flags = VmFlags::DD | VmFlags::WF | VmFlags::NH;
    let guarded = options.guard_pages(2, 1).lock(Lock::OnFault);
    for (options, flags) in [(options, flags), (guarded, flags | VmFlags::LO)] {
        let mut vec: PageVec<u32> = PageVec::with_options(10, options).unwrap();
        let mut neighbours = Vec::new();
        for n in 0..500_000 {
            vec.push(n);
            if vec.len() == vec.capacity() {
                let start = vec.as_ptr().cast();
                assert!(flags_at(start).contains(flags), "{n}");
                assert!(flags_at(start.wrapping_add(vec.capacity() * 4 - 1)).contains(flags), "the end, {n}");
                assert_eq!(start.addr() % (1 << 16), 0);
                assert_eq!(vec.granted().guards().is_some(), options == guarded);
                // What keeps the next growth from staying in place, at times.
                neighbours.push(MapOptions::new().map(page_size()).unwrap());
            }
        }
        assert!(vec.iter().copied().eq(0..500_000));
        let copy = vec.clone();
        assert!(flags_at(copy.as_ptr().cast()).contains(flags), "a clone");
        vec.truncate(3);
        vec.shrink_to_fit();
        let boxed = vec.into_boxed_slice();
        assert!(flags_at(boxed.as_ptr().cast()).contains(flags), "a box of it");
        assert_eq!(PageBox::granted(&boxed).guards().is_some(), options == guarded);
        let boxed = boxed.clone();
        assert!(flags_at(boxed.as_ptr().cast()).contains(flags), "a clone of the box");
        // SAFETY: taken back once.
        let boxed = unsafe { PageBox::from_raw(PageBox::into_raw(boxed)) };
        let mut vec = PageVec::from(boxed);
        vec.extend(3..100_000);
        assert!(flags_at(vec.as_ptr().cast()).contains(flags), "a vector again");
        assert!(vec.iter().copied().eq(0..100_000));
        vec.clear();
        vec.shrink_to_fit();
        vec.push(1);
        assert!(flags_at(vec.as_ptr().cast()).contains(flags), "emptied, and begun anew");
    }
}

#[test]
fn nothing_is_left_when_all_is_dropped() {
    in_child(concat!(module_path!(), "::nothing_is_left_when_all_is_dropped"), || {
        let everything =
            MapOptions::new().guard_pages(1, 3).lock(Lock::Now).dump(false).on_fork(Fork::Wipe).align(1 << 21);
        let all = |options: MapOptions| {
            for bytes in [1, page_size(), 3 * page_size() + 1, 5 << 20] {
                _ = Mapping::make(bytes, options);
                if let Ok(mut vec) = PageVec::make(bytes, options) {
                    vec.extend(0..100_u8);
                    vec.shrink_to_fit();
                    _ = vec.into_boxed_slice().into_iter().rev().count();
                }
                _ = PageBox::make(bytes, options);
                _ = PageVec::<u64>::try_with_reserved(bytes, options).map(|mut vec| vec.push(1));
            }
        };
        let all_of_them = || {
            all(everything);
            all(MapOptions::new().guard_pages(2, 2).populate(true));
            all(MapOptions::new().on_fork(Fork::Omit).huge_pages(true));
            // Refused, with everything before it done.
            all(everything.numa(Numa::Bind(1 << 63)));
            all(everything.name(c"not [allowed]\n"));
            all(MapOptions::new().guard_pages(1, 1).backing(&[Backing::HugeTlb(1 << 30)]));
        };
        all_of_them();
        let before = areas().len();
        let size = Process::myself().and_then(|me| me.stat()).unwrap().vsize;
        for _ in 0..20 {
            all_of_them();
        }
        assert!(areas().len() <= before + 2, "{before} areas became {}", areas().len());
        let grown = Process::myself().and_then(|me| me.stat()).unwrap().vsize.saturating_sub(size);
        assert!(grown < 4 << 20, "{grown} bytes of addresses are lost");
    });
}

#[test]
fn guards_fault_at_their_first_and_last_byte() {
    fn check<P: Pages>(options: MapOptions, kind: Option<Guard>) {
        let page = page_size();
        let pages = P::make(3 * page, options.guard_pages(2, 1)).unwrap();
        assert_eq!(pages.granted().guard_bytes(), (2 * page, page), "{}", P::NAME);
        if let Some(kind) = kind {
            assert_eq!(pages.granted().guards(), Some(kind));
        }
        let (start, end) = (pages.start(), pages.start().wrapping_add(3 * page));
        for at in [start, end.wrapping_sub(1)] {
            assert_faults(at, false);
        }
        for at in [start.wrapping_sub(1), start.wrapping_sub(2 * page), end, end.wrapping_add(page - 1)] {
            assert_faults(at, true);
        }
    }
    let installs = {
        let mut probe = MapOptions::new().map(page_size()).unwrap();
        // SAFETY: a page of this test's; 102 is MADV_GUARD_INSTALL.
        unsafe { libc::madvise(probe.as_mut_ptr().cast(), page_size(), 102) == 0 }
    };
    let usual = if installs { Guard::Installed } else { Guard::Protected };
    for_all!(check(MapOptions::new(), Some(usual)));
    for_all!(check(MapOptions::new().align(1 << 21), Some(usual)));
    for_all!(check(MapOptions::new().lock(Lock::Now), None));
    for_all!(check(MapOptions::new().on_fork(Fork::Wipe), Some(Guard::Protected)));
}

#[test]
fn guards_follow_growth_shrinking_and_reservations() {
    let page = page_size();
    let options = MapOptions::new().guard_pages(1, 1);
    let check = |pages: &Mapping| {
        let end = pages.as_ptr().wrapping_add(pages.reserved());
        assert_faults(pages.as_ptr().wrapping_sub(1), true);
        assert_faults(pages.as_ptr(), false);
        assert_faults(end, true);
        assert_faults(end.wrapping_add(pages.granted().guard_bytes().1 - 1), true);
        if pages.len() < pages.reserved() {
            assert_faults(pages.as_ptr().wrapping_add(pages.len()), true);
        }
    };
    let mut pages = options.map(4 * page).unwrap();
    pages.fill(7);
    pages.grow(9 * page).unwrap();
    assert!(pages[..4 * page].iter().all(|&byte| byte == 7) && pages[4 * page..].iter().all(|&byte| byte == 0));
    check(&pages);
    assert!(pages.grow_in_place(10 * page).is_err(), "the guard is in the way");
    for len in [8, 3, 1] {
        pages.shrink(len * page).unwrap();
        assert_eq!((pages.len(), pages.granted().guard_bytes()), (len * page, (page, page)));
        check(&pages);
    }
    assert!(pages.iter().all(|&byte| byte == 7));

    let mut pages = options.reserve(6 * page).unwrap();
    for len in [1, 3, 6] {
        pages.commit(len * page).unwrap();
        pages.fill(8);
        check(&pages);
    }
    pages.uncommit(2 * page).unwrap();
    check(&pages);
    pages.commit(6 * page).unwrap();
    assert!(pages[..2 * page].iter().all(|&byte| byte == 8) && pages[2 * page..].iter().all(|&byte| byte == 0));
    pages.shrink(page).unwrap();
    check(&pages);
}

#[test]
fn guards_hold_in_a_child_of_fork() {
    for on_fork in [Fork::Copy, Fork::Wipe] {
        let pages = MapOptions::new().guard_pages(1, 1).on_fork(on_fork).map(page_size()).unwrap();
        let behind = pages.as_ptr().wrapping_add(pages.len());
        // `assert_faults` reads in a child; here the child has one of its own.
        let code = in_fork(|| {
            // SAFETY: the read faults.
            let fault = fault_of(|| _ = unsafe { behind.read_volatile() });
            i32::from(fault != Some(behind.addr()))
        });
        assert_eq!(code, 0, "{on_fork:?}");
    }
}

#[test]
fn a_child_of_fork_finds_what_was_chosen() {
    in_child(concat!(module_path!(), "::a_child_of_fork_finds_what_was_chosen"), || {
        fn check<P: Pages>() {
            let page = page_size();
            let copied = P::make(page, MapOptions::new()).unwrap();
            let wiped = P::make(page, MapOptions::new().on_fork(Fork::Wipe)).unwrap();
            let omitted = P::make(page, MapOptions::new().on_fork(Fork::Omit).guard_pages(1, 1)).unwrap();
            let start = omitted.start();
            assert_faults(start, true);
            let code = in_fork(|| {
                // SAFETY: both are mapped in the child too.
                if unsafe { (copied.start().read(), wiped.start().read()) } != (1, 0) {
                    return 1;
                }
                // Something else lies there in the meantime, and stays when the child drops what it never had.
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
                let prot = libc::PROT_READ | libc::PROT_WRITE;
                // SAFETY: replaces nothing.
                let other = unsafe { libc::mmap(start.cast_mut().cast(), page, prot, flags, -1, 0) };
                if other.cast_const() != start.cast() {
                    return 2;
                }
                drop(omitted);
                // SAFETY: mapped above.
                unsafe { other.cast::<u8>().write_volatile(9) };
                0
            });
            assert_eq!(code, 0, "{}", P::NAME);
        }
        for_all!(check());
    });
}

#[test]
fn populated_and_locked_pages_are_there_at_once() {
    for (options, resident) in [
        (MapOptions::new(), false),
        (MapOptions::new().populate(true), true),
        (MapOptions::new().populate(true).required(Features::POPULATE), true),
        (MapOptions::new().lock(Lock::Now), true),
        (MapOptions::new().lock(Lock::OnFault), false),
    ] {
        // Guards keep the pages from being merged with others.
        let mut pages = options.guard_pages(1, 1).huge_pages(false).map(LEN).unwrap();
        let is_resident = |pages: &Mapping| kilobytes(pages.as_ptr(), "Rss") >= pages.len() as u64 / 1024;
        assert_eq!(is_resident(&pages), resident, "{options:?}");
        pages.grow(2 * LEN).unwrap();
        assert!(kilobytes(pages.as_ptr(), "Rss") >= if resident { 2 * LEN as u64 / 1024 } else { 0 }, "{options:?}");
        if options.lock(Lock::Now) == options {
            assert_eq!(kilobytes(pages.as_ptr(), "Locked"), 2 * LEN as u64 / 1024);
        }
        let mut reserved = options.huge_pages(false).reserve(LEN).unwrap();
        reserved.commit(LEN / 2).unwrap();
        assert_eq!(kilobytes(reserved.as_ptr(), "Rss") >= LEN as u64 / 2048, resident, "{options:?}");
        // Locked pages can be given back as well.
        reserved.fill(1);
        reserved.decommit(0..LEN / 2).unwrap();
        assert!(kilobytes(reserved.as_ptr(), "Rss") <= 4, "{options:?}");
        assert!(reserved.iter().all(|&byte| byte == 0));
        reserved.uncommit(0).unwrap();
        assert_eq!(area_at(reserved.as_ptr()).unwrap().perms, MMPermissions::PRIVATE);
    }
}

#[test]
fn a_lock_past_the_limit_is_an_error_or_a_note() {
    in_child(concat!(module_path!(), "::a_lock_past_the_limit_is_an_error_or_a_note"), || {
        fn check<P: Pages>(options: MapOptions) {
            let error = P::make(LEN, options).map(|_| ()).unwrap_err();
            assert_eq!(error.operation(), Operation::Lock, "{}: {error}", P::NAME);
            assert!(error.raw_os_error().is_some());
            let pages = P::make(LEN, options.best_effort(Features::LOCK)).unwrap();
            assert_eq!(pages.granted().missing(), Features::LOCK);
            assert!(!flags_at(pages.start()).contains(VmFlags::LO));
        }
        let limit = libc::rlimit { rlim_cur: 512 << 10, rlim_max: 512 << 10 };
        // SAFETY: plain system calls; the limit is live.
        unsafe {
            assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit), 0);
            if libc::geteuid() == 0 {
                assert_eq!(libc::setresuid(65534, 65534, 65534), 0);
                libc::prctl(libc::PR_SET_DUMPABLE, 1);
            }
        }
        let options = MapOptions::new().lock(Lock::Now).huge_pages(false);
        for_all!(check(options));
        for_all!(check(options.guard_pages(1, 1)));
        // What fits is locked; growth past the limit fails and changes nothing, or goes on without.
        let mut vec = PageVec::<u8>::with_options(100 << 10, options).unwrap();
        vec.resize(100 << 10, 3);
        let error = vec.try_reserve(LEN).unwrap_err();
        assert!(matches!(error.operation(), Operation::Lock | Operation::Remap), "{error}");
        assert!(vec.len() == 100 << 10 && vec.iter().all(|&byte| byte == 3));
        assert!(flags_at(vec.as_ptr()).contains(VmFlags::LO));
        drop(vec);
        let mut vec = PageVec::<u8>::with_options(100 << 10, options.best_effort(Features::LOCK)).unwrap();
        vec.resize(100 << 10, 3);
        assert_eq!(vec.granted().missing(), Features::empty());
        vec.try_reserve(LEN).unwrap();
        assert_eq!(vec.granted().missing(), Features::LOCK);
        assert!(vec.iter().all(|&byte| byte == 3));
        drop(vec);
        let mut pages = options.reserve(LEN).unwrap();
        pages.commit(256 << 10).unwrap();
        let error = pages.commit(LEN).unwrap_err();
        assert_eq!((error.operation(), pages.len()), (Operation::Lock, 256 << 10));
        assert_faults(pages.as_ptr().wrapping_add(256 << 10), true);
        pages.fill(1);
    });
}

#[test]
fn names_show_in_the_maps_or_are_refused() {
    fn check<P: Pages>() {
        let options = MapOptions::new().name(c"frames of the pool");
        match P::make(LEN, options) {
            Ok(pages) => {
                let path = area_at(pages.start()).unwrap().pathname;
                assert_eq!(path, MMapPath::Other("anon:frames of the pool".into()));
            }
            Err(error) => {
                assert_eq!((error.operation(), error.raw_os_error()), (Operation::Name, Some(libc::EINVAL)));
                let pages = P::make(LEN, options.best_effort(Features::NAME)).unwrap();
                assert_eq!(pages.granted().missing(), Features::NAME);
            }
        }
        // No kernel takes this one.
        let refused = P::make(LEN, MapOptions::new().name(c"[brackets]")).map(|_| ());
        assert_eq!(refused.unwrap_err().operation(), Operation::Name);
    }
    for_all!(check());
}

#[test]
fn memory_comes_from_the_nodes_that_were_named() {
    fn check<P: Pages>() {
        for (numa, policy) in
            [(Numa::Bind(1), "bind:0"), (Numa::Prefer(1), "prefer:0"), (Numa::Interleave(1), "interleave:0")]
        {
            // A kernel without NUMA has no mbind(2).
            let Ok(pages) = P::make(LEN, MapOptions::new().numa(numa)) else {
                assert!(!fs::exists("/proc/self/numa_maps").unwrap());
                return;
            };
            let maps = fs::read_to_string("/proc/self/numa_maps").unwrap();
            let start = area_at(pages.start()).unwrap().address.0;
            let line = maps.lines().find(|line| line.starts_with(&format!("{start:x} "))).unwrap();
            assert!(line.contains(policy), "{line}");
        }
        let absent = MapOptions::new().numa(Numa::Bind(1 << 63));
        assert_eq!(P::make(LEN, absent).map(|_| ()).unwrap_err().operation(), Operation::Place);
        let pages = P::make(LEN, absent.best_effort(Features::NUMA)).unwrap();
        assert_eq!(pages.granted().missing(), Features::NUMA);
    }
    for_all!(check());
}

/// Pages in the pool of huge pages, for the time of a test that may put some there.
struct Pool(String);

const POOL: &str = "/proc/sys/vm/nr_hugepages";

impl Pool {
    fn of(pages: u32) -> Option<Self> {
        let before = fs::read_to_string(POOL).ok()?;
        fs::write(POOL, pages.to_string()).ok()?;
        let pool = Self(before);
        let there: u32 = fs::read_to_string(POOL).ok()?.trim().parse().ok()?;
        (there >= pages).then_some(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        _ = fs::write(POOL, &self.0);
    }
}

#[test]
fn huge_pages_are_a_ladder() {
    const HUGE: usize = 2 << 20;
    fn down<P: Pages>() {
        let ladder: &[_] =
            &[Backing::HugeTlb(1 << 40), Backing::HugeTlb(1 << 30), Backing::Transparent, Backing::System];
        let pages = P::make(LEN, MapOptions::new().backing(ladder)).unwrap();
        let off = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
            .map_or(true, |policy| policy.contains("[never]"));
        assert_eq!(pages.granted().backing(), if off { Backing::System } else { Backing::Transparent }, "{}", P::NAME);
        assert!(P::make(LEN, MapOptions::new().backing(&[Backing::HugeTlb(1 << 30)])).is_err());
        assert!(P::make(LEN, MapOptions::new().backing(&[])).is_err());
        assert!(P::make(LEN, MapOptions::new().backing(&[Backing::HugeTlb(3000)])).is_err());
        assert!(P::make(LEN, MapOptions::new().backing(&[Backing::HugeTlb(0)])).is_err());
        let pages = P::make(LEN, MapOptions::new().backing(&[Backing::Base])).unwrap();
        assert_eq!(pages.granted().backing(), Backing::Base);
    }
    fn from_the_pool<P: Pages>(options: MapOptions) {
        let pages = P::make(HUGE + 1, options.backing(&[Backing::HugeTlb(HUGE), Backing::System])).unwrap();
        assert_eq!(pages.granted().backing(), Backing::HugeTlb(HUGE), "{}", P::NAME);
        assert!(flags_at(pages.start()).contains(VmFlags::HT));
        assert_eq!(pages.start().addr() % HUGE, 0);
        if options.guard_pages(1, 1) == options {
            assert_faults(pages.start().wrapping_sub(1), true);
            assert_faults(pages.start().wrapping_add(2 * HUGE), true);
        }
    }
    for_all!(down());
    let Some(_pool) = Pool::of(12) else {
        println!("no pool of huge pages can be made here: only the way down the ladder was tested");
        return;
    };
    for_all!(from_the_pool(MapOptions::new()));
    for_all!(from_the_pool(MapOptions::new().guard_pages(1, 1)));
    let options = MapOptions::new().backing(&[Backing::HugeTlb(HUGE)]);
    let mut pages = options.map(1).unwrap();
    assert_eq!(pages.len(), HUGE);
    pages.fill(5);
    pages.grow(2 * HUGE).unwrap();
    assert!(pages[..HUGE].iter().all(|&byte| byte == 5) && pages[HUGE..].iter().all(|&byte| byte == 0));
    pages.decommit(10..HUGE + 10).unwrap();
    assert_eq!((pages[9], pages[10], pages[HUGE + 9]), (5, 0, 0));
    pages.shrink(1).unwrap();
    assert_eq!(pages.len(), HUGE);
    let mut vec = PageVec::<u8>::with_options(10, options).unwrap();
    assert_eq!(vec.capacity(), HUGE);
    vec.resize(HUGE + 1, 6);
    assert_eq!(vec.capacity() % HUGE, 0);
    vec.truncate(1);
    vec.shrink_to_fit();
    assert_eq!((vec.capacity(), vec[0]), (HUGE, 6));
    drop((pages, vec));
    let mut all = Vec::new();
    let error = loop {
        match options.map(HUGE) {
            Ok(pages) => all.push(pages),
            Err(error) => break error,
        }
    };
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_before_the_kernel() {
    let refused = |options: MapOptions| options.map(1).unwrap_err().raw_os_error();
    assert_eq!(refused(MapOptions::new().align(3)), None);
    assert_eq!(refused(MapOptions::new().align(0)), None);
    assert_eq!(refused(MapOptions::new().guard_pages(usize::MAX, 0)), None);
    assert_eq!(refused(MapOptions::new().guard_pages(1 << 51, 1 << 51)), None);
    assert!(PageVec::<u8>::with_options(usize::MAX, MapOptions::new()).is_err());
    // A box without a size has no pages, and so no options.
    let unit = PageBox::with_options((), MapOptions::new().guard_pages(1, 1)).unwrap();
    assert_eq!(PageBox::granted(&unit).guards(), None);
}

#[test]
fn more_mappings_than_the_system_allows_are_refused_cleanly() {
    in_child(concat!(module_path!(), "::more_mappings_than_the_system_allows_are_refused_cleanly"), || {
        let most: usize = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        if most > 200_000 {
            println!("vm.max_map_count is {most}: too many to try");
            return;
        }
        // Three areas each, which are not merged.
        let options = MapOptions::new().guard_pages(1, 1).on_fork(Fork::Wipe);
        let mut all: Vec<PageVec<u8>> = Vec::new();
        let error = loop {
            match PageVec::with_options(page_size(), options) {
                Ok(mut vec) => {
                    vec.push(all.len() as u8);
                    all.push(vec);
                }
                Err(error) => break error,
            }
            assert!(all.len() <= most, "the system has no limit");
        };
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
        for vec in &mut all {
            // What can be had stays whole, what cannot is an error.
            _ = vec.try_reserve(10 * page_size());
            vec.shrink_to_fit();
        }
        assert!(all.iter().enumerate().all(|(n, vec)| vec[0] == n as u8));
        drop(all);
        assert!(PageVec::<u8>::with_options(page_size(), options).is_ok());
    });
}

#[test]
fn threads_make_and_drop_while_others_fork() {
    in_child(concat!(module_path!(), "::threads_make_and_drop_while_others_fork"), || {
        let options = MapOptions::new().guard_pages(1, 1).dump(false);
        let work = move |seed: usize| {
            let mut kept = Vec::new();
            for n in 0..200 {
                let mut vec = PageVec::<usize>::with_options(n % 7 * 300, options).unwrap();
                vec.extend(seed..seed + n * 37 % 5000);
                kept.push(vec);
                if n % 3 == 0 {
                    let vec = kept.swap_remove(n * seed % kept.len());
                    assert!(vec.iter().copied().eq(seed..seed + vec.len()));
                    kept.push(vec.into_boxed_slice().into());
                }
                if n % 5 == 0 {
                    kept.swap_remove(0);
                }
            }
            assert!(kept.iter().all(|vec| vec.iter().copied().eq(seed..seed + vec.len())));
        };
        std::thread::scope(|scope| {
            for seed in 1..=3 {
                scope.spawn(move || work(seed));
            }
            for _ in 0..30 {
                let code = in_fork(|| {
                    // The registry can be used, whatever the other threads were doing with it.
                    let made = PageBox::with_options([7_u64; 600], options).map(|boxed| boxed[599]);
                    i32::from(made != Ok(7))
                });
                assert_eq!(code, 0);
            }
        });
    });
}
