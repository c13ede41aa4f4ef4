//! The workloads on `PageAlloc` in its default form: small objects on the C library's heap.

use mapalloc::PageAlloc;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new();

fn main() -> ExitCode {
    rivals_child::main()
}
