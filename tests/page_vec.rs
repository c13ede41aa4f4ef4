//! `PageVec` against `Vec`: the same operations, the same panics in the same places, the same elements and the same drops.

mod common;

use common::{Item, Ledger, panicked_in, quietly};
use mapalloc::{PageVec, page_size};
use proptest::prelude::*;
use std::cell::Cell;
use std::ops::Bound;
use std::rc::Rc;

#[derive(Clone, Debug)]
enum Op {
    Push(u32),
    Pop,
    Insert(usize, u32),
    Remove(usize),
    SwapRemove(usize),
    Truncate(usize),
    Clear,
    Resize(usize, u32),
    ResizeWith(usize),
    ExtendFromSlice(usize),
    ExtendFromWithin(Bound<usize>, Bound<usize>),
    Extend { count: usize, hint: usize },
    Drain { from: Bound<usize>, to: Bound<usize>, front: usize, back: usize, forget: bool },
    Splice { from: Bound<usize>, to: Bound<usize>, front: usize, back: usize, count: usize, hint: usize, forget: bool },
    ExtractIf { from: Bound<usize>, to: Bound<usize>, divisor: u32, taken: usize, forget: bool },
    PopIf(u32),
    Retain(u32),
    RetainMut(u32),
    DedupByKey(u32),
    Dedup,
    Append(usize),
    SplitOff(usize),
    Clone,
    CloneFrom(usize),
    Reserve(usize),
    ReserveExact(usize),
    ShrinkTo(usize),
    ShrinkToFit,
    IntoIter { front: usize, back: usize, skipped: usize },
    Boxed,
    RawParts,
    Collect,
}

fn index() -> impl Strategy<Value = usize> {
    0..40_usize
}

fn bound() -> impl Strategy<Value = Bound<usize>> {
    prop_oneof![index().prop_map(Bound::Included), index().prop_map(Bound::Excluded), Just(Bound::Unbounded)]
}

fn op() -> impl Strategy<Value = Op> {
    let value = || 0..8_u32;
    prop_oneof![
        4 => value().prop_map(Op::Push),
        1 => Just(Op::Pop),
        2 => (index(), value()).prop_map(|(i, v)| Op::Insert(i, v)),
        1 => index().prop_map(Op::Remove),
        1 => index().prop_map(Op::SwapRemove),
        1 => index().prop_map(Op::Truncate),
        1 => Just(Op::Clear),
        2 => (index(), value()).prop_map(|(n, v)| Op::Resize(n, v)),
        2 => index().prop_map(Op::ResizeWith),
        2 => index().prop_map(Op::ExtendFromSlice),
        2 => (bound(), bound()).prop_map(|(from, to)| Op::ExtendFromWithin(from, to)),
        2 => (index(), index()).prop_map(|(count, hint)| Op::Extend { count, hint }),
        3 => (bound(), bound(), 0..5_usize, 0..5_usize, prop::bool::weighted(0.1))
            .prop_map(|(from, to, front, back, forget)| Op::Drain { from, to, front, back, forget }),
        4 => (bound(), bound(), 0..5_usize, 0..5_usize, index(), index(), prop::bool::weighted(0.1)).prop_map(
            |(from, to, front, back, count, hint, forget)| Op::Splice { from, to, front, back, count, hint, forget }
        ),
        3 => (bound(), bound(), value(), index(), prop::bool::weighted(0.1))
            .prop_map(|(from, to, divisor, taken, forget)| Op::ExtractIf { from, to, divisor, taken, forget }),
        1 => value().prop_map(Op::PopIf),
        2 => value().prop_map(Op::Retain),
        1 => value().prop_map(Op::RetainMut),
        1 => value().prop_map(Op::DedupByKey),
        2 => Just(Op::Dedup),
        1 => index().prop_map(Op::Append),
        1 => index().prop_map(Op::SplitOff),
        1 => Just(Op::Clone),
        1 => index().prop_map(Op::CloneFrom),
        1 => index().prop_map(Op::Reserve),
        1 => index().prop_map(Op::ReserveExact),
        1 => index().prop_map(Op::ShrinkTo),
        1 => Just(Op::ShrinkToFit),
        1 => (0..5_usize, 0..5_usize, 0..5_usize)
            .prop_map(|(front, back, skipped)| Op::IntoIter { front, back, skipped }),
        1 => Just(Op::Boxed),
        1 => Just(Op::RawParts),
        1 => Just(Op::Collect),
    ]
}

