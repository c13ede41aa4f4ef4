//! A reference to a secret lives no longer than the borrow that opened the pages.

use mapalloc::Secret;

fn main() {
    let secret = Secret::new(7_u64).unwrap();
    let value: &u64 = {
        let borrow = secret.read();
        &borrow
    };
    println!("{value}");
}
