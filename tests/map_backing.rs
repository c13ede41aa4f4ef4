//! Names, NUMA nodes and huge pages of mappings, vectors and boxes.

#[path = "global/child.rs"]
mod child;
mod fork;
mod options;
mod process;

use child::in_child;
use mapalloc::map::{Backing, Features, Numa};
use mapalloc::{Operation, PageVec, page_size};
use options::{Holder, NONE, assert_flags, assert_guards, each};
use process::flags;
use procfs::process::VmFlags;
use std::fs::File;

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
