use mapalloc::Secret;

fn main() {
    let secret = Secret::new([1_u8; 32]).unwrap();
    println!("{}", secret[0]);
}
