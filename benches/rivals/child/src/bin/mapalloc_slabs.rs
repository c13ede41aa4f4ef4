//! The workloads on `PageAlloc` with slabs for every size.

use mapalloc::PageAlloc;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_small_limit(0);

fn main() -> ExitCode {
    rivals_child::main()
}
