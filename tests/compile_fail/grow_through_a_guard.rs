use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let mut table = PageVec::from([1, 2, 3]).into_read_only().unwrap();
    table.write().unwrap().push(4);
}
