//! Secrets are not shown, nor compared.

use mapalloc::Secret;

fn main() {
    let (one, two) = (Secret::new(7_u64).unwrap(), Secret::new(7_u64).unwrap());
    println!("{one}");
    let _ = one == two;
}
