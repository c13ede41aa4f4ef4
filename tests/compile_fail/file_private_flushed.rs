use mapalloc::file::{FileMap, Private};
use std::fs::File;

fn main() {
    let map = FileMap::<Private>::new(File::open("data").unwrap()).unwrap();
    map.flush().unwrap();
}
