//! The workloads on Scudo.

use std::process::ExitCode;

#[global_allocator]
static GLOBAL: scudo::GlobalScudoAllocator = scudo::GlobalScudoAllocator;

fn main() -> ExitCode {
    rivals_child::main()
}
