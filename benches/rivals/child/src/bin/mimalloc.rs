//! The workloads on mimalloc v3, as its README sets it up.

use std::process::ExitCode;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rivals_child::main()
}
