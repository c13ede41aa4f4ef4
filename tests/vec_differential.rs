//! Long random runs of `PageVec` against `Vec`: thousands of operations on one vector, through many sizes of its storage.
//!
//! Where an operation ends well, both vectors have given and hold the same. Where code of an element, of an iterator or of
//! a closure has panicked, or an iterator was forgotten, the standard library promises no more than a valid vector; then
//! its elements are checked to be alive, and the model goes on with what is left. In all cases nothing is dropped twice,
//! and nothing is leaked that was not forgotten.

mod common;

use common::{Item, Ledger, quietly};
use mapalloc::{PageVec, page_size};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::mem;
use std::ops::Bound;
use std::rc::Rc;

/// Vectors longer than this are cut before the next operation: the work of a step is linear in the length.
const MOST: usize = 1500;

/// What the runs need of an element.
trait Element: Clone + PartialEq {
    fn make(ledger: &Rc<Ledger>, value: u32) -> Self;

    /// The value, as far as the type can hold it.
    fn value(&self) -> u32;

    /// Makes the value another one.
    fn change(&mut self);

    /// Whether the ledger has an account of it.
    const COUNTED: bool = false;

    /// Whether it has not been dropped.
    fn is_live(&self) -> bool {
        true
    }
}

impl Element for u8 {
    fn make(_: &Rc<Ledger>, value: u32) -> Self {
        value as Self
    }

    fn value(&self) -> u32 {
        u32::from(*self)
    }

    fn change(&mut self) {
        *self = self.wrapping_add(1);
    }
}

impl Element for () {
    fn make(_: &Rc<Ledger>, _: u32) -> Self {}

    fn value(&self) -> u32 {
        0
    }

    fn change(&mut self) {}
}

/// Pages do not hold a whole number of these.
impl Element for [u8; 3] {
    fn make(_: &Rc<Ledger>, value: u32) -> Self {
        [value as u8, (value >> 8) as u8, !value as u8]
    }

    fn value(&self) -> u32 {
        assert_eq!(self[0], !self[2], "an element in one piece");
        u32::from(self[0])
    }

    fn change(&mut self) {
        *self = [self[0].wrapping_add(1), self[1], !self[0].wrapping_add(1)];
    }
}

impl<P: Copy + Default> Element for Item<P> {
    fn make(ledger: &Rc<Ledger>, value: u32) -> Self {
        Self::new(ledger, value, P::default())
    }

    fn value(&self) -> u32 {
        self.value
    }

    fn change(&mut self) {
        self.value += 1;
    }

    const COUNTED: bool = true;

    fn is_live(&self) -> bool {
        self.is_live()
    }
}

/// Owns a block of the heap, so that memory tools see what the ledger sees.
impl Element for Box<Item<()>> {
    fn make(ledger: &Rc<Ledger>, value: u32) -> Self {
        Self::new(Item::make(ledger, value))
    }

    fn value(&self) -> u32 {
        self.value
    }

    fn change(&mut self) {
        self.value += 1;
    }

    const COUNTED: bool = true;

    fn is_live(&self) -> bool {
        Item::is_live(self)
    }
}

#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct CacheLine;

/// A place in a vector of any length, or one past it.
#[derive(Clone, Copy, Debug)]
struct Place(u16);

impl Place {
    fn of(self, len: usize) -> usize {
        usize::from(self.0) % (len + 2)
    }
}

/// A range in a vector of any length, in one of the forms that a range has. Some are none of that vector's.
#[derive(Clone, Copy, Debug)]
struct Span(u16, u16, u8);

