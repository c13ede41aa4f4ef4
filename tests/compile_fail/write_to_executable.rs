use mapalloc::PageVec;
use mapalloc::map::Protect;

fn main() {
    let mut code = PageVec::from([0xc3_u8]).into_executable().unwrap();
    code[0] = 0x90;
}
