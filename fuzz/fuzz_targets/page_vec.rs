//! Any list of operations on a `PageVec` against the same ones on a `Vec`.
//!
//! ```text
//! cargo +nightly fuzz run page_vec -- -max_total_time=60 -max_len=4096
//! ```
//!
//! The elements own heap memory, so that one dropped twice, or not at all, is found by the sanitizer.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use mapalloc::PageVec;

/// Growth beyond this is skipped: an input must not exhaust the fuzzer's memory.
const MOST: usize = 100_000;

#[derive(Arbitrary, Debug)]
enum Step {
    Push(u32),
    Pop,
    Insert(u16, u32),
    Remove(u16),
    SwapRemove(u16),
    Truncate(u16),
    Clear,
    Extend(u16),
    ExtendFromSlice(u8),
    ExtendFromWithin(u16, u16),
    Resize(u16, u32),
    ResizeWith(u16),
    Retain(u32),
    Dedup,
    Drain(u16, u16),
    DrainInPart(u16, u16, u8),
    Splice(u16, u16, u8, u8),
    ExtractIf(u16, u16, u32, u8),
    PopIf(u32),
    SplitOff(u16),
    Append(u8),
    Reserve(u32),
    ReserveExact(u16),
    ShrinkToFit,
    ShrinkTo(u16),
    Clone,
    IntoIter(u16),
    Sort,
    Swap(u16, u16),
}

fn at(place: u16, len: usize) -> usize {
    usize::from(place) % (len + 1)
}

fn range(a: u16, b: u16, len: usize) -> std::ops::Range<usize> {
    let (a, b) = (at(a, len), at(b, len));
    a.min(b)..a.max(b)
}

/// Performs `step` on both, and compares what it returns. A macro, since the two types share names, not a trait.
macro_rules! both {
    ($vec:expr, $model:expr, |$v:ident| $body:expr) => {{
        let ours = {
            let $v = &mut *$vec;
            $body
        };
        let theirs = {
            let $v = &mut *$model;
            $body
        };
        assert_eq!(ours, theirs);
    }};
}

