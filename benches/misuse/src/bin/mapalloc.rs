//! The programs on PageAlloc in its default form.

#[path = "../../../../tests/misuse/programs.rs"]
mod programs;
#[path = "../run.rs"]
mod run;

#[global_allocator]
static GLOBAL: mapalloc::PageAlloc = mapalloc::PageAlloc::new();

fn main() {
    run::main(programs::PROGRAMS.iter().map(|program| (program.name, program.run)));
}
