//! Growth of a large block.

use super::{BASE, MALLOC, MIB, OURS, no_memory, touch_all};
use crate::block::Block;
use crate::cost::measure;
use crate::guide::Guide;
use crate::look;
use std::error::Error;

const BEFORE: usize = 16 * MIB;
const AFTER: usize = 48 * MIB;

pub(crate) fn show(guide: &mut Guide) -> Result<(), Box<dyn Error>> {
    let (before, after) = (BEFORE / MIB, AFTER / MIB);
    guide.step(format!(
        "Grow {before} MiB in use to {after} MiB: page tables move; faults tell where bytes are copied."
    ));
    let mut pages = BASE.map(BEFORE)?;
    touch_all(&mut pages);
    let start = pages.as_ptr();
    let (grown, cost) = measure(|| pages.grow(AFTER));
    grown?;
    guide.show(OURS, cost, look::pages(&pages)).note(place(start == pages.as_ptr()));

    let Some(mut block) = Block::new(BEFORE) else {
        guide.refused(MALLOC, no_memory(BEFORE));
        return Ok(());
    };
    touch_all(block.zeroed());
    let start = block.whole().as_ptr();
    let (grown, cost) = measure(|| block.grow(AFTER));
    if grown {
        guide.show(MALLOC, cost, look::pages(block.whole())).note(place(start == block.whole().as_ptr()));
    } else {
        guide.refused(MALLOC, no_memory(AFTER));
    }
    Ok(())
}

const fn place(is_same: bool) -> &'static str {
    if is_same { "at the same address" } else { "at another address" }
}
