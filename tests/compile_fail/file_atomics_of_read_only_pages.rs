use mapalloc::file::{FileMap, ReadOnly};
use std::fs::File;

fn main() {
    let map = FileMap::<ReadOnly>::new(File::open("data").unwrap()).unwrap();
    let bytes = map.atomic_bytes();
    println!("{}", bytes.len());
}
