//! Any list of operations on a `Mapping`, with any options, against a model of its bytes.
//!
//! ```text
//! cargo +nightly fuzz run map -- -max_total_time=60 -max_len=4096
//! ```
//!
//! Checked after each step: length, reservation, alignment, contents; what was given back is not resident; what is
//! read-only cannot be written to, and guards, pages without access and the reserved rest cannot be read. The kernel is asked
//! for that by a copy, which is refused where an access would fault.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use mapalloc::map::{Advice, Features, Fork, Lock, MapOptions, Mapping, NoAccess, Protect, ReadOnly};
use mapalloc::observe::Residency;
use mapalloc::page_size;

const PAGES: usize = 24;
const NO_ALIGNMENT: usize = 3;

#[derive(Arbitrary, Debug)]
enum Step {
    Write(Len, u8),
    Grow(Len),
    GrowInPlace(Len),
    Shrink(Len),
    Commit(Len),
    Uncommit(Len),
    Decommit(Len, Len),
    Advise(Len, Len, u8),
    ByRaw,
    Neighbour,
    ReadOnly,
    NoAccess,
}

/// A length in bytes, mostly of whole pages, and now and then one that no mapping has.
#[derive(Clone, Copy, Debug)]
struct Len(usize);

impl<'a> Arbitrary<'a> for Len {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let pages = u.int_in_range(0..=PAGES)? * page_size();
        Ok(Self(match u.int_in_range(0..=15_u8)? {
            0 => usize::MAX - u.int_in_range(0..=2 * page_size())?,
            1..=4 => pages + u.int_in_range(0..=page_size())?,
            _ => pages,
        }))
    }
}

#[derive(Arbitrary, Debug)]
struct Options {
    guards: (u8, u8),
    align: u8,
    lock: Option<bool>,
    fork: u8,
    bits: u8,
}

impl Options {
    fn build(&self) -> MapOptions {
        let bit = |n: u8| self.bits >> n & 1 != 0;
        let options = MapOptions::new()
            .guard_pages(usize::from(self.guards.0 % 3), usize::from(self.guards.1 % 3))
            .align(self.align())
            .on_fork([Fork::Copy, Fork::Wipe, Fork::Omit][usize::from(self.fork % 3)])
            .dump(bit(0))
            .populate(bit(1))
            .no_reserve(bit(2));
        let options = if bit(3) { options } else { options.huge_pages(false) };
        match self.lock {
            Some(now) => options.lock(if now { Lock::Now } else { Lock::OnFault }).best_effort(Features::LOCK),
            None => options,
        }
    }

    /// One of them is no alignment.
    fn align(&self) -> usize {
        [1, 1 << 16, 1 << 21, NO_ALIGNMENT][usize::from(self.align % 4)]
    }

    /// Whether a page is resident only if somebody touched it since it was given back.
    fn are_exact(&self) -> bool {
        self.bits >> 3 & 1 == 0 && self.lock.is_none()
    }
}

/// Whether a byte can be read, or written to.
fn can(address: usize, write: bool) -> bool {
    let mut byte = 0_u8;
    let ours = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let theirs = libc::iovec { iov_base: address as *mut _, iov_len: 1 };
    // SAFETY: the kernel reads the byte at the address and writes it to the variable, and then the other way round: it
    // changes nothing, and refuses where there is no such access.
    unsafe {
        let me = libc::getpid();
        libc::process_vm_readv(me, &raw const ours, 1, &raw const theirs, 1, 0) == 1
            && (!write || libc::process_vm_writev(me, &raw const ours, 1, &raw const theirs, 1, 0) == 1)
    }
}

fn whole(len: usize) -> usize {
    len.next_multiple_of(page_size())
}

fn check(pages: &Mapping, model: &[u8], options: &Options) {
    assert_eq!(pages.len(), model.len());
    assert!(**pages == *model, "the contents");
    assert!(pages.len() <= pages.reserved() && pages.reserved().is_multiple_of(page_size()));
    let start = pages.as_ptr().addr();
    assert_eq!(start % options.align().max(page_size()), 0);
    let (before, after) = pages.granted().guard_bytes();
    if before > 0 {
        assert!(!can(start - 1, false) && !can(start - before, false), "the guard before");
    }
    if after > 0 {
        let end = start + pages.reserved();
        assert!(!can(end, false) && !can(end + after - 1, false), "the guard behind");
    }
    if pages.len() < pages.reserved() {
        assert!(!can(start + pages.len(), false) && !can(start + pages.reserved() - 1, false), "what is reserved");
    }
}

