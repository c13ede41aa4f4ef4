//! One guard at a time.

use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let mut table = PageVec::from([1, 2, 3]).into_no_access().unwrap();
    let mut one = table.write().unwrap();
    let mut two = table.write().unwrap();
    one[0] = two[0];
    two[0] = 1;
}
