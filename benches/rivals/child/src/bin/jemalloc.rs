//! The workloads on jemalloc, as the README of `tikv-jemallocator` sets it up.

use std::process::ExitCode;

#[global_allocator]
static GLOBAL: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    rivals_child::main()
}
