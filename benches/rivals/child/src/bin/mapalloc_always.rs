//! The workloads on `PageAlloc` with slabs for every size, and huge pages everywhere.

use mapalloc::{HugePages, PageAlloc};
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_small_limit(0).with_huge_pages(HugePages::Always);

fn main() -> ExitCode {
    rivals_child::main()
}
