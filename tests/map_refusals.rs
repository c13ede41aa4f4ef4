//! What refusals leave behind: at the limits of a process, and where a child of `fork` has no pages.

#[path = "global/child.rs"]
mod child;
mod fork;
mod process;

use child::in_child;
use fork::{fault_of, in_fork};
use mapalloc::map::{Backing, Features, Fork, Lock, MapOptions, Mapping};
use mapalloc::{Operation, PageBox, PageVec, page_size};
use process::limit_locking;
use procfs::process::{MemoryMap, Process, VmFlags};
use std::fs;
use std::sync::Mutex;

/// The kernel's area with this address in it.
fn area_at(address: *const u8) -> Option<MemoryMap> {
    let address = address.addr() as u64;
    let maps = Process::myself().and_then(|me| me.smaps()).expect("/proc/self/smaps");
    maps.into_iter().find(|map| (map.address.0..map.address.1).contains(&address))
}

fn is_locked(address: *const u8) -> bool {
    area_at(address).expect("mapped").extension.vm_flags.contains(VmFlags::LO)
}

/// Something right behind a mapping, so that it cannot grow where it is.
fn block_growth_of(pages: &Mapping) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: replaces nothing; the page stays as long as the process.
    unsafe {
        libc::mmap(pages.as_ptr().wrapping_add(pages.reserved()).cast_mut().cast(), page_size(), 0, flags, -1, 0)
    };
}

#[test]
fn locked_pages_stay_locked_when_their_growth_is_refused() {
    in_child(concat!(module_path!(), "::locked_pages_stay_locked_when_their_growth_is_refused"), || {
        limit_locking(5 << 20);
        let all = [
            (MapOptions::new().lock(Lock::Now), 4 << 20),
            (MapOptions::new().lock(Lock::Now).align(1 << 16), 4 << 20),
            (MapOptions::new().lock(Lock::OnFault).align(1 << 21), 4 << 20),
            (MapOptions::new().lock(Lock::Now), 1 << 20),
        ];
        for (options, len) in all {
            let mut pages = options.huge_pages(false).map(len).unwrap();
            pages.fill(7);
            assert!(is_locked(pages.as_ptr()));
            block_growth_of(&pages);
            pages.grow(16 << 20).unwrap_err();
            assert_eq!(pages.len(), len);
            assert!(pages.iter().all(|&byte| byte == 7));
            assert!(is_locked(pages.as_ptr()), "{options:?}");
            assert_eq!(pages.granted().missing(), Features::empty());

            // Who can do without the lock is told so.
            drop(pages);
            let mut pages = options.huge_pages(false).best_effort(Features::LOCK).map(len).unwrap();
            pages.fill(8);
            block_growth_of(&pages);
            pages.grow(16 << 20).unwrap();
            assert!(pages[..len].iter().all(|&byte| byte == 8) && pages[len..].iter().all(|&byte| byte == 0));
            assert_eq!(is_locked(pages.as_ptr()), pages.granted().missing().is_empty(), "{options:?}");
        }
    });
}

/// What the process has locked, by the kernel's count, in kilobytes.
fn locked_kilobytes() -> u64 {
    Process::myself().and_then(|me| me.status()).unwrap().vmlck.unwrap()
}

#[test]
fn growth_that_moves_locked_pages_counts_them_once() {
    in_child(concat!(module_path!(), "::growth_that_moves_locked_pages_counts_them_once"), || {
        for lock in [Lock::Now, Lock::OnFault] {
            for (align, len) in [(1, 1 << 20), (1, 4 << 20), (1 << 16, 1 << 20), (1 << 21, 4 << 20)] {
                let before = locked_kilobytes();
                let options = MapOptions::new().lock(lock).align(align);
                let (whole, mut part) = (options.map(len).unwrap(), options.reserve(len).unwrap());
                part.commit(len / 2).unwrap();
                for mut pages in [whole, part] {
                    let others = locked_kilobytes() - pages.len() as u64 / 1024;
                    pages.fill(7);
                    let filled = pages.len();
                    block_growth_of(&pages);
                    pages.grow(2 * len).unwrap();
                    assert!(is_locked(pages.as_ptr()) && is_locked(pages.as_ptr().wrapping_add(pages.len() - 1)));
                    assert!(pages[..filled].iter().all(|&byte| byte == 7));
                    assert!(pages[filled..].iter().all(|&byte| byte == 0));
                    assert_eq!(pages.as_ptr().addr() % align, 0);
                    assert_eq!(locked_kilobytes() - others, pages.len() as u64 / 1024, "{lock:?}, {align}, {len}");
                }
                assert_eq!(locked_kilobytes(), before, "{lock:?}, {align}, {len}");
            }
        }
    });
}

