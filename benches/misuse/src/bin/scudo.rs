//! The programs on Scudo, as Android and Fuchsia use it.

#[path = "../../../../tests/misuse/programs.rs"]
mod programs;
#[path = "../run.rs"]
mod run;

#[global_allocator]
static GLOBAL: scudo::GlobalScudoAllocator = scudo::GlobalScudoAllocator;

fn main() {
    run::main(programs::PROGRAMS.iter().map(|program| (program.name, program.run)));
}
