use mapalloc::PageVec;
use mapalloc::map::Protect;
use std::cell::Cell;

fn main() {
    let table = PageVec::from([Cell::new(1)]).into_read_only();
    drop(table);
}
