//! Where the examples' executables are.

use std::path::PathBuf;
use std::process::Command;

/// The executable of an example. `cargo test` builds them all; a run of one test alone may not have.
pub(crate) fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("the path of this test");
    let profile = this.ancestors().nth(2).expect("this test is in deps/");
    let program = profile.join("examples").join(name);
    if !program.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", name]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "cannot build the example {name}");
    }
    program
}