#[test]
fn what_is_not_usable_is_not_counted_as_locked() {
    in_child(concat!(module_path!(), "::what_is_not_usable_is_not_counted_as_locked"), || {
        let page = page_size();
        let counted = |pages: usize| assert_eq!(locked_kilobytes(), (pages * page / 1024) as u64, "{pages} pages");
        let options = MapOptions::new().lock(Lock::Now);
        let mut guarded = options.guard_pages(1, 1).map(9 * page).unwrap();
        counted(9);
        for len in [8, 3, 1] {
            guarded.shrink(len * page).unwrap();
            counted(len);
        }
        drop(guarded);
        let mut vec = PageVec::try_with_reserved(100 * page, options).unwrap();
        vec.resize(50 * page, 1_u8);
        counted(50);
        vec.truncate(1);
        vec.shrink_to_fit();
        counted(1);
        drop(vec);
        counted(0);
    });
}

#[test]
fn pages_that_are_not_charged_grow_past_the_memory_there_is() {
    in_child(concat!(module_path!(), "::pages_that_are_not_charged_grow_past_the_memory_there_is"), || {
        if fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap().trim() == "2" {
            println!("overcommit is strict: everything is charged");
            return;
        }
        let memory = procfs_total();
        for align in [1, 1 << 21] {
            let options = MapOptions::new().no_reserve(true).align(align);
            let mut pages = options.map(2 * memory).unwrap();
            pages[1] = 7;
            block_growth_of(&pages);
            pages.grow(3 * memory).unwrap();
            assert_eq!((pages[1], pages[3 * memory - 1]), (7, 0));
        }
    });
}

