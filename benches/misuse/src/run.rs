//! What the program of each allocator does: it runs the program with the error that it is told to.

use crate::programs::Left;

/// Runs the program of the name that is the one argument; the exit status says what is left if nothing has ended it.
pub fn main(mut programs: impl Iterator<Item = (&'static str, fn() -> Left)>) {
    let name = std::env::args().nth(1);
    let Some((_, run)) = programs.find(|(own, _)| Some(*own) == name.as_deref()) else {
        eprintln!("no program of the name {name:?}");
        std::process::exit(2);
    };
    let left = run();
    // SAFETY: ends the process; an error may have left nothing else to trust.
    unsafe { libc::_exit(if left == Left::Harmless { 70 } else { 71 }) }
}
