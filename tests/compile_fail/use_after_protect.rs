//! The container is given up when it is protected.

use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let mut table = PageVec::from([1, 2, 3]);
    let _protected = table.into_read_only().unwrap();
    table.push(4);
}
