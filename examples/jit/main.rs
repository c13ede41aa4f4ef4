//! Machine code in pages: an arithmetic expression is compiled, called, protected from being overwritten, and patched.
//!
//! ```text
//! cargo run --release --example jit -- [EXPRESSION] [--inputs N]
//! ```
//!
//! The expression has `x`, `y`, numbers, `+`, `-`, `*` and parentheses, and wraps around at 64 bits. It is compiled into a
//! `PageVec<u8>`, whose pages then become executable instead of writable (`into_executable`); the types see to it that
//! they are never both. The program calls the code for many inputs, compares it with an interpreter, and measures both.
//! Then a child process writes to the code and reports its SIGSEGV, and the code is made writable again, patched, and called
//! once more.
//!
//! In `program`, `expression` parses and interprets, `function` is the code and its pages, with an assembler for each
//! processor, `fault` the child. On processors other than x86-64 and aarch64 there is nothing to see.
//!
//! Exit status: 0 if all was as it should be, 1 if something was not, 2 for a wrong command line.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod program;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod program {
    pub(crate) fn run() -> std::process::ExitCode {
        println!("there is no assembler for {} here", std::env::consts::ARCH);
        std::process::ExitCode::SUCCESS
    }
}

fn main() -> std::process::ExitCode {
    program::run()
}
