//! Elements that many own are not changed.

use mapalloc::PageVec;

fn main() {
    let mut shared = PageVec::from([1, 2, 3]).into_shared();
    shared[0] = 4;
}
