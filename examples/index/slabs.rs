//! The program of `main.rs` with every size on pages.

mod program;

use mapalloc::PageAlloc;
use program::Kind;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_small_limit(0);

fn main() -> ExitCode {
    program::run(Kind::Slabs, Some(&GLOBAL))
}
