//! The programs on the heap of the C library.

#[path = "../../../../tests/misuse/programs.rs"]
mod programs;
#[path = "../run.rs"]
mod run;

#[global_allocator]
static GLOBAL: std::alloc::System = std::alloc::System;

fn main() {
    run::main(programs::PROGRAMS.iter().map(|program| (program.name, program.run)));
}
