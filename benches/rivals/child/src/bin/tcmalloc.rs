//! The workloads on Google's tcmalloc, as the README of `tcmalloc-better` sets it up: with the thread that gives memory
//! back.

use std::process::ExitCode;
use tcmalloc_better::TCMalloc;

#[global_allocator]
static GLOBAL: TCMalloc = TCMalloc;

fn main() -> ExitCode {
    TCMalloc::process_background_actions_thread();
    rivals_child::main()
}