/// New elements, from an iterator whose every step may panic and whose size hint need not be true.
struct Source<'a, P> {
    ledger: &'a Rc<Ledger>,
    pad: P,
    left: usize,
    hint: usize,
}

impl<P: Copy> Iterator for Source<'_, P> {
    type Item = Item<P>;

    fn next(&mut self) -> Option<Item<P>> {
        self.ledger.tick();
        self.left = self.left.checked_sub(1)?;
        Some(Item::new(self.ledger, self.left as u32 % 8, self.pad))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.hint, None)
    }
}

/// The same code for both vectors: only the name of the type differs.
macro_rules! apply_to {
    ($apply:ident, $Vec:ident) => {
        fn $apply<P: Copy>(vec: &mut $Vec<Item<P>>, ledger: &Rc<Ledger>, pad: P, op: &Op) -> Vec<u32> {
            let item = |value| Item::new(ledger, value, pad);
            let items = |count: usize| (0..count as u32).map(|n| item(n % 8)).collect::<$Vec<_>>();
            let mut seen = Vec::new();
            match *op {
                Op::Push(value) => vec.push(item(value)),
                Op::Pop => seen.extend(vec.pop().map(|item| item.value)),
                Op::Insert(at, value) => vec.insert(at, item(value)),
                Op::Remove(at) => seen.push(vec.remove(at).value),
                Op::SwapRemove(at) => seen.push(vec.swap_remove(at).value),
                Op::Truncate(len) => vec.truncate(len),
                Op::Clear => vec.clear(),
                Op::Resize(len, value) => vec.resize(len, item(value)),
                Op::ResizeWith(len) => vec.resize_with(len, || {
                    ledger.tick();
                    item(1)
                }),
                Op::ExtendFromSlice(count) => vec.extend_from_slice(&items(count)),
                Op::ExtendFromWithin(from, to) => vec.extend_from_within((from, to)),
                Op::Extend { count, hint } => vec.extend(Source { ledger, pad, left: count, hint }),
                Op::Drain { from, to, front, back, forget } => {
                    let mut drain = vec.drain((from, to));
                    seen.extend(drain.as_slice().iter().map(|item| item.value));
                    seen.extend(drain.by_ref().take(front).map(|item| item.value));
                    seen.extend(drain.by_ref().rev().take(back).map(|item| item.value));
                    seen.push(drain.len() as u32);
                    // Leaks the elements, which the interpreter of the tests would hold against them.
                    if forget && !cfg!(miri) {
                        std::mem::forget(drain);
                    }
                }
                Op::Splice { from, to, front, back, count, hint, forget } => {
                    let mut splice = vec.splice((from, to), Source { ledger, pad, left: count, hint });
                    seen.extend(splice.by_ref().take(front).map(|item| item.value));
                    seen.extend(splice.by_ref().rev().take(back).map(|item| item.value));
                    seen.push(splice.len() as u32);
                    if forget && !cfg!(miri) {
                        std::mem::forget(splice);
                    }
                }
                Op::ExtractIf { from, to, divisor, taken, forget } => {
                    let mut extract = vec.extract_if((from, to), |item| {
                        ledger.tick();
                        item.value % (divisor + 1) == 0
                    });
                    seen.extend(extract.by_ref().take(taken).map(|item| item.value));
                    seen.push(extract.size_hint().1.expect("an upper bound") as u32);
                    if forget && !cfg!(miri) {
                        std::mem::forget(extract);
                    }
                }
                Op::PopIf(value) => seen.extend(
                    vec.pop_if(|item| {
                        ledger.tick();
                        item.value > value
                    })
                    .map(|item| item.value),
                ),
                Op::Retain(value) => vec.retain(|item| {
                    ledger.tick();
                    item.value > value
                }),
                Op::RetainMut(value) => vec.retain_mut(|item| {
                    ledger.tick();
                    item.value += 1;
                    item.value != value
                }),
                Op::DedupByKey(divisor) => vec.dedup_by_key(|item| {
                    ledger.tick();
                    item.value / (divisor + 1)
                }),
                Op::Dedup => vec.dedup(),
                Op::Append(count) => {
                    let mut other = items(count);
                    vec.append(&mut other);
                    seen.push(other.len() as u32);
                }
                Op::SplitOff(at) => {
                    let tail = vec.split_off(at);
                    seen.extend(tail.iter().map(|item| item.value));
                }
                Op::Clone => *vec = vec.clone(),
                Op::CloneFrom(count) => vec.clone_from(&items(count)),
                Op::Reserve(count) => vec.reserve(count),
                Op::ReserveExact(count) => vec.reserve_exact(count),
                Op::ShrinkTo(capacity) => vec.shrink_to(capacity),
                Op::ShrinkToFit => vec.shrink_to_fit(),
                Op::IntoIter { front, back, skipped } => {
                    let mut iter = std::mem::take(vec).into_iter();
                    seen.extend(iter.by_ref().take(front).map(|item| item.value));
                    seen.extend(iter.by_ref().rev().take(back).map(|item| item.value));
                    seen.extend(iter.nth(skipped).map(|item| item.value));
                    seen.extend(iter.nth_back(skipped).map(|item| item.value));
                    *vec = iter.clone().collect();
                    seen.push(iter.count() as u32);
                }
                Op::Boxed => *vec = std::mem::take(vec).into_boxed_slice().into(),
                Op::RawParts => {
                    let mut old = std::mem::ManuallyDrop::new(std::mem::take(vec));
                    // SAFETY: the parts of a vector that is given up.
                    *vec = unsafe { $Vec::from_raw_parts(old.as_mut_ptr(), old.len(), old.capacity()) };
                }
                Op::Collect => *vec = std::mem::take(vec).into_iter().collect(),
            }
            seen
        }
    };
}

