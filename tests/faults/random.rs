//! Random sequences of calls, of which some system calls fail at random.

use crate::block::{Block, HEAP};
use mapalloc::faults::{self, Plan, Which};
use mapalloc::map::{Features, Fork, Lock, MapOptions, Mapping};
use mapalloc::{PageVec, page_size};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;

#[derive(Clone, Debug)]
enum Step {
    Alloc { size: usize, align: u32, zeroed: bool },
    Resize { which: usize, size: usize },
    Free { which: usize },
    Purge,
    Make { options: usize, pages: usize },
    Grow { which: usize, pages: usize },
    Shrink { which: usize, pages: usize },
    Commit { which: usize, pages: usize },
    Extend { elements: usize },
    Cut { elements: usize },
}

fn size() -> impl Strategy<Value = usize> {
    let near = |end: usize| end - 8..end + 8;
    prop_oneof![
        3 => 1..2000_usize,
        2 => 1..100_000_usize,
        2 => 1..6_000_000_usize,
        1 => 1..40_000_000_usize,
        1 => near(32 << 10),
        1 => near(1 << 20),
        1 => near(4 << 20),
        1 => near(16 << 20),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let which = || any::<prop::sample::Index>().prop_map(|index| index.index(1 << 16));
    let pages = || 1..40_usize;
    prop_oneof![
        6 => (size(), prop_oneof![4 => 0..5_u32, 1 => 5..22_u32], any::<bool>())
            .prop_map(|(size, align, zeroed)| Step::Alloc { size, align, zeroed }),
        4 => (which(), size()).prop_map(|(which, size)| Step::Resize { which, size }),
        4 => which().prop_map(|which| Step::Free { which }),
        1 => Just(Step::Purge),
        2 => (0..5_usize, pages()).prop_map(|(options, pages)| Step::Make { options, pages }),
        1 => (which(), pages()).prop_map(|(which, pages)| Step::Grow { which, pages }),
        1 => (which(), pages()).prop_map(|(which, pages)| Step::Shrink { which, pages }),
        1 => (which(), pages()).prop_map(|(which, pages)| Step::Commit { which, pages }),
        1 => (1..5000_usize).prop_map(|elements| Step::Extend { elements }),
        1 => (1..5000_usize).prop_map(|elements| Step::Cut { elements }),
    ]
}

const OPTIONS: [MapOptions; 5] = [
    MapOptions::new(),
    MapOptions::new().guard_pages(1, 1),
    MapOptions::new().guard_pages(0, 2).on_fork(Fork::Wipe).dump(false),
    MapOptions::new().on_fork(Fork::Omit).align(1 << 16),
    MapOptions::new().lock(Lock::OnFault).populate(true).best_effort(Features::all()),
];

/// Mappings, each full of one byte.
struct Pages(Vec<(u8, Mapping)>);

impl Pages {
    /// Changes the length to so many pages, or not. The bytes that are there before and after are what they were, but for
    /// those that were to go, which may read zero; new ones are zero.
    fn change(&mut self, which: usize, to: usize, change: impl FnOnce(&mut Mapping, usize)) {
        let (count, to) = (self.0.len().max(1), to * page_size());
        let Some((seed, pages)) = self.0.get_mut(which % count) else { return };
        let before = pages.len();
        change(pages, to);
        let kept = before.min(pages.len());
        let to = to.min(kept);
        assert!(pages[..to].iter().all(|byte| byte == seed), "contents changed");
        assert!(pages[to..kept].iter().all(|byte| byte == seed || *byte == 0), "what stays is neither old nor zero");
        assert!(pages[kept..].iter().all(|&byte| byte == 0), "new bytes are not zero");
        pages.fill(*seed);
    }
}

fn run(steps: &[Step]) {
    let (mut blocks, mut pages, mut vec) = (Vec::<Block>::new(), Pages(Vec::new()), PageVec::<u16>::new());
    for (n, step) in steps.iter().enumerate() {
        let count = blocks.len().max(1);
        match *step {
            Step::Alloc { size, align, zeroed } => blocks.extend(Block::new(size, 1 << align, zeroed, n as u8)),
            Step::Resize { which, size } => {
                if let Some(block) = blocks.get_mut(which % count) {
                    _ = block.resize(size);
                }
            }
            Step::Free { which } if !blocks.is_empty() => blocks.swap_remove(which % count).free(),
            Step::Free { .. } => {}
            Step::Purge => _ = HEAP.purge(),
            Step::Make { options, pages: count } => {
                if let Ok(mut made) = OPTIONS[options].map(count * page_size()) {
                    assert!(made.iter().all(|&byte| byte == 0), "new pages are not zero");
                    made.fill(n as u8);
                    pages.0.push((n as u8, made));
                }
            }
            Step::Grow { which, pages: to } => pages.change(which, to, |pages, to| _ = pages.grow(to)),
            Step::Shrink { which, pages: to } => pages.change(which, to, |pages, to| _ = pages.shrink(to)),
            Step::Commit { which, pages: to } => pages.change(which, to, |pages, to| {
                _ = if to < pages.len() { pages.uncommit(to) } else { pages.grow_in_place(to) };
            }),
            Step::Extend { elements } => {
                let len = vec.len();
                if vec.try_reserve(elements).is_ok() {
                    vec.extend((len..len + elements).map(|element| element as u16));
                }
            }
            Step::Cut { elements } => {
                vec.truncate(vec.len().saturating_sub(elements));
                vec.shrink_to_fit();
            }
        }
        blocks.iter().for_each(Block::check);
        assert!(vec.iter().zip(0..).all(|(&element, n): (_, usize)| element == n as u16), "elements changed");
    }
    blocks.into_iter().for_each(Block::free);
}

/// What is live on each route. A sequence that panics leaves something.
fn live() -> [(usize, usize); 4] {
    let stats = HEAP.stats();
    [stats.fallback, stats.slab, stats.run, stats.large].map(|route| (route.live, route.live_bytes))
}

/// So many random sequences, each with its own share of failing calls.
pub(crate) fn sequences(cases: u32) {
    // The engine is set up where nothing fails.
    Block::new(100, 8, false, 1).expect("memory").free();
    let failed = Cell::new(0);
    let steps = prop::collection::vec(step(), 1..60);
    let strategy = (steps, 1..40_u64, any::<u64>(), prop::sample::select(&crate::ERRNOS[..]));
    let mut config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    config.max_shrink_iters = 2000;
    let outcome = TestRunner::new(config).run(&strategy, |(steps, one_in, seed, errno)| {
        let before = live();
        faults::set(Plan { this_thread: true, ..Plan::new(Which::OneIn(one_in, seed), errno) });
        let outcome = std::panic::catch_unwind(|| run(&steps));
        faults::clear();
        failed.set(failed.get() + u32::from(faults::Call::ALL.iter().any(|&call| faults::failed(call) > 0)));
        prop_assert!(outcome.is_ok());
        HEAP.purge();
        prop_assert_eq!(live(), before);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let failed = failed.get();
    assert!(failed * 2 > cases, "calls failed in {failed} of {cases} cases only");
}
