//! Whoever writes to a secret is alone with it.

use mapalloc::Secret;

fn main() {
    let mut secret = Secret::new(7_u64).unwrap();
    let reader = secret.read();
    *secret.write() = 8;
    println!("{}", *reader);
}
