//! One program for each allocator.

use crate::allocators::Allocator;
use std::path::PathBuf;
use std::process::Command;

/// Builds the program of an allocator; the end of the compiler's output if that fails.
pub(crate) fn build(allocator: &Allocator) -> Result<PathBuf, String> {
    let binary = format!("rival-{}", allocator.name);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet", "--package", "rivals-child", "--bin", &binary]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(allocator.feature.iter().flat_map(|feature| ["--features", feature]));
    eprintln!("building {binary}");
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = errors.lines().collect();
        return Err(lines[lines.len().saturating_sub(12)..].join("\n"));
    }
    // Both programs come out of one target folder.
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name(&binary);
    if program.is_file() { Ok(program) } else { Err(format!("{binary} is not beside this program")) }
}
