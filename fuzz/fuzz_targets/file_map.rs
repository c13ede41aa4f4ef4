//! Any list of operations on maps of one file, and on the file behind their backs, against a model of its bytes.
//!
//! ```text
//! cargo +nightly fuzz run file_map -- -max_total_time=60 -max_len=4096
//! ```
//!
//! Checked: which ranges can be mapped, grown to, read and written to, as the file is at that moment, and what is in them.
//! Nothing is written behind the file's end: what becomes of that when the file grows is the file system's business.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use mapalloc::file::{FileMap, FileOptions, ReadOnly, ReadWrite};
use mapalloc::page_size;
use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;

const PAGES: usize = 8;

#[derive(Arbitrary, Debug)]
enum Step {
    Map {
        slot: u8,
        offset: Len,
        len: Option<Len>,
        past_end: bool,
        populate: bool,
    },
    Read {
        slot: u8,
        at: Len,
        len: Len,
    },
    Write {
        slot: u8,
        at: Len,
        len: Len,
        byte: u8,
    },
    Check {
        slot: u8,
        from: Len,
        to: Len,
    },
    Grow {
        slot: u8,
        len: Len,
    },
    GrowToEnd {
        slot: u8,
    },
    Shrink {
        slot: u8,
        len: Len,
    },
    Extend {
        slot: u8,
        len: Len,
    },
    Flush {
        slot: u8,
        from: Len,
        to: Len,
    },
    IntoReadOnlyAndBack {
        slot: u8,
    },
    /// By others.
    SetLen(Len),
    WriteFile(Len, Len, u8),
}

/// A length or an offset in bytes, often of whole pages, and now and then one that no file has.
#[derive(Clone, Copy, Debug)]
struct Len(usize);

impl<'a> Arbitrary<'a> for Len {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let pages = u.int_in_range(0..=PAGES)? * page_size();
        Ok(Self(match u.int_in_range(0..=15_u8)? {
            0 => usize::MAX - u.int_in_range(0..=2 * page_size())?,
            1..=8 => pages + u.int_in_range(0..=page_size())?,
            _ => pages,
        }))
    }
}

/// No range is longer than this, so that buffers for what is refused need no memory.
const MOST: usize = 64 << 10;

/// A map and what it should be.
struct Slot {
    map: FileMap<ReadWrite>,
    offset: usize,
    len: usize,
    past_end: bool,
}

impl Slot {
    /// The range in the file, if it is one of the map's.
    fn range(&self, at: usize, len: usize) -> Option<std::ops::Range<usize>> {
        let end = at.checked_add(len).filter(|&end| end <= self.len)?;
        Some(self.offset + at..self.offset + end)
    }

    /// The same, if all of its pages are there.
    fn present(&self, at: usize, len: usize, file: &[u8]) -> Option<std::ops::Range<usize>> {
        let range = self.range(at, len)?;
        (range.is_empty() || range.end <= file.len().next_multiple_of(page_size())).then_some(range)
    }

    /// Whether the file may be mapped so far.
    fn may_have(&self, len: usize, file: &[u8]) -> bool {
        fits(self.offset, len, self.past_end, file)
    }
}

fn fits(offset: usize, len: usize, past_end: bool, file: &[u8]) -> bool {
    // What is larger than a file, or an address space, is refused; there is no room between the two for what is tried here.
    offset.checked_add(len).is_some_and(|end| end <= isize::MAX as usize && (past_end || end <= file.len()))
}

