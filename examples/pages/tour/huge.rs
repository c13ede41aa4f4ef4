//! Huge pages, and pages faulted in at once.

use super::{BASE, MALLOC, MIB, OURS, no_memory, touch_all};
use crate::block::Block;
use crate::cost::{Cost, measure};
use crate::guide::Guide;
use crate::look;
use mapalloc::map::{Features, MapOptions, Mapping};
use mapalloc::observe::Areas;
use std::error::Error;

const LEN: usize = 16 * MIB;

const ADVISED: MapOptions = MapOptions::new().huge_pages(true);

pub(crate) fn show(guide: &mut Guide) -> Result<(), Box<dyn Error>> {
    guide.step(format!("Fault {} MiB in at once, by one call, instead of at each first touch.", LEN / MIB));
    let (pages, cost) = measure(|| BASE.populate(true).map(LEN));
    mapped(guide, OURS, cost, &pages?);
    let (block, cost) = measure(|| {
        let mut block = Block::new(LEN)?;
        touch_all(block.zeroed());
        Some(block)
    });
    match block {
        Some(mut block) => guide.show(MALLOC, cost, look::pages(block.zeroed())).note("touched page by page"),
        None => guide.refused(MALLOC, no_memory(LEN)),
    }

    guide.step(format!("Ask for huge pages, and touch {} MiB: a fault for each huge page.", LEN / MIB));
    let mut pages = ADVISED.map(LEN)?;
    let ((), cost) = measure(|| touch_all(&mut pages));
    mapped(guide, OURS, cost, &pages);
    drop(pages);
    let (pages, cost) = measure(|| ADVISED.populate(true).map(LEN));
    mapped(guide, "populated", cost, &pages?);
    match Block::new(LEN) {
        Some(mut block) => {
            let ((), cost) = measure(|| touch_all(block.zeroed()));
            guide.show(MALLOC, cost, look::pages(block.zeroed())).note("gets what the system's policy gives");
        }
        None => guide.refused(MALLOC, no_memory(LEN)),
    }
    Ok(())
}

/// A mapping, with what it got and how many bytes the kernel says are huge.
fn mapped(guide: &mut Guide, label: &str, cost: Cost, pages: &Mapping) {
    let row = guide.show(label, cost, look::pages(pages));
    row.note(format!("backing {:?}", pages.granted().backing()));
    if pages.granted().missing().contains(Features::POPULATE) {
        row.note("refused: populate");
    }
    if let Ok(areas) = Areas::of(pages) {
        row.note(format!("{} MiB in huge pages", areas.huge / MIB));
    }
}
