//! The state does not change while a guard lives.

use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let mut table = PageVec::from([1, 2, 3]).into_read_only().unwrap();
    let guard = table.read().unwrap();
    let _ = table.into_writable();
    println!("{}", guard[0]);
}
