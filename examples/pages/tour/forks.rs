//! Copy-on-write, page by page, with a child process.

use super::{BASE, MALLOC, OURS, no_memory, touch, touch_all};
use crate::block::Block;
use crate::child::Child;
use crate::cost::measure;
use crate::guide::Guide;
use crate::kind::Kind;
use crate::look;
use mapalloc::page_size;
use std::error::Error;
use std::io;

/// As many as a picture has cells, so that each is seen.
const PAGES: usize = crate::kind::CELLS;

/// The parent writes to every page of so many.
const WRITTEN: usize = 4;

pub(crate) fn show(guide: &mut Guide) -> Result<(), Box<dyn Error>> {
    guide.step("Fork: the child has the same pages, and none is copied.");
    let mut pages = BASE.map(PAGES * page_size())?;
    touch_all(&mut pages);
    guide.look("before", look::pages(&pages)?);
    let (child, cost) = measure(|| fork(&pages));
    let mut child = child?;
    guide.show("parent", cost, look::pages(&pages));

    guide.step("The parent writes to every fourth page: those are copied, and only those.");
    let ((), cost) = measure(|| touch(&mut pages, 0, WRITTEN));
    guide.show("parent", cost, look::pages(&pages));
    let seen = child.ask()?.into_iter().filter_map(|kind| Kind::ALL.get(usize::from(kind)).copied());
    guide.look("child", seen.collect()).note("seen by the child itself, which has the old contents");

    guide.step("The child ends: nobody shares the pages any more.");
    let ((), cost) = measure(|| drop(child));
    guide.show("parent", cost, look::pages(&pages));

    guide.step("The same with a block of malloc: copy-on-write is the kernel's, for all memory.");
    let Some(mut block) = Block::new(PAGES * page_size()) else {
        guide.refused(MALLOC, no_memory(PAGES * page_size()));
        return Ok(());
    };
    touch_all(block.zeroed());
    let child = fork(block.zeroed())?;
    let ((), cost) = measure(|| touch(block.zeroed(), 0, WRITTEN));
    guide.show(MALLOC, cost, look::pages(block.zeroed()));
    drop(child);
    guide.say(OURS, "can also leave pages out of children, or give them zeros: MapOptions::on_fork");
    Ok(())
}

/// A child that reports its pages, a byte each.
fn fork(memory: &[u8]) -> io::Result<Child> {
    Child::fork(|| Ok(look::pages(memory)?.into_iter().map(|kind| kind as u8).collect()))
}
