//! Random sequences of operations on a mapping, beside a model of its bytes, for many sets of options.

mod fork;

use fork::fault_of;
use mapalloc::map::{Advice, Fork, Lock, MapOptions, Mapping};
use mapalloc::page_size;
use procfs::process::Process;
use proptest::prelude::*;
use std::hint::black_box;

const PAGES: usize = 24;

#[derive(Clone, Debug)]
enum Step {
    Write(usize, u8),
    Grow(usize),
    GrowInPlace(usize),
    Shrink(usize),
    Commit(usize),
    Uncommit(usize),
    Decommit(usize, usize),
    Advise(usize, usize, Advice),
    ByRaw,
    Neighbour,
}

/// A length in bytes, often whole pages.
fn len() -> impl Strategy<Value = usize> {
    (0..=PAGES, prop_oneof![3 => Just(0), 1 => 0..page_size()]).prop_map(|(pages, bytes)| pages * page_size() + bytes)
}

fn step() -> impl Strategy<Value = Step> {
    let advice = prop_oneof![
        Just(Advice::DontDump),
        Just(Advice::NoHugePage),
        Just(Advice::HugePage),
        Just(Advice::DontNeed),
        Just(Advice::PopulateWrite),
    ];
    prop_oneof![
        4 => (len(), any::<u8>()).prop_map(|(at, byte)| Step::Write(at, byte)),
        3 => len().prop_map(Step::Grow),
        2 => len().prop_map(Step::GrowInPlace),
        2 => len().prop_map(Step::Shrink),
        2 => len().prop_map(Step::Commit),
        2 => len().prop_map(Step::Uncommit),
        2 => (len(), len()).prop_map(|(a, b)| Step::Decommit(a, b)),
        2 => (len(), len(), advice).prop_map(|(a, b, advice)| Step::Advise(a, b, advice)),
        1 => Just(Step::ByRaw),
        1 => Just(Step::Neighbour),
    ]
}

fn options() -> impl Strategy<Value = MapOptions> {
    let base = (0..3_usize, 0..3_usize, prop_oneof![Just(1_usize), Just(1 << 16), Just(1 << 21)]);
    let lock = prop_oneof![Just(None), Just(Some(Lock::Now)), Just(Some(Lock::OnFault))];
    let fork = prop_oneof![Just(Fork::Copy), Just(Fork::Wipe), Just(Fork::Omit)];
    (base, lock, fork, any::<[bool; 4]>()).prop_map(
        |((before, behind, align), lock, fork, [dump, populate, free, huge])| {
            let options = MapOptions::new().guard_pages(before, behind).align(align).on_fork(fork).dump(dump);
            let options = options.populate(populate).no_reserve(free);
            let options = if huge { options } else { options.huge_pages(false) };
            lock.map_or(options, |lock| options.lock(lock))
        },
    )
}

fn whole(len: usize) -> usize {
    len.next_multiple_of(page_size())
}

/// What every mapping keeps to, whatever was done to it.
fn check(pages: &Mapping, model: &[u8], options: MapOptions) {
    assert_eq!(pages.len(), model.len());
    assert!(**pages == *model, "the contents");
    assert!(pages.len() <= pages.reserved() && pages.reserved().is_multiple_of(page_size()));
    assert_eq!(pages.as_ptr().addr() % pages.align(), 0);
    assert!(pages.granted().missing().is_empty());
    let is_locked = [Lock::Now, Lock::OnFault].into_iter().any(|lock| options.lock(lock) == options);
    let counted = Process::myself().and_then(|me| me.status()).unwrap().vmlck.unwrap();
    assert_eq!(counted, if is_locked { pages.len() as u64 / 1024 } else { 0 }, "{options:?}");
    assert_eq!(pages.granted().guards().is_some(), pages.granted().guard_bytes() != (0, 0), "{options:?}");
}

fn run(options: MapOptions, reserve: bool, first: usize, steps: &[Step]) {
    let first = first.max(1);
    let mut pages = if reserve { options.reserve(first).unwrap() } else { options.map(first).unwrap() };
    let guards = pages.granted().guard_bytes();
    let mut model = vec![0; pages.len()];
    let mut neighbours = Vec::new();
    for step in steps {
        let (len, reserved, start) = (pages.len(), pages.reserved(), pages.as_ptr());
        match *step {
            Step::Write(at, byte) => {
                // Over the end of a page or two, and at the end.
                let ranges = [at.min(len)..(at + 2 * page_size()).min(len), len.saturating_sub(3)..len];
                for range in ranges {
                    pages[range.clone()].fill(byte);
                    model[range].fill(byte);
                }
            }
            Step::Grow(to) => {
                pages.grow(to).unwrap();
                model.resize(len.max(whole(to)), 0);
                assert!(to > reserved || pages.as_ptr() == start, "no move within the reservation");
            }
            Step::GrowInPlace(to) => {
                if pages.grow_in_place(to).is_ok() {
                    model.resize(len.max(whole(to)), 0);
                } else {
                    assert!(to > reserved);
                    model.resize(pages.len(), 0);
                    assert_eq!(pages.reserved(), reserved);
                }
                assert_eq!(pages.as_ptr(), start);
            }
            Step::Shrink(to) => {
                pages.shrink(to).unwrap();
                model.truncate(whole(to.max(1)));
                assert_eq!(pages.reserved(), reserved.min(whole(to.max(1))));
            }
            Step::Commit(to) => {
                assert_eq!(pages.commit(to).is_ok(), to <= reserved);
                if to <= reserved {
                    model.resize(len.max(whole(to)), 0);
                }
            }
            Step::Uncommit(to) => {
                pages.uncommit(to).unwrap();
                model.truncate(whole(to));
            }
            Step::Decommit(from, to) | Step::Advise(from, to, Advice::DontNeed) => {
                let done = if matches!(step, Step::Decommit(..)) {
                    pages.decommit(from..to)
                } else {
                    pages.advise(from..to, Advice::DontNeed)
                };
                assert_eq!(done.is_ok(), from <= to && to <= len);
                if done.is_ok() {
                    model[from..to].fill(0);
                }
            }
            Step::Advise(from, to, advice) => {
                let done = pages.advise(from..to, advice);
                assert!(done.is_err() || (from <= to && to <= len));
            }
            // SAFETY: given up and taken back once.
            Step::ByRaw => pages = unsafe { Mapping::from_raw(pages.into_raw()) },
            Step::Neighbour => neighbours.push(Mapping::new(page_size()).unwrap()),
        }
        check(&pages, &model, options);
    }
    // The ends fault, where there is something beside them that does.
    let end = pages.as_ptr().wrapping_add(pages.len());
    let mut beside = Vec::new();
    if guards.0 > 0 {
        beside.extend([pages.as_ptr().wrapping_sub(1), pages.as_ptr().wrapping_sub(guards.0)]);
    }
    if guards.1 > 0 || pages.len() < pages.reserved() {
        beside.push(end);
    }
    if guards.1 > 0 {
        beside.push(pages.as_ptr().wrapping_add(pages.reserved() + guards.1 - 1));
    }
    for at in beside {
        // SAFETY: a child reads what is there, or faults.
        assert_eq!(fault_of(|| _ = black_box(unsafe { at.read_volatile() })), Some(at.addr()), "{options:?}");
    }
    assert_eq!(pages.granted().guard_bytes(), guards);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mappings_do_as_the_model(
        options in options(),
        reserve in any::<bool>(),
        first in len(),
        steps in prop::collection::vec(step(), 1..30),
    ) {
        run(options, reserve, first, &steps);
    }
}
