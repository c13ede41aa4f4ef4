use mapalloc::Secret;

fn main() {
    let secret = Secret::new(String::from("on the heap"));
    drop(secret);
}
