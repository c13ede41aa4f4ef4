//! A reference lives no longer than the guard that opened the pages.

use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let mut table = PageVec::from([1, 2, 3]).into_no_access().unwrap();
    let first: &i32 = {
        let guard = table.read().unwrap();
        &guard[0]
    };
    println!("{first}");
}
