use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let mut table = PageVec::from([1, 2, 3]).into_read_only().unwrap();
    let guard = table.write().unwrap();
    println!("{}", table[0]);
    drop(guard);
}
