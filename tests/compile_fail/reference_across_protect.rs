//! No reference to the contents outlives a change of the access.

use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let table = PageVec::from([1, 2, 3]);
    let first = &table[0];
    let _protected = table.into_no_access().unwrap();
    println!("{first}");
}