impl Span {
    fn of(self, len: usize) -> (Bound<usize>, Bound<usize>) {
        use Bound::{Excluded, Included, Unbounded};
        let (a, b) = (usize::from(self.0) % (len + 1), usize::from(self.1) % (len + 1));
        let (start, end) = (a.min(b), a.max(b));
        match self.2 {
            0 => (Unbounded, Excluded(end)),
            1 => (Included(start), Unbounded),
            2 => (Unbounded, Unbounded),
            3 => (Included(start), Included(end)),
            4 => (Excluded(start), Excluded(end)),
            5 => (Included(a), Excluded(b)),
            6 => (Included(start), Excluded(len + 1)),
            // Most ranges are short, so that the vector keeps its length.
            7..10 => (Included(start), Excluded(end.min(start + 20))),
            _ => (Included(start), Excluded(end)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Push(u32),
    Pop,
    PopIf(u32),
    Insert(Place, u32),
    Remove(Place),
    SwapRemove(Place),
    Truncate(Place),
    Clear,
    Resize(usize, u32),
    ResizeWith(usize),
    ExtendFromSlice(usize),
    ExtendFromWithin(Span),
    Extend { count: usize, hint: usize },
    Collect { count: usize, hint: usize },
    Drain { span: Span, front: usize, back: usize, forget: bool },
    Splice { span: Span, count: usize, hint: usize, front: usize, back: usize, forget: bool },
    ExtractIf { span: Span, divisor: u32, taken: usize, forget: bool },
    Retain(u32),
    RetainMut(u32),
    Dedup,
    DedupBy(u32),
    DedupByKey(u32),
    Append(usize),
    SplitOff(Place),
    Clone,
    CloneFrom(usize),
    Reserve(usize),
    ReserveExact(usize),
    TryReserve(usize),
    ShrinkTo(usize),
    ShrinkToFit,
    Spare(usize),
    Swap(Place, Place),
    Rotate(Place),
    IntoIter { front: usize, back: usize, skipped: usize, forget: bool },
    Boxed,
    RawParts,
    ByVec,
    ByDeque,
}

fn op() -> impl Strategy<Value = Op> {
    let value = || 0..12_u32;
    let place = || any::<u16>().prop_map(Place);
    let span = || (any::<u16>(), any::<u16>(), 0..14_u8).prop_map(|(a, b, form)| Span(a, b, form));
    // Mostly a few; now and then more than a page of bytes.
    let count = || prop_oneof![20 => 0..30_usize, 1 => 0..5000_usize];
    let hint = || prop_oneof![4 => 0..40_usize, 1 => Just(0)];
    let few = || 0..6_usize;
    let forget = || prop::bool::weighted(0.04);
    prop_oneof![
        12 => value().prop_map(Op::Push),
        2 => Just(Op::Pop),
        2 => value().prop_map(Op::PopIf),
        6 => (place(), value()).prop_map(|(at, value)| Op::Insert(at, value)),
        3 => place().prop_map(Op::Remove),
        3 => place().prop_map(Op::SwapRemove),
        1 => place().prop_map(Op::Truncate),
        1 => Just(Op::Clear),
        2 => (0..MOST, value()).prop_map(|(len, value)| Op::Resize(len, value)),
        2 => (0..MOST).prop_map(Op::ResizeWith),
        4 => count().prop_map(Op::ExtendFromSlice),
        4 => span().prop_map(Op::ExtendFromWithin),
        4 => (count(), hint()).prop_map(|(count, hint)| Op::Extend { count, hint }),
        1 => (count(), hint()).prop_map(|(count, hint)| Op::Collect { count, hint }),
        6 => (span(), few(), few(), forget())
            .prop_map(|(span, front, back, forget)| Op::Drain { span, front, back, forget }),
        8 => (span(), count(), hint(), few(), few(), forget()).prop_map(
            |(span, count, hint, front, back, forget)| Op::Splice { span, count, hint, front, back, forget }
        ),
        6 => (span(), 1..6_u32, prop_oneof![0..6_usize, Just(usize::MAX)], forget())
            .prop_map(|(span, divisor, taken, forget)| Op::ExtractIf { span, divisor, taken, forget }),
        1 => value().prop_map(Op::Retain),
        2 => value().prop_map(Op::RetainMut),
        1 => Just(Op::Dedup),
        1 => (1..6_u32).prop_map(Op::DedupBy),
        1 => (1..6_u32).prop_map(Op::DedupByKey),
        2 => count().prop_map(Op::Append),
        2 => place().prop_map(Op::SplitOff),
        1 => Just(Op::Clone),
        1 => count().prop_map(Op::CloneFrom),
        2 => (0..20_000_usize).prop_map(Op::Reserve),
        2 => (0..20_000_usize).prop_map(Op::ReserveExact),
        1 => prop_oneof![0..20_000_usize, Just(usize::MAX)].prop_map(Op::TryReserve),
        2 => (0..20_000_usize).prop_map(Op::ShrinkTo),
        3 => Just(Op::ShrinkToFit),
        2 => (0..30_usize).prop_map(Op::Spare),
        1 => (place(), place()).prop_map(|(a, b)| Op::Swap(a, b)),
        1 => place().prop_map(Op::Rotate),
        1 => (few(), few(), few(), forget())
            .prop_map(|(front, back, skipped, forget)| Op::IntoIter { front, back, skipped, forget }),
        1 => Just(Op::Boxed),
        1 => Just(Op::RawParts),
        1 => Just(Op::ByVec),
        1 => Just(Op::ByDeque),
    ]
}

/// New elements, from an iterator whose every step may panic and whose size hint need not be true.
struct Source<'a, E> {
    ledger: &'a Rc<Ledger>,
    left: usize,
    hint: usize,
    elements: PhantomData<E>,
}

impl<'a, E> Source<'a, E> {
    fn new(ledger: &'a Rc<Ledger>, left: usize, hint: usize) -> Self {
        Self { ledger, left, hint, elements: PhantomData }
    }
}

impl<E: Element> Iterator for Source<'_, E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        self.ledger.tick();
        self.left = self.left.checked_sub(1)?;
        Some(E::make(self.ledger, self.left as u32 % 12))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.hint, None)
    }
}

