//! Runs the programs with an error in a process of their own, on the global allocator of the test that includes this room.

pub(crate) mod programs;

use programs::{Left, PROGRAMS};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

const VARIABLE: &str = "MAPALLOC_MISUSE";

/// What becomes of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Ended by the allocator, with one line of its own.
    Reported(String),
    /// Ended by a fault.
    Fault,
    /// It ran to its end.
    Ran(Left),
}

/// Runs a program, by its name, in a child: the test `child` of this very binary, which must call [`run_if_asked`].
pub(crate) fn outcome(name: &str) -> Outcome {
    let output = Command::new(std::env::current_exe().expect("the path of this test"))
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .stdin(Stdio::null())
        .output()
        .expect("the test starts again");
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.signal() {
        Some(libc::SIGABRT) => {
            let lines: Vec<&str> = said.lines().collect();
            assert_eq!(lines.len(), 1, "{name}: one line is promised, not {said:?}");
            Outcome::Reported(lines[0].to_string())
        }
        Some(libc::SIGSEGV) => {
            assert_eq!(said, "", "{name}");
            Outcome::Fault
        }
        None if output.status.code() == Some(70) => Outcome::Ran(Left::Harmless),
        None if output.status.code() == Some(71) => Outcome::Ran(Left::Harm),
        _ => panic!("{name}: {:?}: {said}", output.status),
    }
}

/// In a child: runs the program and ends.
pub(crate) fn run_if_asked() {
    let Ok(name) = std::env::var(VARIABLE) else { return };
    let program = PROGRAMS.iter().find(|program| program.name == name).expect("a program of that name");
    let left = (program.run)();
    // SAFETY: ends the process; an error may have left nothing else to trust.
    unsafe { libc::_exit(if left == Left::Harmless { 70 } else { 71 }) }
}
