use mapalloc::file::{FileMap, ReadWrite};
use std::fs::File;
use std::sync::atomic::Ordering::Relaxed;

fn main() {
    let file = File::open("data").unwrap();
    let mut map = FileMap::<ReadWrite>::new(&file).unwrap();
    let bytes = map.atomic_bytes();
    map.grow_to_end(&file).unwrap();
    println!("{}", bytes[0].load(Relaxed));
}
