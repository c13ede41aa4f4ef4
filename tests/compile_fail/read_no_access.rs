//! Pages without access are not read.

use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let table = PageVec::from([1, 2, 3]).into_no_access().unwrap();
    println!("{}", table[0]);
}
