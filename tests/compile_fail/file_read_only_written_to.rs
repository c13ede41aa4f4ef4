use mapalloc::file::{FileMap, ReadOnly};
use std::fs::File;

fn main() {
    let map = FileMap::<ReadOnly>::new(File::open("data").unwrap()).unwrap();
    map.write_at(0, b"data").unwrap();
}
