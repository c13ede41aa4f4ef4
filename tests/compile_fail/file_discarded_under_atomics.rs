use mapalloc::file::{FileMap, Private};
use std::fs::File;
use std::sync::atomic::Ordering::Relaxed;

fn main() {
    let mut map = FileMap::<Private>::new(File::open("data").unwrap()).unwrap();
    let bytes = map.atomic_bytes();
    map.discard(..).unwrap();
    println!("{}", bytes[0].load(Relaxed));
}
