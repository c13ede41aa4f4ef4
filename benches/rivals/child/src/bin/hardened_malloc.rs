//! The workloads on hardened_malloc.

use std::process::ExitCode;

#[global_allocator]
static GLOBAL: hardened_malloc::HardenedMalloc = hardened_malloc::HardenedMalloc;

fn main() -> ExitCode {
    rivals_child::main()
}