apply_to!(apply_to_model, Vec);
apply_to!(apply_to_pages, PageVec);

fn compare<P: Copy>(pad: P, ops: &[(Op, Option<u32>)]) -> Result<(), TestCaseError> {
    let (model_ledger, ledger) = (Ledger::new(), Ledger::new());
    let (mut model, mut vec) = (Vec::new(), PageVec::new());
    for (op, fuse) in ops {
        model_ledger.arm(*fuse);
        ledger.arm(*fuse);
        let expected = quietly(|| apply_to_model(&mut model, &model_ledger, pad, op));
        let result = quietly(|| apply_to_pages(&mut vec, &ledger, pad, op));
        model_ledger.arm(None);
        ledger.arm(None);
        prop_assert_eq!(result.as_ref().ok(), expected.as_ref().ok(), "what {:?} gave, fuse {:?}", op, fuse);
        let values = vec.iter().map(|item| item.value).collect::<Vec<_>>();
        prop_assert_eq!(
            &values,
            &model.iter().map(|item| item.value).collect::<Vec<_>>(),
            "after {:?}, fuse {:?}",
            op,
            fuse
        );
        prop_assert_eq!(ledger.live(), model_ledger.live(), "live after {:?}, fuse {:?}", op, fuse);
        prop_assert!(vec.capacity() >= vec.len());
        if vec.capacity() > 0 {
            prop_assert_eq!(vec.as_ptr().addr() % page_size().max(align_of::<Item<P>>()), 0);
        }
    }
    let leaked = ledger.live() - vec.len();
    drop(vec);
    prop_assert_eq!(ledger.live(), leaked, "the vector drops what it holds, once");
    Ok(())
}

fn ops() -> impl Strategy<Value = Vec<(Op, Option<u32>)>> {
    prop::collection::vec((op(), prop::option::weighted(0.3, 0..60_u32)), 1..40)
}

