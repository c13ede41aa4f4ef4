//! A value that keeps its contents elsewhere is no secret.

use mapalloc::Secret;

fn main() {
    let _ = Secret::new(String::from("on the heap"));
}
