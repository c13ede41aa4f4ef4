//! What allocators make of memory errors, as a table.
//!
//! ```text
//! cargo run --release --package misuse -- --rounds 20
//! ```
//!
//! Each program has one error and runs in a process of its own, several times: what depends on chance shows as a count.

#[path = "../../../tests/misuse/programs.rs"]
mod programs;

use clap::Parser;
use programs::PROGRAMS;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Parser)]
#[command(about = "What allocators make of memory errors")]
struct Arguments {
    /// How often each program runs.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Only the programs whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Only these allocators.
    #[arg(long, value_delimiter = ',')]
    allocators: Option<Vec<String>>,
}

/// An allocator: its name, which is that of its binary, the feature that builds it, and the head of its column.
const ALLOCATORS: [(&str, Option<&str>, &str); 7] = [
    ("mapalloc-hardened", None, "`.hardened()`"),
    ("hardened-malloc", Some("hardened-malloc"), "hardened_malloc 13"),
    ("scudo", Some("scudo"), "Scudo"),
    ("mimalloc-secure", Some("mimalloc"), "mimalloc secure"),
    ("glibc", None, "glibc"),
    ("mapalloc", None, "`PageAlloc::new()`"),
    ("mapalloc-slabs", None, "`.with_small_limit(0)`"),
];

const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let chosen = |name: &str| arguments.allocators.as_ref().is_none_or(|names| names.iter().any(|own| own == name));
    if let Some(unknown) =
        arguments.allocators.iter().flatten().find(|name| ALLOCATORS.iter().all(|(own, ..)| own != name))
    {
        eprintln!("no allocator of the name {unknown}");
        return ExitCode::from(2);
    }
    let mut columns = Vec::new();
    for (name, feature, head) in ALLOCATORS.into_iter().filter(|(name, ..)| chosen(name)) {
        match build(name, feature) {
            Ok(program) => columns.push((head, program)),
            Err(error) => eprintln!("{name} cannot be built and is left out:\n{error}"),
        }
    }
    let only = arguments.only.unwrap_or_default();
    let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    println!("| program | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len()));
    for program in PROGRAMS.iter().filter(|program| program.name.contains(&only)) {
        let cells: Vec<String> = columns.iter().map(|(_, path)| cell(path, program.name, arguments.rounds)).collect();
        println!("| {} | {} |", program.what, cells.join(" | "));
        _ = std::io::stdout().flush();
    }
    ExitCode::SUCCESS
}

/// What became of all rounds.
fn cell(path: &Path, program: &str, rounds: usize) -> String {
    let mut counts = BTreeMap::new();
    for _ in 0..rounds {
        *counts.entry(outcome(path, program)).or_insert(0) += 1;
    }
    match counts.len() {
        1 => counts.into_keys().next().unwrap_or_default().to_string(),
        _ => counts.iter().map(|(outcome, count)| format!("{outcome} {count}/{rounds}")).collect::<Vec<_>>().join(", "),
    }
}

fn outcome(path: &Path, program: &str) -> &'static str {
    let child =
        Command::new(path).arg(program).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = child else { return "does not start" };
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_micros(200)),
            _ => {
                _ = child.kill();
                _ = child.wait();
                return "hangs";
            }
        }
    };
    match (status.signal(), status.code()) {
        (Some(libc::SIGABRT | libc::SIGTRAP | libc::SIGILL), _) => "ended",
        (Some(libc::SIGSEGV | libc::SIGBUS), _) => "fault",
        (_, Some(70)) => "no harm",
        (_, Some(71)) => "**harm**",
        _ => "other",
    }
}

/// Builds the program of an allocator; the end of the compiler's output if that fails.
fn build(name: &str, feature: Option<&str>) -> Result<PathBuf, String> {
    let binary = format!("misuse-{name}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet", "--package", "misuse", "--bin", &binary]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(feature.iter().flat_map(|feature| ["--features", feature]));
    eprintln!("building {binary}");
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = errors.lines().collect();
        return Err(lines[lines.len().saturating_sub(12)..].join("\n"));
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name(&binary);
    if program.is_file() { Ok(program) } else { Err(format!("{binary} is not beside this program")) }
}