fn config() -> ProptestConfig {
    let cases = if cfg!(miri) { 4 } else { 400 };
    // Files of old failures are of no use to a machine that has none, and Miri cannot read the working directory.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[derive(Clone, Copy)]
#[repr(align(16384))]
struct Wide;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn small_elements_behave_as_in_vec(ops in ops()) {
        compare((), &ops)?;
    }

    #[test]
    fn elements_larger_than_a_page_behave_as_in_vec(ops in ops()) {
        compare([7_u8; 4999], &ops)?;
    }

    #[test]
    #[cfg_attr(miri, ignore = "large copies are slow there")]
    fn elements_aligned_past_a_page_behave_as_in_vec(ops in ops()) {
        compare(Wide, &ops)?;
    }
}

thread_local! {
    static MADE: Cell<u32> = const { Cell::new(0) };
    static DROPPED: Cell<u32> = const { Cell::new(0) };
}

/// An element without a size.
#[derive(PartialEq, Debug)]
struct Nothing(());

impl Nothing {
    fn new() -> Self {
        MADE.set(MADE.get() + 1);
        Self(())
    }
}

impl Clone for Nothing {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Drop for Nothing {
    fn drop(&mut self) {
        DROPPED.set(DROPPED.get() + 1);
    }
}

macro_rules! trace_of_nothing {
    ($Vec:ident) => {{
        MADE.set(0);
        DROPPED.set(0);
        let mut trace = Vec::new();
        let mut vec = $Vec::new();
        macro_rules! step {
            ($run:expr) => {{
                let _ = $run;
                trace.push((vec.len(), vec.capacity(), MADE.get(), DROPPED.get()));
            }};
        }
        step!(vec.push(Nothing::new()));
        step!(vec.resize(100, Nothing::new()));
        step!(vec.extend_from_within(10..20));
        step!(vec.insert(5, Nothing::new()));
        step!(vec.remove(0));
        step!(vec.swap_remove(7));
        step!(vec.drain(10..50).nth(3));
        let mut odd = false;
        step!(vec.retain(|_| {
            odd = !odd;
            odd
        }));
        step!(vec.split_off(20));
        step!(vec.splice(3..9, (0..20).map(|_| Nothing::new())).nth(2));
        step!(vec.extract_if(2..15, |_| MADE.get() % 2 == 0).nth(4));
        step!(vec.pop_if(|_| true));
        step!(vec.shrink_to_fit());
        step!(vec.extend((0..9).map(|_| Nothing::new())));
        step!(vec = vec.clone());
        step!(vec = vec.into_boxed_slice().into());
        let mut iter = vec.into_iter();
        iter.next_back();
        vec = iter.collect();
        step!(vec.dedup());
        step!(vec.pop());
        drop(vec);
        trace.push((0, 0, MADE.get(), DROPPED.get()));
        trace
    }};
}

#[test]
fn elements_without_a_size_behave_as_in_vec() {
    let expected = trace_of_nothing!(Vec);
    assert_eq!(trace_of_nothing!(PageVec), expected);
    assert_eq!(MADE.get(), DROPPED.get());
    let full = PageVec::<()>::from(vec![(); usize::MAX]);
    assert_eq!(full.len(), usize::MAX);
    assert!(quietly(|| { full }.push(())).is_err());
}

/// The panics of both vectors, with their messages.
macro_rules! messages {
    ($Vec:ident) => {{
        let three = || $Vec::from([1_u64, 2, 3]);
        let runs: Vec<Box<dyn Fn()>> = vec![
            Box::new(move || three().insert(4, 0)),
            Box::new(move || _ = three().remove(3)),
            Box::new(move || _ = three().swap_remove(3)),
            Box::new(move || _ = three().split_off(4)),
            Box::new(move || _ = three()[3]),
            Box::new(move || _ = three().drain(2..5)),
            Box::new(move || _ = three().drain(4..)),
            Box::new(move || _ = three().drain((Bound::Included(2), Bound::Excluded(1)))),
            Box::new(move || three().extend_from_within(..9)),
            Box::new(move || three().reserve(usize::MAX)),
            Box::new(move || three().reserve(usize::MAX / 16 + 1)),
            Box::new(move || three().reserve_exact(usize::MAX - 1)),
            Box::new(move || three().resize(usize::MAX, 0)),
            Box::new(|| _ = $Vec::<u64>::with_capacity(usize::MAX)),
            Box::new(|| _ = $Vec::<u8>::with_capacity(isize::MAX as usize + 1)),
            Box::new(|| $Vec::new().extend(Liar(3))),
            Box::new(|| _ = $Vec::from_iter(Liar(3))),
        ];
        runs.iter().map(|run| (panic_message(run), panicked_in())).unzip::<_, _, Vec<_>, Vec<_>>()
    }};
}

/// An iterator that promises more elements than can be, and has three.
struct Liar(u64);

impl Iterator for Liar {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.checked_sub(1)?;
        Some(self.0)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

fn panic_message(run: &dyn Fn()) -> String {
    let payload = quietly(run).expect_err("this panics in `Vec`");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().expect("a message")).to_string(),
    }
}

