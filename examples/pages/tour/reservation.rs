//! Reserve, commit, touch, give back in part.

use super::{BASE, MALLOC, MIB, OURS, no_memory, touch};
use crate::block::Block;
use crate::cost::measure;
use crate::guide::Guide;
use crate::kind::Kind;
use crate::look;
use mapalloc::map::Mapping;
use mapalloc::page_size;
use std::error::Error;
use std::io;
use std::ops::Range;

/// What is reserved, and what is used of it.
const RESERVED: usize = 1024 * MIB;
const USED: usize = 16 * MIB;

pub(crate) fn show(guide: &mut Guide) -> Result<(), Box<dyn Error>> {
    let (reserved, used) = (RESERVED / MIB, USED / MIB);
    guide.step(format!(
        "Reserve {reserved} MiB: addresses, and no memory. A block of malloc counts as promised memory."
    ));
    let (mapped, cost) = measure(|| BASE.reserve(RESERVED));
    let mut pages = match mapped {
        Ok(pages) => {
            guide.show(OURS, cost, all(&pages));
            pages
        }
        Err(error) => {
            guide.refused(OURS, error);
            BASE.reserve(USED)?
        }
    };
    let (block, cost) = measure(|| Block::new(RESERVED));
    let mut block = match block {
        Some(block) => {
            guide.show(MALLOC, cost, look::pages(block.whole()));
            Some(block)
        }
        None => {
            guide.refused(MALLOC, no_memory(RESERVED));
            Block::new(USED)
        }
    };

    guide.step(format!("Commit {used} MiB at its start: they can be used, and are no memory yet."));
    let (committed, cost) = measure(|| pages.commit(USED));
    committed?;
    guide.show(OURS, cost, look::pages(&pages));
    guide.say(MALLOC, "is usable from the start");

    guide.step(format!("Touch every second page of the {used} MiB: a fault and a page each."));
    both(guide, &mut pages, block.as_mut(), |bytes| touch(bytes, 0, 2));

    guide.step("Touch the others.");
    both(guide, &mut pages, block.as_mut(), |bytes| touch(bytes, 1, 2));

    guide.step("Decommit the middle half: the memory goes back, the addresses stay.");
    let middle: Range<usize> = USED / 4..USED / 4 * 3;
    let (decommitted, cost) = measure(|| pages.decommit(middle.clone()));
    decommitted?;
    guide.show(OURS, cost, look::pages(&pages));
    guide.say(MALLOC, "cannot: a block is given back whole or not at all");

    guide.step("Touch the middle again: new faults, and it reads zero.");
    let page = page_size();
    let (zeros, cost) = measure(|| pages[middle.clone()].iter().step_by(page).all(|&byte| byte == 0));
    let row = guide.show(&format!("{OURS}, read"), cost, look::pages(&pages));
    row.note(if zeros { "every byte read was zero" } else { "NOT ZERO" });
    let ((), cost) = measure(|| touch(&mut pages[middle], 0, 1));
    guide.show(OURS, cost, look::pages(&pages));

    guide.step("Uncommit all but a quarter: reserved again, for another time.");
    let (uncommitted, cost) = measure(|| pages.uncommit(USED / 4));
    uncommitted?;
    guide.show(OURS, cost, first(&pages, USED.min(pages.reserved())));
    guide.say(MALLOC, "cannot");
    Ok(())
}

/// The same on both sides, seen in the first [`USED`] bytes.
fn both(guide: &mut Guide, pages: &mut Mapping, block: Option<&mut Block>, run: impl Fn(&mut [u8])) {
    let ((), cost) = measure(|| run(&mut *pages));
    guide.show(OURS, cost, look::pages(pages));
    let Some(block) = block else { return guide.refused(MALLOC, no_memory(USED)) };
    let bytes = &mut block.zeroed()[..USED];
    let ((), cost) = measure(|| run(&mut *bytes));
    guide.show(MALLOC, cost, look::pages(bytes));
}

/// Everything that a mapping has.
fn all(pages: &Mapping) -> io::Result<Vec<Kind>> {
    first(pages, pages.reserved())
}

/// The first `len` bytes of what a mapping has, committed or not.
fn first(pages: &Mapping, len: usize) -> io::Result<Vec<Kind>> {
    let start = pages.as_ptr().addr();
    look::within(start..start + len, pages)
}
