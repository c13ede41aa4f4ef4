//! What the kernel says of pages: access and locks by area in `/proc/self/smaps`, the rest page by page.

use crate::huge;
use crate::kind::Kind;
use mapalloc::observe::PageStates;
use mapalloc::page_size;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// An area of the process' addresses.
#[derive(Debug)]
struct Area {
    addresses: Range<usize>,
    is_readable: bool,
    is_writable: bool,
    is_locked: bool,
}

/// The pages of a piece of memory that can be read.
pub(crate) fn pages<T>(memory: &[T]) -> io::Result<Vec<Kind>> {
    within(addresses(memory), memory)
}

/// The pages at some addresses, of which `readable` is all that may be in memory.
pub(crate) fn within<T>(range: Range<usize>, readable: &[T]) -> io::Result<Vec<Kind>> {
    let (page, range) = (page_size(), whole_pages(&range));
    let areas = areas(&range)?;
    let states = PageStates::of(readable)?;
    let start = whole_pages(&addresses(readable)).start;
    let huge = huge::pages(&whole_pages(&addresses(readable)));
    let kind = |address: usize| {
        let Some(area) = areas.iter().find(|area| area.addresses.contains(&address)) else { return Kind::Gone };
        if !area.is_readable {
            return Kind::Reserved;
        }
        let state = address.checked_sub(start).and_then(|offset| states.as_slice().get(offset / page));
        match state {
            Some(state) if state.is_present() => match () {
                () if !area.is_writable => Kind::ReadOnly,
                () if area.is_locked => Kind::Locked,
                () if huge.iter().any(|huge| huge.contains(&address)) => Kind::Huge,
                () if state.is_exclusive() => Kind::Resident,
                () => Kind::Shared,
            },
            _ => Kind::Untouched,
        }
    };
    Ok(range.step_by(page).map(kind).collect())
}

/// What is at addresses whose memory has been freed: there is no slice of it to ask about.
pub(crate) fn freed(range: &Range<usize>) -> io::Result<Vec<Kind>> {
    const PRESENT: u64 = 1 << 63;
    let (page, range) = (page_size(), whole_pages(range));
    let areas = areas(&range)?;
    let mut words = vec![0; range.len() / page * 8];
    File::open("/proc/self/pagemap")?.read_exact_at(&mut words, (range.start / page * 8) as u64)?;
    let kinds = range.step_by(page).zip(words.chunks_exact(8)).map(|(address, word)| {
        match areas.iter().find(|area| area.addresses.contains(&address)) {
            None => Kind::Gone,
            Some(area) if !area.is_readable => Kind::Reserved,
            Some(_) if word.try_into().is_ok_and(|word| u64::from_ne_bytes(word) & PRESENT != 0) => Kind::Resident,
            Some(_) => Kind::Untouched,
        }
    });
    Ok(kinds.collect())
}

/// The addresses of a piece of memory.
pub(crate) fn addresses<T>(memory: &[T]) -> Range<usize> {
    let bytes = memory.as_ptr_range();
    bytes.start.addr()..bytes.end.addr()
}

fn whole_pages(range: &Range<usize>) -> Range<usize> {
    let page = page_size();
    range.start / page * page..range.end.next_multiple_of(page)
}

/// The areas that a range lies in.
fn areas(range: &Range<usize>) -> io::Result<Vec<Area>> {
    let mut areas: Vec<Area> = Vec::new();
    let mut is_within = false;
    for line in BufReader::new(File::open("/proc/self/smaps")?).lines() {
        let line = line?;
        if let Some(area) = first_line(&line) {
            is_within = area.addresses.start < range.end && range.start < area.addresses.end;
            areas.extend(Some(area).filter(|_| is_within));
        } else if is_within
            && let Some(flags) = line.strip_prefix("VmFlags:")
            && let Some(area) = areas.last_mut()
        {
            area.is_locked = flags.split_whitespace().any(|flag| flag == "lo");
        }
    }
    Ok(areas)
}

/// The first line of an area: `START-END rwxp …`.
fn first_line(line: &str) -> Option<Area> {
    let (addresses, rest) = line.split_once(' ')?;
    let (start, end) = addresses.split_once('-')?;
    let addresses = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    let (is_readable, is_writable) = (rest.starts_with('r'), rest.get(1..2) == Some("w"));
    Some(Area { addresses, is_readable, is_writable, is_locked: false })
}
