//! The workloads on snmalloc, as its README sets it up.

use std::process::ExitCode;

#[global_allocator]
static GLOBAL: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;

fn main() -> ExitCode {
    rivals_child::main()
}
