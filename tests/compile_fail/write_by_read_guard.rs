//! Leave to read is not leave to write.

use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let mut table = PageVec::from([1, 2, 3]).into_no_access().unwrap();
    let mut guard = table.read().unwrap();
    guard[0] = 4;
}