/// Memory and swap of the system in bytes.
fn procfs_total() -> usize {
    let info = fs::read_to_string("/proc/meminfo").unwrap();
    let kilobytes = |key: &str| -> usize {
        info.lines().find(|line| line.starts_with(key)).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    ((kilobytes("MemTotal:") + kilobytes("SwapTotal:")) << 10).next_multiple_of(2 << 20)
}

/// All areas that the kernel allows a process, until it is dropped. Meanwhile the C library may get no memory either.
struct AllAreas(*mut libc::c_void, usize);

impl AllAreas {
    /// All but so many, or `None` where the limit is too far away.
    fn but(spare: usize) -> Option<Self> {
        let most: usize = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        if most > 200_000 {
            println!("vm.max_map_count is {most}: too many to try");
            return None;
        }
        let page = page_size();
        let len = (most + 8) * 2 * page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: new pages, which only this value knows of.
        unsafe {
            let base = libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(base, libc::MAP_FAILED);
            let stripe = |n: usize| base.byte_add((2 * n + 1) * page);
            let mut stripes = 0;
            while libc::mprotect(stripe(stripes), page, libc::PROT_READ) == 0 {
                stripes += 1;
            }
            // Each gives two back.
            for n in 1..=spare.div_ceil(2) {
                libc::mprotect(stripe(stripes - n), page, libc::PROT_NONE);
            }
            Some(Self(base, len))
        }
    }
}

impl Drop for AllAreas {
    fn drop(&mut self) {
        // SAFETY: the value's own pages.
        unsafe { libc::munmap(self.0, self.1) };
    }
}

#[test]
fn locked_memory_goes_back_where_a_split_is_refused() {
    in_child(concat!(module_path!(), "::locked_memory_goes_back_where_a_split_is_refused"), || {
        let options = MapOptions::new().lock(Lock::Now).huge_pages(false);
        let len = 1 << 20;
        let mut made: Vec<Mapping> = (0..9).map(|_| options.map(len).unwrap()).collect();
        made.iter_mut().for_each(|pages| pages.fill(7));
        made.sort_by_key(|pages| pages.as_ptr());
        let Some(at) = made.windows(3).position(|three| {
            three[1].as_ptr().addr() - three[0].as_ptr().addr() == len
                && three[2].as_ptr().addr() - three[1].as_ptr().addr() == len
        }) else {
            println!("no three mappings are neighbours");
            return;
        };
        let place = made[at + 1].as_ptr();
        let Some(all) = AllAreas::but(0) else { return };
        drop(made.remove(at + 1));
        let mut resident = [0_u8; 1 << 8];
        // SAFETY: the kernel writes a byte for each page, if the pages are mapped.
        let answer = unsafe { libc::mincore(place.cast_mut().cast(), len, resident.as_mut_ptr()) };
        drop(all);
        assert!(answer != 0 || resident[..len / page_size()].iter().all(|&page| page & 1 == 0), "the memory stays");
    });
}

#[test]
fn guards_can_be_done_without() {
    in_child(concat!(module_path!(), "::guards_can_be_done_without"), || {
        // Children that find zeros have guards that are areas of their own.
        let options = MapOptions::new().guard_pages(1, 1).on_fork(Fork::Wipe);
        let Some(all) = AllAreas::but(4) else { return };
        // Every number of areas that are left, down to too few for the guards.
        let mut made: [_; 8] = std::array::from_fn(|_| None);
        for slot in &mut made {
            let strict = options.map(page_size()).map(drop);
            *slot = Some((strict, options.best_effort(Features::GUARDS).map(page_size())));
        }
        drop(all);
        let mut refused = 0;
        for (strict, lenient) in made.into_iter().flatten() {
            match lenient {
                Ok(pages) => {
                    let missing = pages.granted().missing().contains(Features::GUARDS);
                    assert_eq!(strict.is_err(), missing, "{strict:?}");
                    assert_eq!(pages.granted().guards().is_none(), missing);
                    assert_eq!(pages.granted().guard_bytes() == (0, 0), missing);
                    refused += usize::from(missing);
                }
                Err(error) => assert!(strict.is_err() && error.operation() == Operation::Map, "{error}"),
            }
        }
        assert!(refused > 0, "guards were never refused");
    });
}

/// A vector of this seed's bytes, grown step by step if it is to be moved about.
fn bytes_of(seed: u8, len: usize, options: Option<MapOptions>, grows: bool) -> Option<PageVec<u8>> {
    let first = if grows { 1 } else { len };
    let mut vec = match options {
        Some(options) => PageVec::with_options(first, options).ok()?,
        None => PageVec::with_capacity(first),
    };
    while vec.len() < len {
        let room = (vec.len() + page_size()).min(len);
        vec.try_reserve_exact(room - vec.len()).ok()?;
        vec.resize(room, seed);
    }
    // Whole pages, and none that belong to something else.
    (vec.capacity() == len.next_multiple_of(page_size())).then_some(vec)
}

#[test]
fn what_a_child_makes_is_not_taken_for_what_it_does_not_have() {
    in_child(concat!(module_path!(), "::what_a_child_makes_is_not_taken_for_what_it_does_not_have"), || {
        let page = page_size();
        let sizes = [page, 16 * page, 3 * page];
        let omit = MapOptions::new().on_fork(Fork::Omit);
        let mut omitted: Vec<_> = (0..24).map(|n| bytes_of(1, sizes[n % 3], Some(omit), false)).collect();
        let mut copied: Vec<_> =
            (0..24).map(|n| bytes_of(n, 5 * page, Some(omit.on_fork(Fork::Copy).dump(false)), true)).collect();
        let code = in_fork(|| {
            let mut made = Vec::new();
            for n in 0..300 {
                let options =
                    [None, Some(MapOptions::new().dump(false)), Some(omit), Some(omit.guard_pages(1, 1))][n % 4];
                let Some(vec) = bytes_of(n as u8, sizes[n / 4 % 3], options, n / 12 % 2 == 0) else { return 1 };
                if vec.granted().guards().is_some() != options.is_some_and(|options| options == omit.guard_pages(1, 1))
                {
                    return 2;
                }
                made.push((n as u8, vec));
                // What is dropped meanwhile takes nothing with it that was made meanwhile.
                if n % 10 == 0 {
                    omitted.pop();
                }
                if n % 7 == 0 {
                    made.swap_remove(n / 2 % made.len());
                }
            }
            drop(omitted);
            for (seed, vec) in &mut made {
                vec.push(*seed);
                if vec.clone().iter().any(|byte| byte != seed) {
                    return 3;
                }
            }
            for (seed, vec) in copied.iter_mut().enumerate() {
                let Some(vec) = vec else { return 4 };
                vec.resize(40 * page, seed as u8);
                if vec.iter().any(|&byte| byte != seed as u8) {
                    return 5;
                }
            }
            0
        });
        assert_eq!(code, 0);
    });
}

#[test]
fn a_child_that_may_have_little_takes_nothing_for_what_it_does_not_have() {
    in_child(concat!(module_path!(), "::a_child_that_may_have_little_takes_nothing_for_what_it_does_not_have"), || {
        let (page, len) = (page_size(), 64 << 20);
        let omitted = PageVec::<u8>::with_options(len, MapOptions::new().on_fork(Fork::Omit)).unwrap();
        // The parent has more than it could get; the child has less, and room for more.
        let data = Process::myself().and_then(|me| me.status()).unwrap().vmdata.unwrap() << 10;
        let limit = data - len as u64 / 2;
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
        // SAFETY: a live limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) }, 0);
        let code = in_fork(|| {
            // Addresses, which no limit on data refuses, until the kernel offers those of the place, from its end on.
            let next = omitted.as_ptr().wrapping_add(16 * page);
            for _ in 0..8000 {
                let taken = std::mem::ManuallyDrop::new(PageVec::<u8>::with_reserved(16 * page));
                if taken.as_ptr() == next {
                    break;
                }
            }
            for _ in 0..2000 {
                let vec = std::mem::ManuallyDrop::new(PageVec::<u8>::with_capacity(page));
                if vec.capacity() != page {
                    return 1;
                }
            }
            0
        });
        assert_eq!(code, 0);
        drop(omitted);
    });
}

#[test]
fn a_child_drops_what_it_does_not_have() {
    let boxed = PageBox::with_options([1_u8; 100], MapOptions::new().on_fork(Fork::Omit)).unwrap();
    assert_eq!(fault_of(|| drop(boxed)), None);
}

const HUGE: usize = 2 << 20;
const LADDER: &[Backing] = &[Backing::HugeTlb(HUGE), Backing::System];

/// The tests that look at the pool of huge pages, one at a time.
static POOL: Mutex<()> = Mutex::new(());

#[test]
fn huge_pages_that_are_granted_are_there() {
    let _alone = POOL.lock();
    // More than the pool has, whatever it has.
    let info = fs::read_to_string("/proc/meminfo").unwrap();
    let free = info.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    let len = (free.map_or(0, |free| free.trim().parse().unwrap()) + 2) * HUGE;
    for no_reserve in [false, true] {
        let mut pages = MapOptions::new().backing(LADDER).no_reserve(no_reserve).map(len).unwrap();
        assert_eq!(pages.granted().backing(), Backing::System, "{len} bytes are not there");
        assert_eq!(fault_of(|| pages[len - 1] = 1), None);
    }
}

/// The pool of huge pages for the time of a test, with some more in it, and how many it had.
struct Pool(u32);

impl Pool {
    const FILE: &str = "/proc/sys/vm/nr_hugepages";

    fn with(pages: u32) -> Option<Self> {
        let count = || fs::read_to_string(Self::FILE).ok()?.trim().parse::<u32>().ok();
        let before = count()?;
        let pool = Self(before);
        fs::write(Self::FILE, (before + pages).to_string()).ok()?;
        (count()? >= before + pages).then_some(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        _ = fs::write(Self::FILE, self.0.to_string());
    }
}

#[test]
fn huge_pages_that_cannot_have_an_option_are_passed_over() {
    let _alone = POOL.lock();
    let Some(_pool) = Pool::with(4) else {
        println!("no pool of huge pages can be made here");
        return;
    };
    let got = |options: MapOptions| options.backing(LADDER).map(1).map(|pages| pages.granted().backing());
    let named = MapOptions::new().name(c"frames");
    if named.map(1).is_ok() {
        assert_eq!(got(named), Ok(Backing::System));
    }
    assert_eq!(got(MapOptions::new().on_fork(Fork::Wipe)), Ok(Backing::System));
    let error = MapOptions::new().on_fork(Fork::Wipe).backing(&[Backing::HugeTlb(HUGE)]).map(1).unwrap_err();
    assert_eq!(error.operation(), Operation::Advise, "{error}");
    // One that is best effort is no reason.
    let lenient = MapOptions::new().on_fork(Fork::Wipe).best_effort(Features::FORK).backing(LADDER).map(1).unwrap();
    let granted = lenient.granted();
    assert_eq!((granted.backing(), granted.missing()), (Backing::HugeTlb(HUGE), Features::FORK));
    assert_eq!(got(MapOptions::new().on_fork(Fork::Omit).lock(Lock::Now).dump(false)), Ok(Backing::HugeTlb(HUGE)));
}