#[test]
fn panics_say_what_those_of_vec_say() {
    let (expected, _) = messages!(Vec);
    let (messages, files) = messages!(PageVec);
    assert_eq!(messages, expected);
    assert!(files.iter().all(|file| file == file!()), "panics name their callers: {files:?}");
    assert_eq!(expected[0], "insertion index (is 4) should be <= len (is 3)");
    assert_eq!(expected[9], "capacity overflow");
    assert!(quietly(|| _ = PageVec::from([1]).drain(..=usize::MAX)).is_err());
    assert!(quietly(|| _ = PageVec::from([1]).drain((Bound::Excluded(usize::MAX), Bound::Unbounded))).is_err());
}

#[test]
fn growth_by_single_pushes_keeps_every_element_and_the_alignment() {
    let count: u64 = if cfg!(miri) { 3000 } else { 2_000_000 };
    let mut vec = PageVec::new();
    let mut moves = 0;
    let mut start = vec.as_ptr();
    for n in 0..count {
        vec.push(n);
        if vec.as_ptr() != start {
            start = vec.as_ptr();
            moves += 1;
            assert_eq!(start.addr() % page_size(), 0);
        }
    }
    assert!(vec.iter().copied().eq(0..count));
    assert!(moves <= 1 + count.ilog2(), "{moves} moves");
    assert!(vec.capacity() as u64 <= 2 * count.max(page_size() as u64));
}

#[test]
#[cfg(not(miri))]
fn growth_moves_pages_and_makes_no_second_copy() {
    // 256 MiB of which two pages are ever touched: copying the elements would touch, or at least read, all of it.
    let bytes = 256 << 20;
    // SAFETY: zero is a byte.
    let mut vec = unsafe { PageVec::<u8>::zeroed_unchecked(bytes) };
    vec[0] = 1;
    vec[bytes - 1] = 2;
    let resident = || procfs::process::Process::myself().unwrap().statm().unwrap().resident * procfs::page_size();
    let before = resident();
    vec.reserve_exact(bytes);
    vec.reserve(4 * bytes);
    assert!(resident() < before + (64 << 20), "{} before, {} after", before, resident());
    assert_eq!((vec[0], vec[1], vec[bytes - 1]), (1, 0, 2));
}

#[test]
#[cfg(not(miri))]
fn refused_growth_leaves_the_vector_as_it_was() {
    let mut vec = PageVec::from([1_u8, 2, 3]);
    let (start, capacity) = (vec.as_ptr(), vec.capacity());
    let error = vec.try_reserve(1 << 60).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
    assert_eq!((vec.as_ptr(), vec.capacity(), &vec[..]), (start, capacity, &[1, 2, 3][..]));
}

#[test]
fn extending_stops_at_the_first_end() {
    /// Ends after every third element, and goes on when asked again.
    struct Stutter(u32);
    impl Iterator for Stutter {
        type Item = u32;
        fn next(&mut self) -> Option<u32> {
            self.0 += 1;
            (!self.0.is_multiple_of(4)).then_some(self.0)
        }
    }
    assert_eq!(PageVec::from_iter(Stutter(0)), [1, 2, 3]);
    // Also where the room ends just there.
    let mut vec = PageVec::from(vec![0; page_size() / 4 - 3]);
    vec.extend(Stutter(0));
    assert_eq!(vec.len(), page_size() / 4);
}