/// The same code for both vectors: only the name of the type differs. Returns what the operation showed.
macro_rules! apply_to {
    ($apply:ident, $Vec:ident) => {
        fn $apply<E: Element>(vec: &mut $Vec<E>, ledger: &Rc<Ledger>, op: Op) -> Vec<u32> {
            let len = vec.len();
            let element = |value| E::make(ledger, value);
            let elements = |count: usize| (0..count as u32).map(|n| element(n % 12)).collect::<$Vec<E>>();
            let mut seen = Vec::new();
            match op {
                Op::Push(value) => vec.push(element(value)),
                Op::Pop => seen.extend(vec.pop().map(|element| element.value())),
                Op::PopIf(least) => {
                    let popped = vec.pop_if(|element| {
                        ledger.tick();
                        element.value() >= least
                    });
                    seen.extend(popped.map(|element| element.value()));
                }
                Op::Insert(at, value) => vec.insert(at.of(len), element(value)),
                Op::Remove(at) => seen.push(vec.remove(at.of(len)).value()),
                Op::SwapRemove(at) => seen.push(vec.swap_remove(at.of(len)).value()),
                Op::Truncate(to) => vec.truncate(to.of(len)),
                Op::Clear => vec.clear(),
                Op::Resize(len, value) => vec.resize(len, element(value)),
                Op::ResizeWith(len) => vec.resize_with(len, || {
                    ledger.tick();
                    element(1)
                }),
                Op::ExtendFromSlice(count) => vec.extend_from_slice(&elements(count)),
                Op::ExtendFromWithin(span) => vec.extend_from_within(span.of(len)),
                Op::Extend { count, hint } => vec.extend(Source::new(ledger, count, hint)),
                Op::Collect { count, hint } => *vec = Source::new(ledger, count, hint).collect(),
                Op::Drain { span, front, back, forget } => {
                    let mut drain = vec.drain(span.of(len));
                    seen.extend(drain.by_ref().take(front).map(|element| element.value()));
                    seen.extend(drain.by_ref().rev().take(back).map(|element| element.value()));
                    seen.extend(drain.as_slice().iter().map(E::value));
                    seen.push(drain.len() as u32);
                    if forget {
                        mem::forget(drain);
                    }
                }
                Op::Splice { span, count, hint, front, back, forget } => {
                    let mut splice = vec.splice(span.of(len), Source::new(ledger, count, hint));
                    seen.extend(splice.by_ref().take(front).map(|element| element.value()));
                    seen.extend(splice.by_ref().rev().take(back).map(|element| element.value()));
                    seen.push(splice.len() as u32);
                    if forget {
                        mem::forget(splice);
                    }
                }
                Op::ExtractIf { span, divisor, taken, forget } => {
                    let mut extract = vec.extract_if(span.of(len), |element| {
                        ledger.tick();
                        let is_taken = element.value().is_multiple_of(divisor);
                        element.change();
                        is_taken
                    });
                    seen.extend(extract.by_ref().take(taken).map(|element| element.value()));
                    let (least, most) = extract.size_hint();
                    seen.extend([least as u32, most.expect("an upper bound") as u32]);
                    if forget {
                        mem::forget(extract);
                    }
                }
                Op::Retain(value) => vec.retain(|element| {
                    ledger.tick();
                    element.value() != value
                }),
                Op::RetainMut(value) => vec.retain_mut(|element| {
                    ledger.tick();
                    element.change();
                    element.value() != value
                }),
                Op::Dedup => vec.dedup(),
                Op::DedupBy(most) => vec.dedup_by(|element, kept| {
                    ledger.tick();
                    kept.value() < most && element.value() > most
                }),
                Op::DedupByKey(divisor) => vec.dedup_by_key(|element| {
                    ledger.tick();
                    element.value() / divisor
                }),
                Op::Append(count) => {
                    let mut other = elements(count);
                    vec.append(&mut other);
                    seen.push(other.len() as u32);
                }
                Op::SplitOff(at) => {
                    let at = at.of(len);
                    let mut tail = vec.split_off(at);
                    seen.extend(tail.iter().map(E::value));
                    // The longer half goes on.
                    if tail.len() > vec.len() {
                        mem::swap(vec, &mut tail);
                    }
                }
                Op::Clone => *vec = vec.clone(),
                Op::CloneFrom(count) => vec.clone_from(&elements(count)),
                Op::Reserve(count) => {
                    vec.reserve(count);
                    assert!(vec.capacity() - len >= count);
                }
                Op::ReserveExact(count) => {
                    vec.reserve_exact(count);
                    assert!(vec.capacity() - len >= count);
                }
                Op::TryReserve(count) => {
                    seen.push(u32::from(vec.try_reserve(count).is_ok()));
                    seen.push(u32::from(vec.try_reserve_exact(count).is_ok()));
                }
                Op::ShrinkTo(capacity) => {
                    let before = vec.capacity();
                    vec.shrink_to(capacity);
                    assert!(vec.capacity() >= before.min(capacity));
                }
                Op::ShrinkToFit => vec.shrink_to_fit(),
                Op::Spare(count) => {
                    vec.reserve(count);
                    for (place, value) in vec.spare_capacity_mut()[..count].iter_mut().zip(0..) {
                        place.write(element(value));
                    }
                    // SAFETY: so many elements have been written to the room behind the others.
                    unsafe { vec.set_len(len + count) };
                }
                Op::Swap(a, b) => vec.swap(a.of(len), b.of(len)),
                Op::Rotate(to) => vec.rotate_left(to.of(len)),
                Op::IntoIter { front, back, skipped, forget } => {
                    let mut iter = mem::take(vec).into_iter();
                    seen.extend(iter.by_ref().take(front).map(|element| element.value()));
                    seen.extend(iter.by_ref().rev().take(back).map(|element| element.value()));
                    seen.extend(iter.nth(skipped).map(|element| element.value()));
                    seen.extend(iter.nth_back(skipped).map(|element| element.value()));
                    iter.as_mut_slice().iter_mut().for_each(E::change);
                    seen.push(iter.len() as u32);
                    *vec = iter.clone().collect();
                    if forget {
                        mem::forget(iter);
                    }
                }
                Op::Boxed => *vec = mem::take(vec).into_boxed_slice().into(),
                Op::RawParts => {
                    let (base, len, capacity) = mem::take(vec).into_raw_parts();
                    // SAFETY: the parts of one vector, used once.
                    *vec = unsafe { $Vec::from_raw_parts(base, len, capacity) };
                }
                Op::ByVec => *vec = Vec::from(mem::take(vec)).into(),
                Op::ByDeque => {
                    let mut deque = VecDeque::from(mem::take(vec));
                    deque.rotate_left(len / 3);
                    *vec = deque.into();
                }
            }
            seen
        }
    };
}

