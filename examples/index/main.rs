//! A full-text index of the files under some directories, on `PageAlloc` as the global allocator.
//!
//! ```text
//! cargo run --release --example index -- [DIR...] [--query WORDS]... [--threads N] [--rounds N]
//! ```
//!
//! It reads every text file, builds an inverted index, answers queries with the best documents and where in them to look,
//! and says what that cost: time, resident memory and page faults, the allocator's own figures, and the same job on the
//! system's malloc side by side. Without a directory it indexes this repository, which is a short job; try
//! `~/.cargo/registry/src` for a longer one. `--allocator NAME` runs it once on that heap and compares nothing.
//!
//! A heap is a line in an executable's root: this file, `malloc.rs` and `slabs.rs` are the roots, and `program` is all
//! the rest. The plain run has the other two built if need be, and runs all three as child processes, in turns, after a
//! first round that fills the page cache and is not counted. All runs must find the same, or the program fails.

mod program;

use mapalloc::PageAlloc;
use program::Kind;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_fallback_counts(true);

fn main() -> ExitCode {
    program::run(Kind::Default, Some(&GLOBAL))
}
