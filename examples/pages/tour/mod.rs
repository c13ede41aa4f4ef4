//! The chapters of the tour, each with memory of its own, and what they have in common.

mod ends;
mod forks;
mod growth;
mod huge;
mod protection;
mod reservation;
mod vectors;

use crate::guide::Guide;
use mapalloc::map::MapOptions;
use mapalloc::page_size;
use std::error::Error;
use std::ptr;

/// Shows something. An error is a refusal that leaves nothing more to show.
pub(crate) type Chapter = fn(&mut Guide) -> Result<(), Box<dyn Error>>;

pub(crate) const CHAPTERS: [Chapter; 7] =
    [reservation::show, huge::show, growth::show, protection::show, forks::show, vectors::show, ends::show];

/// The labels of the two sides.
const OURS: &str = "mapalloc";
const MALLOC: &str = "malloc";

const MIB: usize = 1 << 20;

/// Pages of the base size, whatever the system's policy for huge ones is, so that each is seen alone.
const BASE: MapOptions = MapOptions::new().huge_pages(false);

/// Writes a byte to every `step`th page from page `first` on.
fn touch(memory: &mut [u8], first: usize, step: usize) {
    for byte in memory.iter_mut().skip(first * page_size()).step_by(step * page_size()) {
        // SAFETY: a byte of the slice. Volatile, since nothing reads it.
        unsafe { ptr::from_mut(byte).write_volatile(1) };
    }
}

/// Writes to every page.
fn touch_all(memory: &mut [u8]) {
    touch(memory, 0, 1);
}

/// What there is to say where malloc has no memory.
fn no_memory(bytes: usize) -> String {
    format!("malloc has no {} MiB", bytes / MIB)
}
