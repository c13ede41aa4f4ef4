use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let mut vec = PageVec::from([1, 2, 3]);
    let table = vec.into_read_only().unwrap();
    vec.push(4);
    drop(table);
}