/// Takes the access away, looks, and gives it back.
fn protected(pages: Mapping, model: &[u8], readable: bool) -> Mapping {
    if pages.is_empty() {
        return pages;
    }
    let last = pages.as_ptr().addr() + pages.len() - 1;
    if readable {
        let pages = Protect::protect::<ReadOnly>(pages).expect("an mprotect");
        assert!(pages[..] == *model && can(last, false) && !can(last, true), "read-only pages");
        pages.into_writable().expect("an mprotect")
    } else {
        let pages = Protect::protect::<NoAccess>(pages).expect("an mprotect");
        assert!(!can(last, false), "pages without access");
        pages.into_writable().expect("an mprotect")
    }
}

fn run(options: &Options, reserve: bool, first: usize, steps: &[Step]) {
    let build = options.build();
    let made = if reserve { build.reserve(first) } else { build.map(first) };
    if options.align() == NO_ALIGNMENT || first == 0 || first > isize::MAX as usize {
        assert!(made.is_err(), "{options:?} with {first} bytes");
        return;
    }
    let mut pages = made.expect("a mapping");
    let mut model = vec![0; pages.len()];
    let mut neighbours = Vec::new();
    for step in steps {
        let (len, reserved, start) = (pages.len(), pages.reserved(), pages.as_ptr());
        match *step {
            Step::Write(Len(at), byte) => {
                let at = at.min(len);
                for range in [at..len.min(at + 2 * page_size()), len.saturating_sub(3)..len] {
                    pages[range.clone()].fill(byte);
                    model[range].fill(byte);
                }
            }
            Step::Grow(Len(to)) => {
                let grown = pages.grow(to);
                assert_eq!(grown.is_ok(), to <= isize::MAX as usize);
                if grown.is_ok() {
                    model.resize(len.max(whole(to)), 0);
                }
                assert!(to > reserved || pages.as_ptr() == start, "a move within the reservation");
            }
            Step::GrowInPlace(Len(to)) => {
                if pages.grow_in_place(to).is_ok() {
                    model.resize(len.max(whole(to)), 0);
                } else {
                    assert!(to > reserved && pages.reserved() == reserved);
                    model.resize(pages.len(), 0);
                }
                assert_eq!(pages.as_ptr(), start);
            }
            Step::Shrink(Len(to)) => {
                pages.shrink(to).expect("room for a split");
                let to = reserved.min(whole(to.clamp(1, reserved)));
                model.truncate(to);
                assert_eq!(pages.reserved(), to);
            }
            Step::Commit(Len(to)) => {
                assert_eq!(pages.commit(to).is_ok(), to <= reserved);
                if to <= reserved {
                    model.resize(len.max(whole(to)), 0);
                }
            }
            Step::Uncommit(Len(to)) => {
                pages.uncommit(to).expect("room for a split");
                model.truncate(whole(to.min(len)));
            }
            Step::Decommit(Len(from), Len(to)) => {
                let done = pages.decommit(from..to);
                assert_eq!(done.is_ok(), from <= to && to <= len);
                if done.is_ok() {
                    let inner = whole(from)..to / page_size() * page_size();
                    if options.are_exact() && inner.start < inner.end {
                        let resident = Residency::of(&pages[inner]).expect("a mincore").resident_pages();
                        assert_eq!(resident, 0, "what was given back is resident");
                    }
                    model[from..to].fill(0);
                }
            }
            Step::Advise(Len(from), Len(to), advice) => {
                let advice = [
                    Advice::DontDump,
                    Advice::NoHugePage,
                    Advice::DontNeed,
                    Advice::PopulateWrite,
                    Advice::Cold,
                    Advice::WillNeed,
                ][usize::from(advice % 6)];
                let done = pages.advise(from..to, advice);
                assert!(done.is_err() || (from <= to && to <= len));
                if done.is_ok() && advice == Advice::DontNeed {
                    model[from..to].fill(0);
                }
                if done.is_ok() && advice == Advice::PopulateWrite {
                    let touched = Residency::of(&pages[from..to]).expect("a mincore");
                    assert_eq!(touched.resident_pages(), touched.pages(), "what was populated is not resident");
                }
            }
            // SAFETY: given up and taken back once.
            Step::ByRaw => pages = unsafe { Mapping::from_raw(pages.into_raw()) },
            Step::Neighbour => neighbours.push(Mapping::new(page_size()).expect("a page")),
            Step::ReadOnly => pages = protected(pages, &model, true),
            Step::NoAccess => pages = protected(pages, &model, false),
        }
        check(&pages, &model, options);
    }
}

fuzz_target!(|input: (Options, bool, Len, Vec<Step>)| {
    let (options, reserve, Len(first), steps) = input;
    run(&options, reserve, first, &steps[..steps.len().min(64)]);
});
