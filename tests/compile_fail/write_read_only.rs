//! Pages that are read-only are not written to.

use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let mut table = PageVec::from([1, 2, 3]).into_read_only().unwrap();
    table[0] = 4;
}