/// Runs in a process of its own, because the limit it sets is the process's.
#[test]
#[cfg(not(miri))]
#[ignore = "run by `growth_makes_do_with_what_there_is`"]
fn child_with_little_address_space() {
    const MIB: usize = 1 << 20;
    if !is_child() {
        return;
    }
    let mut vec = PageVec::<u8>::with_capacity(100 * MIB);
    vec.extend_from_slice(b"kept");
    let size = procfs::process::Process::myself().unwrap().statm().unwrap().size * procfs::page_size();
    let limit = libc::rlimit { rlim_cur: size + 60 * MIB as u64, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is live for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    // Twice as much is refused, what is needed is not.
    vec.try_reserve(vec.capacity() - vec.len() + 1).unwrap();
    assert_eq!(vec.capacity(), 100 * MIB + page_size());
    let error = vec.try_reserve(400 * MIB).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    assert!(PageVec::<u8>::try_with_capacity(400 * MIB).is_err());
    assert_eq!((&vec[..], vec.capacity()), (&b"kept"[..], 100 * MIB + page_size()));
}

#[test]
#[cfg(not(miri))]
#[ignore = "run by `refusals_without_an_error_to_return_end_in_handle_alloc_error`"]
fn child_without_an_error_to_return() {
    if is_child() {
        drop(PageVec::<u8>::with_capacity(1 << 60));
    }
}

/// Whether this process runs one test only.
#[cfg(not(miri))]
fn is_child() -> bool {
    std::env::args().any(|argument| argument == "--exact")
}

#[cfg(not(miri))]
fn run_child(test: &str) -> std::process::Output {
    let program = std::env::current_exe().unwrap();
    std::process::Command::new(program).args(["--exact", test, "--ignored", "--nocapture"]).output().unwrap()
}

#[test]
#[cfg(not(miri))]
fn growth_makes_do_with_what_there_is() {
    let output = run_child("child_with_little_address_space");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[cfg(not(miri))]
fn refusals_without_an_error_to_return_end_in_handle_alloc_error() {
    use std::os::unix::process::ExitStatusExt;
    let output = run_child("child_without_an_error_to_return");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("memory allocation of 1152921504606846976 bytes failed"), "{text}");
}

#[test]
fn the_methods_have_the_types_of_those_of_vec() {
    macro_rules! for_both {
        ($check:ident, $Vec:ident) => {
            fn $check() {
                type V = $Vec<u8>;
                let _: fn() -> V = V::new;
                let _: fn(usize) -> V = V::with_capacity;
                let _: unsafe fn(*mut u8, usize, usize) -> V = V::from_raw_parts;
                let _: fn(V) -> (*mut u8, usize, usize) = V::into_raw_parts;
                let _: fn(&V) -> usize = V::capacity;
                let _: fn(&mut V, usize) = V::reserve;
                let _: fn(&mut V, usize) = V::reserve_exact;
                let _: fn(&mut V) = V::shrink_to_fit;
                let _: fn(&mut V, usize) = V::shrink_to;
                let _: fn(&mut V, usize) = V::truncate;
                let _: fn(&V) -> &[u8] = V::as_slice;
                let _: fn(&mut V) -> &mut [u8] = V::as_mut_slice;
                let _: fn(&V) -> *const u8 = V::as_ptr;
                let _: fn(&mut V) -> *mut u8 = V::as_mut_ptr;
                let _: unsafe fn(&mut V, usize) = V::set_len;
                let _: fn(&mut V, usize) -> u8 = V::swap_remove;
                let _: fn(&mut V, usize, u8) = V::insert;
                let _: fn(&mut V, usize) -> u8 = V::remove;
                let _ = (V::drain::<std::ops::RangeFull>, V::retain::<fn(&u8) -> bool>, V::resize_with::<fn() -> u8>);
                let _ = (V::dedup_by_key::<fn(&mut u8) -> u8, u8>, V::extend_from_within::<std::ops::RangeFull>);
                let _: fn(&mut V, fn(&u8) -> bool) = V::retain;
                let _: fn(&mut V, fn(&mut u8) -> bool) = V::retain_mut;
                let _: fn(&mut V, fn(&mut u8) -> u64) = V::dedup_by_key;
                let _: fn(&mut V, fn(&mut u8, &mut u8) -> bool) = V::dedup_by;
                let _: fn(&mut V, u8) = V::push;
                let _: fn(&mut V) -> Option<u8> = V::pop;
                let _: fn(&mut V, fn(&mut u8) -> bool) -> Option<u8> = |vec, condition| vec.pop_if(condition);
                let _: fn(&mut V, &mut V) = V::append;
                let _: fn(&mut V) = V::clear;
                let _: fn(&V) -> usize = V::len;
                let _: fn(&V) -> bool = V::is_empty;
                let _: fn(&mut V, usize) -> V = V::split_off;
                let _: fn(&mut V, usize, fn() -> u8) = V::resize_with;
                let _: fn(V) -> &'static mut [u8] = V::leak;
                let _: fn(&mut V) -> &mut [std::mem::MaybeUninit<u8>] = V::spare_capacity_mut;
                let _: fn(&mut V, usize, u8) = V::resize;
                let _: fn(&mut V, &[u8]) = V::extend_from_slice;
                let _: fn(&mut V, std::ops::Range<usize>) = V::extend_from_within;
                let _: fn($Vec<[u8; 3]>) -> V = $Vec::<[u8; 3]>::into_flattened;
                let _: fn(&mut V) = V::dedup;
                let _ = |vec: &mut V| vec.drain(1..2).as_slice().len();
                let _ = |vec: &mut V| vec.splice(1..2, [1, 2]).len();
                let _ = |vec: &mut V| vec.extract_if(.., |&mut byte| byte > 1).size_hint();
                let _ = |vec: &mut V| vec.try_reserve(1).is_ok() && vec.try_reserve_exact(1).is_ok();
                let _ = |vec: V| vec.into_boxed_slice().len();
                static EMPTY: V = V::new();
                const fn look(vec: &mut V) -> (usize, bool, usize, bool, bool) {
                    let (reads, writes) = (vec.as_ptr(), vec.as_mut_ptr());
                    let same = vec.as_slice().is_empty() == vec.as_mut_slice().is_empty();
                    (vec.len(), vec.is_empty(), vec.capacity(), same, reads.is_null() == writes.is_null())
                }
                let _ = (&EMPTY, look(&mut V::new()));
            }
        };
    }
    for_both!(of_vec, Vec);
    for_both!(of_page_vec, PageVec);
    of_vec();
    of_page_vec();
}

#[test]
fn conversions_are_those_of_vec() {
    use std::borrow::Cow;
    use std::collections::{BinaryHeap, VecDeque};
    use std::ffi::CString;
    use std::sync::Arc;

    let strings = || vec!["b".to_string(), "a".to_string(), "c".to_string()];
    let mut deque = VecDeque::from(strings());
    deque.rotate_left(1);
    let pages = PageVec::from(deque.clone());
    assert_eq!(pages, ["a", "c", "b"]);
    let shorter: PageVec<_> = pages.iter().skip(1).cloned().collect();
    assert!(deque == pages && deque != shorter);
    let pages = PageVec::from(strings().into_boxed_slice());
    assert!(pages == strings() && Cow::Borrowed(&strings()[..]) == pages);
    assert_eq!(PageVec::from(Cow::Borrowed(&strings()[..])), strings());
    assert_eq!(PageVec::from(Cow::<[String]>::Owned(strings())), strings());
    assert!(matches!(Cow::from(&pages), Cow::Borrowed(slice) if *slice == *pages));
    let heap = BinaryHeap::from(pages.clone());
    assert_eq!(heap.peek().unwrap(), "c");
    let mut back = PageVec::from(heap);
    back.sort();
    assert_eq!(back, ["a", "b", "c"]);
    assert!(matches!(Cow::from(pages.clone()), Cow::Owned(owned) if owned == strings()));
    let letters: PageVec<_> = b"text".iter().map(|&byte| std::num::NonZero::new(byte).unwrap()).collect();
    assert_eq!(CString::from(letters), CString::new("text").unwrap());
    assert_eq!(*Box::<[String]>::from(pages.clone()), *strings());
    assert_eq!(*Rc::<[String]>::from(pages.clone()), *strings());
    assert_eq!(*Arc::<[String]>::from(pages.clone()), *strings());
    assert_eq!(VecDeque::from(pages.clone()), strings());
    assert_eq!(*Box::<[String; 3]>::try_from(pages.clone()).unwrap(), *strings());
    assert_eq!(Box::<[String; 2]>::try_from(pages).unwrap_err(), strings());
    assert_eq!(PageVec::from(&mut [1, 2]), [1, 2]);
    assert_eq!(PageVec::from("text".to_string()), b"text");
    assert_eq!(PageVec::from(CString::new("text").unwrap()), b"text");
    assert_eq!(String::try_from(PageVec::from("text")).unwrap(), "text");
    assert_eq!(String::try_from(PageVec::from([0xff])).unwrap_err().into_bytes(), [0xff]);
}

#[test]
fn arrays_are_flattened_in_place() {
    let arrays: PageVec<[u16; 5]> = (0..2000).map(|n| [n; 5]).collect();
    let start = arrays.as_ptr().cast();
    let mut flat = arrays.into_flattened();
    assert_eq!((flat.as_ptr(), flat.len(), flat[9999]), (start, 10_000, 1999));
    flat.extend(0..50_000);
    flat.truncate(1);
    flat.shrink_to_fit();
    assert_eq!(flat, [0]);
    assert_eq!(PageVec::from([[0_u8; 0]; 3]).into_flattened(), [0_u8; 0]);
    assert_eq!(PageVec::from([[(); 4]; 3]).into_flattened().len(), 12);
    let mut endless: PageVec<[(); 2]> = PageVec::new();
    // SAFETY: elements without a size are there without being written.
    unsafe { endless.set_len(usize::MAX / 2 + 1) };
    assert!(quietly(|| endless.into_flattened()).is_err());
}

#[test]
fn an_endless_iterator_is_refused_as_by_vec() {
    for result in [
        quietly(|| PageVec::<u8>::from_iter(std::iter::repeat(1)).len()),
        quietly(|| PageVec::with_capacity(10).extend(std::iter::repeat(1))).map(|()| 0),
        quietly(|| PageVec::new().extend(std::iter::repeat(()))).map(|()| 0),
        quietly(|| PageVec::<u8>::new().splice(.., std::iter::repeat(1)).count()),
    ] {
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"capacity overflow"));
    }
    // One that only says so, and has nothing.
    struct Boast;
    impl Iterator for Boast {
        type Item = u8;
        fn next(&mut self) -> Option<u8> {
            None
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (usize::MAX, None)
        }
    }
    PageVec::new().extend(Boast);
}

#[test]
fn the_macro_makes_what_vec_makes() {
    use mapalloc::page_vec;
    let ledger = Ledger::new();
    let filled = page_vec![Item::new(&ledger, 3, ()); 5];
    assert_eq!((filled.len(), ledger.live()), (5, 5));
    assert_eq!(page_vec![Item::new(&ledger, 3, ()); 0].len(), 0);
    assert_eq!(ledger.live(), 5);
    assert_eq!(page_vec![1, 2, 3], vec![1, 2, 3]);
    assert_eq!(page_vec![page_vec![1_u8; 2], page_vec![]], vec![vec![1_u8; 2], vec![]]);
    let coerced: PageVec<Box<dyn Fn() -> u8>> = page_vec![Box::new(|| 1), Box::new(|| 2)];
    assert_eq!(coerced.iter().map(|call| call()).sum::<u8>(), 3);
    const EMPTY: PageVec<u8> = page_vec![];
    assert_eq!(EMPTY.capacity(), 0);
}
