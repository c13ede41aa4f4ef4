//! What the crate says of pages, faults and the system is what the kernel says.

mod fork;

use fork::in_fork;
use mapalloc::map::{Lock, MapOptions, Mapping};
use mapalloc::observe::{Areas, Faults, HugePagePolicy, Overcommit, PageStates, Residency, System};
use mapalloc::{PageBox, PageVec, page_size};
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One test at a time: while a child of `fork` lives, the pages of all of them are shared, and writing to one faults.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const PAGES: usize = 64;

fn apart() -> Mapping {
    MapOptions::new().guard_pages(1, 1).huge_pages(false).map(PAGES * page_size()).unwrap()
}

#[test]
fn residency_follows_every_touch() {
    let _alone = alone();
    let mut pages = apart();
    let seen = Residency::of(&pages).unwrap();
    assert_eq!((seen.pages(), seen.resident_pages(), seen.resident_bytes()), (PAGES, 0, 0));
    for page in [0, 7, PAGES - 1] {
        pages[page * page_size()] = 1;
    }
    let seen = Residency::of(&pages).unwrap();
    assert_eq!((seen.resident_pages(), seen.resident_bytes()), (3, 3 * page_size()));
    assert!(seen.is_resident(7) && !seen.is_resident(8) && seen.is_resident(PAGES - 1));
    // A part of a page is the page.
    assert_eq!(Residency::of(&pages[7 * page_size() + 5..8 * page_size() + 1]).unwrap().pages(), 2);
    let len = pages.len();
    pages.decommit(0..len).unwrap();
    assert_eq!(Residency::of(&pages).unwrap().resident_pages(), 0);
    assert_eq!(Residency::of::<u8>(&[]).unwrap().pages(), 0);
    assert_eq!(Residency::of(&[(); 5]).unwrap().pages(), 0);
    // Whoever allocated it.
    let heap = vec![1_u64; 10_000];
    assert!(Residency::of(&heap).unwrap().resident_bytes() >= 80_000);
    let vec: PageVec<u16> = (0..10_000).collect();
    assert_eq!(Residency::of(&vec).unwrap().resident_pages(), 20_000_usize.div_ceil(page_size()));
}

#[test]
fn a_fork_shares_pages_until_one_side_writes() {
    let _alone = alone();
    let mut pages = apart();
    pages.fill(1);
    let exclusive = |pages: &Mapping| PageStates::of(pages).unwrap().count(|page| page.is_exclusive());
    let states = PageStates::of(&pages).unwrap();
    assert_eq!(states.as_slice().len(), PAGES);
    assert!(states.as_slice().iter().all(|page| page.is_present() && !page.is_swapped() && !page.is_shared_or_file()));
    assert_eq!(exclusive(&pages), PAGES);
    // While the child lives, it shares all but what the parent writes.
    let mut ends = [0; 2];
    // SAFETY: a live pair of descriptors; the child only reads from one.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        let child = libc::fork();
        if child == 0 {
            libc::close(ends[1]);
            let mut byte = 0_u8;
            libc::read(ends[0], (&raw mut byte).cast(), 1);
            libc::_exit(0);
        }
        assert_eq!(exclusive(&pages), 0);
        pages[3 * page_size()] = 2;
        pages[9 * page_size()] = 2;
        assert_eq!(exclusive(&pages), 2);
        assert!(PageStates::of(&pages).unwrap().as_slice()[9].is_exclusive());
        libc::close(ends[1]);
        libc::waitpid(child, &mut 0, 0);
        libc::close(ends[0]);
    }
    assert_eq!(exclusive(&pages), PAGES);
    assert_eq!(in_fork(|| 0), 0);
}

#[test]
fn faults_are_those_of_the_code() {
    let _alone = alone();
    let mut pages = apart();
    let ((), faults) = Faults::measure(|| (0..10).for_each(|page| pages[page * page_size()] = 1));
    assert!((10..14).contains(&faults.minor), "{faults:?}");
    let ((), again) = Faults::measure(|| (0..10).for_each(|page| pages[page * page_size()] = 2));
    assert!(again.minor < 4, "{again:?}");
    // Another thread's are not this one's.
    let (sum, faults) = Faults::measure(|| {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let ones: PageBox<[u8]> = std::iter::repeat_n(1, 1 << 20).collect();
                    ones.iter().map(|&byte| u64::from(byte)).sum::<u64>()
                })
                .join()
                .unwrap()
        })
    });
    assert_eq!(sum, 1 << 20);
    assert!(faults.minor < 100, "{faults:?}");
}

#[test]
fn areas_are_summed() {
    let _alone = alone();
    let mut pages = apart();
    pages[..10 * page_size()].fill(1);
    let seen = Areas::of(&pages).unwrap();
    assert_eq!(
        (seen.resident, seen.dirty, seen.private, seen.swapped),
        (10 * page_size(), 10 * page_size(), 10 * page_size(), 0)
    );
    assert!(seen.count >= 1 && seen.size >= pages.len() && seen.locked == 0 && seen.huge == 0);
    let locked = MapOptions::new().guard_pages(1, 1).lock(Lock::Now).huge_pages(false).map(page_size()).unwrap();
    assert_eq!(Areas::of(&locked).unwrap().locked, page_size());
    assert_eq!(Areas::of::<u8>(&[]).unwrap(), Areas::default());
    if System::now().huge_pages != HugePagePolicy::Never {
        let mut huge = MapOptions::new().huge_pages(true).guard_pages(1, 1).align(2 << 20).map(4 << 20).unwrap();
        huge.fill(1);
        let seen = Areas::of(&huge).unwrap();
        assert!(seen.huge <= 4 << 20 && seen.huge.is_multiple_of(2 << 20), "{seen:?}");
    }
}

#[test]
fn the_system_is_as_its_files_say() {
    let _alone = alone();
    let system = System::now();
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_string());
    assert_eq!(system.page_size, page_size());
    assert_eq!(system.areas.map(|areas| areas.to_string()), read("/proc/sys/vm/max_map_count").ok());
    let overcommit = match system.overcommit {
        Overcommit::Heuristic => "0",
        Overcommit::Always => "1",
        Overcommit::Never => "2",
    };
    assert_eq!(overcommit, read("/proc/sys/vm/overcommit_memory").unwrap());
    assert_eq!(system.processors, std::thread::available_parallelism().unwrap().get());
    for (size, free) in &system.pools {
        let path = format!("/sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages", size / 1024);
        assert!(*free <= read(&path).unwrap().parse().unwrap());
    }
    // A limit shows as soon as it is set.
    let code = in_fork(|| {
        let limit = libc::rlimit { rlim_cur: 1 << 40, rlim_max: 1 << 40 };
        // SAFETY: a live limit.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
        i32::from(System::now().address_space != Some(1 << 40))
    });
    assert_eq!(code, 0);
}
