//! Elements with a destructor, which would need the pages, are not protected.

use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let words: PageVec<String> = PageVec::new();
    let _ = words.into_read_only();
}
