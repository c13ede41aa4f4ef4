//! The programs on PageAlloc with slabs for every size.

#[path = "../../../../tests/misuse/programs.rs"]
mod programs;
#[path = "../run.rs"]
mod run;

#[global_allocator]
static GLOBAL: mapalloc::PageAlloc = mapalloc::PageAlloc::new().with_small_limit(0);

fn main() {
    run::main(programs::PROGRAMS.iter().map(|program| (program.name, program.run)));
}
