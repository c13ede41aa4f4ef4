use mapalloc::file::{FileMap, ReadWrite};
use std::fs::File;

fn main() {
    let mut map = FileMap::<ReadWrite>::new(File::open("data").unwrap()).unwrap();
    println!("{}", map.as_slice()[0]);
    map.as_mut_slice()[0] = 1;
}
