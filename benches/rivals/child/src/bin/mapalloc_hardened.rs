//! The workloads on the hardened `PageAlloc`.

use mapalloc::PageAlloc;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().hardened();

fn main() -> ExitCode {
    rivals_child::main()
}