fn apply<T: Clone + Ord + std::fmt::Debug>(
    vec: &mut PageVec<T>,
    model: &mut Vec<T>,
    step: &Step,
    make: &dyn Fn(u32) -> T,
) {
    let len = model.len();
    let room = MOST.saturating_sub(len);
    match *step {
        Step::Push(n) => both!(vec, model, |v| v.push(make(n))),
        Step::Pop => both!(vec, model, |v| v.pop()),
        Step::Insert(place, n) => both!(vec, model, |v| v.insert(at(place, len), make(n))),
        Step::Remove(place) if len > 0 => both!(vec, model, |v| v.remove(usize::from(place) % len)),
        Step::SwapRemove(place) if len > 0 => both!(vec, model, |v| v.swap_remove(usize::from(place) % len)),
        Step::Truncate(place) => both!(vec, model, |v| v.truncate(at(place, len))),
        Step::Clear => both!(vec, model, |v| v.clear()),
        Step::Extend(n) => {
            let n = usize::from(n).min(room) as u32;
            both!(vec, model, |v| v.extend((0..n).map(make)));
        }
        Step::ExtendFromSlice(n) => {
            let slice: Vec<T> = (0..u32::from(n)).map(make).collect();
            both!(vec, model, |v| v.extend_from_slice(&slice));
        }
        Step::ExtendFromWithin(a, b) => {
            let range = range(a, b, len);
            if range.len() <= room {
                both!(vec, model, |v| v.extend_from_within(range.clone()));
            }
        }
        Step::Resize(n, value) => both!(vec, model, |v| v.resize(usize::from(n), make(value))),
        Step::ResizeWith(n) => {
            let mut counters = [0_u32; 2];
            let mut turn = counters.iter_mut();
            both!(vec, model, |v| {
                let counter = turn.next().expect("two turns");
                v.resize_with(usize::from(n), || {
                    *counter += 1;
                    make(*counter)
                });
            });
            assert_eq!(counters[0], counters[1]);
        }
        Step::Retain(n) => {
            let pivot = make(n);
            both!(vec, model, |v| v.retain(|item| *item <= pivot));
        }
        Step::Dedup => both!(vec, model, |v| v.dedup()),
        Step::Drain(a, b) => both!(vec, model, |v| v.drain(range(a, b, len)).collect::<Vec<_>>()),
        Step::DrainInPart(a, b, taken) => both!(vec, model, |v| {
            let mut drain = v.drain(range(a, b, len));
            let front: Vec<_> = drain.by_ref().take(usize::from(taken)).collect();
            (front, drain.next_back(), drain.len())
        }),
        Step::Splice(a, b, count, taken) => both!(vec, model, |v| {
            // A filter has no lower bound, so what comes beyond the gap comes by surprise.
            let new = (0..u32::from(count)).filter(|n| n % 3 > 0).map(make);
            let mut splice = v.splice(range(a, b, len), new);
            (splice.by_ref().take(usize::from(taken)).collect::<Vec<_>>(), splice.next_back())
        }),
        Step::ExtractIf(a, b, n, taken) => {
            let pivot = make(n);
            both!(vec, model, |v| {
                v.extract_if(range(a, b, len), |item| *item <= pivot).take(usize::from(taken)).collect::<Vec<_>>()
            });
        }
        Step::PopIf(n) => {
            let pivot = make(n);
            both!(vec, model, |v| v.pop_if(|item| *item <= pivot));
        }
        Step::SplitOff(place) => {
            let place = at(place, len);
            let tail = vec.split_off(place);
            assert_eq!(tail[..], model.split_off(place)[..]);
        }
        Step::Append(n) => {
            let mut other: PageVec<T> = (0..u32::from(n)).map(make).collect();
            vec.append(&mut other);
            assert!(other.is_empty());
            model.extend((0..u32::from(n)).map(make));
        }
        // Capacities are the type's own business: the promise is at least so much.
        Step::Reserve(n) => {
            let n = n as usize % (4 * MOST);
            vec.reserve(n);
            assert!(vec.capacity() >= len + n);
        }
        Step::ReserveExact(n) => {
            vec.reserve_exact(usize::from(n));
            assert!(vec.capacity() >= len + usize::from(n));
        }
        Step::ShrinkToFit => vec.shrink_to_fit(),
        Step::ShrinkTo(n) => vec.shrink_to(usize::from(n)),
        Step::Clone => {
            let copy = vec.clone();
            *vec = copy;
        }
        Step::IntoIter(taken) => {
            let mut ours = std::mem::replace(vec, PageVec::new()).into_iter();
            let mut theirs = std::mem::take(model).into_iter();
            assert_eq!(ours.len(), theirs.len());
            for _ in 0..taken % 64 {
                assert_eq!(ours.next(), theirs.next());
                assert_eq!(ours.next_back(), theirs.next_back());
            }
            vec.extend(ours);
            model.extend(theirs);
        }
        Step::Sort => both!(vec, model, |v| v.sort()),
        Step::Swap(a, b) if len > 0 => {
            both!(vec, model, |v| v.swap(usize::from(a) % len, usize::from(b) % len));
        }
        Step::Remove(_) | Step::SwapRemove(_) | Step::Swap(..) => {}
    }
    assert!(vec.capacity() >= vec.len());
    assert_eq!(vec[..], model[..]);
}

fn run<T: Clone + Ord + std::fmt::Debug>(steps: &[Step], make: impl Fn(u32) -> T) {
    let mut vec = PageVec::new();
    let mut model = Vec::new();
    for step in steps {
        apply(&mut vec, &mut model, step, &make);
    }
}

#[derive(Arbitrary, Debug)]
enum Element {
    Byte,
    Number,
    Owning,
    Odd,
    ZeroSized,
}

fuzz_target!(|input: (Element, Vec<Step>)| {
    let (element, steps) = input;
    match element {
        Element::Byte => run(&steps, |n| n as u8),
        Element::Number => run(&steps, u64::from),
        Element::Owning => run(&steps, Box::new),
        // Pages do not hold a whole number of these.
        Element::Odd => run(&steps, |n| [n as u8; 13]),
        Element::ZeroSized => run(&steps, |_| ()),
    }
});
