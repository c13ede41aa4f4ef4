//! The workloads on rpmalloc, as its README sets it up.

use std::process::ExitCode;

#[global_allocator]
static GLOBAL: rpmalloc::RpMalloc = rpmalloc::RpMalloc;

fn main() -> ExitCode {
    rivals_child::main()
}
