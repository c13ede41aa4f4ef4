//! There is one of each secret.

use mapalloc::Secret;

fn main() {
    let secret = Secret::new(7_u64).unwrap();
    let _ = secret.clone();
}
