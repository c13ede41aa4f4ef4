use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let mut table = PageVec::from([1, 2, 3]).into_no_access().unwrap();
    let one = table.write().unwrap();
    let two = table.read().unwrap();
    drop((one, two));
}
