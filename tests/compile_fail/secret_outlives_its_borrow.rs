use mapalloc::Secret;

fn main() {
    let secret = Secret::new([1_u8; 32]).unwrap();
    let first = {
        let borrow = secret.read();
        &borrow[0]
    };
    println!("{first}");
}