apply_to!(apply_to_model, Vec);
apply_to!(apply_to_pages, PageVec);

/// Whether the operation forgets an iterator if it comes to its end.
fn forgets(op: Op) -> bool {
    matches!(
        op,
        Op::Drain { forget: true, .. }
            | Op::Splice { forget: true, .. }
            | Op::ExtractIf { forget: true, .. }
            | Op::IntoIter { forget: true, .. }
    )
}

fn values<E: Element>(elements: &[E]) -> Vec<u32> {
    elements.iter().map(E::value).collect()
}

/// Runs the operations on both vectors, where a `Some` lets so many events pass before one panics.
fn compare<E: Element>(ops: &[(Op, Option<u32>)]) -> Result<(), TestCaseError> {
    let (model_ledger, ledger) = (Ledger::new(), Ledger::new());
    let (mut model, mut vec) = (Vec::<E>::new(), PageVec::<E>::new());
    let mut leaked = 0;
    for &(op, fuse) in ops {
        if model.len() > MOST {
            model.truncate(MOST / 3);
            vec.truncate(MOST / 3);
        }
        model_ledger.arm(fuse);
        ledger.arm(fuse);
        let expected = quietly(|| apply_to_model(&mut model, &model_ledger, op));
        let result = quietly(|| apply_to_pages(&mut vec, &ledger, op));
        model_ledger.arm(None);
        ledger.arm(None);

        prop_assert_eq!(result.as_ref().ok(), expected.as_ref().ok(), "what {:?} showed, fuse {:?}", op, fuse);
        prop_assert!(vec.capacity() >= vec.len());
        if vec.capacity() > 0 && size_of::<E>() > 0 {
            prop_assert_eq!(vec.as_ptr().addr() % page_size().max(align_of::<E>()), 0, "after {:?}", op);
        }
        let has_forgotten = forgets(op) && result.is_ok();
        if has_forgotten || result.is_err() {
            prop_assert!(vec.iter().all(E::is_live), "alive after {:?}, fuse {:?}", op, fuse);
            model = vec.iter().map(|element| E::make(&model_ledger, element.value())).collect();
        }
        prop_assert_eq!(values(&vec), values(&model), "after {:?}, fuse {:?}", op, fuse);
        if E::COUNTED {
            let unowned = ledger.live().checked_sub(vec.len()).expect("the elements of the vector are alive");
            prop_assert!(unowned == leaked || has_forgotten && unowned > leaked, "{} leaked by {:?}", unowned, op);
            leaked = unowned;
        }
    }
    drop(vec);
    prop_assert_eq!(ledger.live(), leaked, "the vector drops what it holds, once");
    Ok(())
}

/// One case is thousands of operations, of which some panic.
fn ops() -> impl Strategy<Value = Vec<(Op, Option<u32>)>> {
    let len = if cfg!(miri) { 50..60 } else { 2000..4000 };
    prop::collection::vec((op(), prop::option::weighted(0.08, 0..80_u32)), len)
}

fn config() -> ProptestConfig {
    let cases = if cfg!(miri) { 1 } else { 5 };
    // Files of old failures are of no use to a machine that has none. A failure is cut down by halves, then by steps, of
    // which each is a run of its own.
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn bytes(ops in ops()) {
        compare::<u8>(&ops)?;
    }

    #[test]
    fn elements_without_a_size(ops in ops()) {
        compare::<()>(&ops)?;
    }

    #[test]
    fn elements_that_do_not_fill_a_page_evenly(ops in ops()) {
        compare::<[u8; 3]>(&ops)?;
    }

    #[test]
    fn elements_on_the_heap(ops in ops()) {
        compare::<Box<Item<()>>>(&ops)?;
    }

    #[test]
    fn elements_aligned_to_a_cache_line(ops in ops()) {
        compare::<Item<CacheLine>>(&ops)?;
    }
}
