use mapalloc::file::{FileMap, ReadWrite};
use std::fs::File;

fn main() {
    let map = FileMap::<ReadWrite>::new(File::open("data").unwrap()).unwrap();
    let shown = map.into_read_only().unwrap();
    map.write_at(0, b"data").unwrap();
    drop(shown);
}
