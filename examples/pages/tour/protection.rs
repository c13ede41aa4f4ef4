//! Pages that are locked, guarded, or not to be written to.

use super::{BASE, MALLOC, MIB, OURS, no_memory, touch_all};
use crate::block::Block;
use crate::cost::measure;
use crate::guide::Guide;
use crate::kind::Kind;
use crate::look;
use mapalloc::map::{Features, Guard, Lock, Protect};
use mapalloc::page_size;
use std::error::Error;
use std::io;
use std::os::fd::AsRawFd;

const LEN: usize = 4 * MIB;

/// Guards, and the pages between them.
const GUARDS: usize = 4;
const BETWEEN: usize = 56;

pub(crate) fn show(guide: &mut Guide) -> Result<(), Box<dyn Error>> {
    guide.step(format!("Lock {} MiB: in memory at once, and never swapped out.", LEN / MIB));
    let (pages, cost) = measure(|| BASE.lock(Lock::Now).best_effort(Features::LOCK).map(LEN));
    let pages = pages?;
    let row = guide.show(OURS, cost, look::pages(&pages));
    if pages.granted().missing().contains(Features::LOCK) {
        row.note("refused: lock (RLIMIT_MEMLOCK)");
    }
    drop(pages);
    guide.say(
        MALLOC,
        "has no call for it, and mlock(2) locks whole pages: neighbours on the first and the last are locked too",
    );

    guide.step("Guard pages before and behind: an overrun faults and hits nobody.");
    let (pages, cost) = measure(|| {
        let mut pages = BASE.guard_pages(GUARDS, GUARDS).map(BETWEEN * page_size())?;
        touch_all(&mut pages);
        Ok::<_, mapalloc::Error>(pages)
    });
    let pages = pages?;
    let (start, (before, behind)) = (pages.as_ptr().addr(), pages.granted().guard_bytes());
    let range = start - before..start + pages.len() + behind;
    let seen = look::within(range.clone(), &pages).and_then(|mut kinds| {
        for (kind, address) in kinds.iter_mut().zip(range.step_by(page_size())) {
            let is_outside = address < start || address >= start + pages.len();
            if is_outside && !is_readable(address)? {
                *kind = Kind::Guard;
            }
        }
        Ok(kinds)
    });
    guide.show(OURS, cost, seen).note(match pages.granted().guards() {
        Some(Guard::Installed) => "markers in the page tables, one mapping in all",
        Some(_) => "three mappings: pages without access on both sides",
        None => "refused: guards",
    });
    drop(pages);
    guide.say(MALLOC, "has its neighbours there");

    guide.step("Make pages read-only: a stray write faults, and the compiler refuses the others.");
    let mut pages = BASE.map(LEN)?;
    touch_all(&mut pages);
    let (pages, cost) = measure(|| pages.into_read_only().map_err(mapalloc::Error::from));
    let pages = pages?;
    guide.show(OURS, cost, look::pages(&pages));
    let (pages, cost) = measure(|| pages.into_writable().map_err(mapalloc::Error::from));
    guide.show("writable again", cost, look::pages(&pages?));
    match Block::new(LEN) {
        Some(mut block) => {
            touch_all(block.zeroed());
            guide
                .look(MALLOC, look::pages(block.zeroed())?)
                .note("stays writable: malloc's own data are on its pages too");
        }
        None => guide.refused(MALLOC, no_memory(LEN)),
    }
    Ok(())
}

/// Whether a byte can be read, by the kernel's word: write(2) from an address without access is `EFAULT`, and no fault.
fn is_readable(address: usize) -> io::Result<bool> {
    let (_kept, pipe) = io::pipe()?;
    // SAFETY: the kernel reads one byte into a pipe with room for it, if it can; nothing of this program's is changed.
    let written = unsafe { libc::write(pipe.as_raw_fd(), std::ptr::without_provenance(address), 1) };
    if written == 1 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EFAULT) => Ok(false),
        error => Err(error),
    }
}
