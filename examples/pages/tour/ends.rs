//! What comes back when memory is freed.

use super::{BASE, MALLOC, MIB, OURS, no_memory, touch_all};
use crate::block::Block;
use crate::cost::measure;
use crate::guide::Guide;
use crate::look;
use std::error::Error;

const LARGE: usize = 16 * MIB;

/// Buffers of which one is kept.
const SMALL: usize = 64 * 1024;
const BUFFERS: usize = 256;

pub(crate) fn show(guide: &mut Guide) -> Result<(), Box<dyn Error>> {
    guide.step(format!("Drop {} MiB: the memory goes back, and so do the addresses.", LARGE / MIB));
    let mut pages = BASE.map(LARGE)?;
    touch_all(&mut pages);
    let place = look::addresses(&pages);
    let ((), cost) = measure(|| drop(pages));
    guide.show(OURS, cost, look::freed(&place));
    match Block::new(LARGE) {
        Some(mut block) => {
            touch_all(block.zeroed());
            let place = look::addresses(block.whole());
            let ((), cost) = measure(|| drop(block));
            guide.show(MALLOC, cost, look::freed(&place));
        }
        None => guide.refused(MALLOC, no_memory(LARGE)),
    }

    let (dropped, kib) = (BUFFERS - 1, SMALL / 1024);
    guide.step(format!(
        "Drop {dropped} of {BUFFERS} buffers of {kib} KiB, all but the last: what one that lives holds back."
    ));
    let (mut mappings, mut blocks) = (Vec::new(), Vec::new());
    for _ in 0..BUFFERS {
        let mut pages = BASE.map(SMALL)?;
        touch_all(&mut pages);
        mappings.push(pages);
    }
    let ((), cost) = measure(|| drop(mappings.drain(..BUFFERS - 1)));
    guide.show(OURS, cost, look::pages(&mappings[0])).note("the one that is left");
    for _ in 0..BUFFERS {
        let Some(mut block) = Block::new(SMALL) else {
            guide.refused(MALLOC, no_memory(SMALL * BUFFERS));
            return Ok(());
        };
        touch_all(block.zeroed());
        blocks.push(block);
    }
    let ((), cost) = measure(|| drop(blocks.drain(..BUFFERS - 1)));
    guide.show(MALLOC, cost, look::pages(blocks[0].whole())).note("the one that is left");
    Ok(())
}