fn run(first: usize, steps: &[Step]) {
    // SAFETY: a descriptor of this call's own.
    let file = unsafe { File::from_raw_fd(libc::memfd_create(c"fuzz".as_ptr(), libc::MFD_CLOEXEC)) };
    let mut model = vec![0; first.min(PAGES * page_size())];
    file.set_len(model.len() as u64).expect("a length");
    let mut slots: [Option<Slot>; 3] = [None, None, None];
    for step in steps {
        match *step {
            Step::Map { slot, offset: Len(offset), len, past_end, populate } => {
                let len = len.map(|Len(len)| len);
                let options = FileOptions::new().offset(offset as u64).past_end(past_end).populate(populate);
                let options = len.map_or(options, |len| options.len(len));
                let wanted = len.or(model.len().checked_sub(offset));
                let fits = wanted.is_some_and(|len| fits(offset, len, past_end, &model));
                let map = options.map(&file);
                assert_eq!(map.is_ok(), fits, "{options:?} of {} bytes", model.len());
                slots[usize::from(slot % 3)] =
                    map.ok().map(|map| Slot { map, offset, len: wanted.expect("a length"), past_end });
            }
            Step::Read { slot, at: Len(at), len: Len(len) } => {
                let (Some(slot), len) = (&slots[usize::from(slot % 3)], len.min(MOST)) else { continue };
                let mut bytes = vec![1; len];
                let read = slot.map.read_at(at, &mut bytes);
                let present = slot.present(at, len, &model);
                assert_eq!(read.is_ok(), present.is_some(), "{at} + {len} of a map of {}: {read:?}", slot.len);
                if let Some(range) = present {
                    let expected = range.map(|at| model.get(at).copied().unwrap_or(0));
                    assert!(bytes.iter().copied().eq(expected), "the contents");
                }
            }
            Step::Write { slot, at: Len(at), len: Len(len), byte } => {
                let Some(slot) = &slots[usize::from(slot % 3)] else { continue };
                // Within the file, or out of the map.
                let room = model.len().saturating_sub(slot.offset).saturating_sub(at);
                let len = if at > slot.len { len.min(MOST) } else { len.min(room) };
                let written = slot.map.write_at(at, &vec![byte; len]);
                let range = slot.range(at, len);
                assert_eq!(written.is_ok(), range.is_some(), "{at} + {len} of a map of {}: {written:?}", slot.len);
                if let Some(range) = range.filter(|range| !range.is_empty()) {
                    model[range].fill(byte);
                }
            }
            Step::Check { slot, from: Len(from), to: Len(to) } => {
                let Some(slot) = &slots[usize::from(slot % 3)] else { continue };
                let present = from <= to && slot.present(from, to - from, &model).is_some();
                assert_eq!(slot.map.check(from..to).is_ok(), present, "{from}..{to} of a map of {}", slot.len);
            }
            Step::Grow { slot, len: Len(len) } => {
                let Some(slot) = &mut slots[usize::from(slot % 3)] else { continue };
                let grown = slot.map.grow(&file, len);
                assert_eq!(grown.is_ok(), len <= slot.len || slot.may_have(len, &model), "{grown:?}");
                if grown.is_ok() {
                    slot.len = slot.len.max(len);
                }
            }
            Step::GrowToEnd { slot } => {
                let Some(slot) = &mut slots[usize::from(slot % 3)] else { continue };
                slot.map.grow_to_end(&file).expect("the file's own length");
                slot.len = slot.len.max(model.len().saturating_sub(slot.offset));
            }
            Step::Shrink { slot, len: Len(len) } => {
                let Some(slot) = &mut slots[usize::from(slot % 3)] else { continue };
                slot.map.shrink(len).expect("room for a split");
                slot.len = slot.len.min(len);
            }
            Step::Extend { slot, len: Len(len) } => {
                let Some(slot) = &mut slots[usize::from(slot % 3)] else { continue };
                if len > MOST || slot.offset > MOST {
                    continue;
                }
                slot.map.extend_file(&file, len).expect("room for a few pages");
                model.resize(model.len().max(slot.offset + len), 0);
                slot.len = slot.len.max(len);
            }
            Step::Flush { slot, from: Len(from), to: Len(to) } => {
                let Some(slot) = &slots[usize::from(slot % 3)] else { continue };
                assert_eq!(slot.map.flush_range(from..to).is_ok(), from <= to && to <= slot.len);
            }
            Step::IntoReadOnlyAndBack { slot } => {
                let Some(slot) = &mut slots[usize::from(slot % 3)] else { continue };
                let empty = FileOptions::new().len(0).map(&file).expect("nothing");
                let map: FileMap<ReadOnly> =
                    std::mem::replace(&mut slot.map, empty).into_read_only().expect("an mprotect");
                slot.map = map.into_writable().expect("an mprotect");
            }
            Step::SetLen(Len(len)) => {
                let len = len.min(PAGES * page_size());
                file.set_len(len as u64).expect("a length");
                model.resize(len, 0);
            }
            Step::WriteFile(Len(at), Len(len), byte) => {
                let at = at.min(model.len());
                let len = len.min(model.len() - at);
                file.write_all_at(&vec![byte; len], at as u64).expect("within the file");
                model[at..at + len].fill(byte);
            }
        }
        for slot in slots.iter().flatten() {
            assert_eq!((slot.map.len(), slot.map.offset()), (slot.len, slot.offset as u64));
            assert_eq!(
                slot.map.as_ptr().addr() % page_size(),
                if slot.len > 0 { slot.offset % page_size() } else { slot.map.as_ptr().addr() % page_size() }
            );
            let ends_early = model.len() < slot.offset.saturating_add(slot.len);
            assert_eq!(slot.map.is_truncated(&file).expect("its own file"), ends_early);
        }
    }
    let mut found = vec![0; model.len()];
    file.read_exact_at(&mut found, 0).expect("the file");
    assert!(found == model, "the file's own contents");
}

fuzz_target!(|input: (Len, Vec<Step>)| {
    let (Len(first), steps) = input;
    run(first, &steps[..steps.len().min(64)]);
});
