//! The programs on hardened_malloc of GrapheneOS.

#[path = "../../../../tests/misuse/programs.rs"]
mod programs;
#[path = "../run.rs"]
mod run;

#[global_allocator]
static GLOBAL: hardened_malloc::HardenedMalloc = hardened_malloc::HardenedMalloc;

fn main() {
    run::main(programs::PROGRAMS.iter().map(|program| (program.name, program.run)));
}
