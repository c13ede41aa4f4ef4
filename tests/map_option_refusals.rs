//! An option that the kernel refuses is an error or a note, and leaves nothing behind.

#[path = "global/child.rs"]
mod child;
mod fork;
mod options;
mod process;

use child::in_child;
use fork::alone_in_fork;
use mapalloc::map::{Features, Fork, Lock, MapOptions, Numa};
use mapalloc::{Error, Operation, PageVec, page_size};
use options::{Holder, NONE, each};
use process::{Call, any_flags, areas, flags, limit_locking, locked, mappings, refuse, wall};
use procfs::process::VmFlags;

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
