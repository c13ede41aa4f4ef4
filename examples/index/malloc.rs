//! The program of `main.rs` on the system's malloc: no global allocator is named.

mod program;

use program::Kind;
use std::process::ExitCode;

fn main() -> ExitCode {
    program::run(Kind::Malloc, None)
}
