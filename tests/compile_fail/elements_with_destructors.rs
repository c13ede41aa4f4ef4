use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let table = PageVec::from([String::new()]).into_no_access();
    drop(table);
}
