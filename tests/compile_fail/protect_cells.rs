//! Elements that are written to through a shared reference are not made read-only.

use mapalloc::PageVec;
use mapalloc::map::Protect;
use std::cell::Cell;

fn main() {
    let cells: PageVec<Cell<u8>> = PageVec::new();
    let _ = cells.into_read_only();
}
