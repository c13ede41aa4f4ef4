//! The programs on mimalloc in its secure mode.

#[path = "../../../../tests/misuse/programs.rs"]
mod programs;
#[path = "../run.rs"]
mod run;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    run::main(programs::PROGRAMS.iter().map(|program| (program.name, program.run)));
}
