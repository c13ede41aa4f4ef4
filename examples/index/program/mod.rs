//! The program, the same for each of the three executables; `examples/index/main.rs` says what it does.
#![allow(
    clippy::cast_possible_truncation,
    reason = "numbers of documents and terms are 32 bits: an index of more than four billion is out of scope"
)]

#[path = "../../common/children.rs"]
mod children;
mod cli;
mod corpus;
mod executables;
mod index;
mod job;
#[path = "../../common/kind.rs"]
mod kind;
mod query;
mod report;
#[path = "../../common/usage.rs"]
mod usage;

pub(crate) use kind::Kind;

use cli::Cli;
use executables::Executables;
use mapalloc::PageAlloc;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

/// Something could not be read; the rest was done.
const INCOMPLETE: u8 = 1;
/// There is no comparison, a run failed, or the heaps led to different answers. (2 is clap's, for a wrong command line.)
const FAILED: u8 = 3;

/// The program in an executable whose heap is `own`, which is `heap` if it is a `PageAlloc`.
pub(crate) fn run(own: Kind, heap: Option<&PageAlloc>) -> ExitCode {
    let cli = Cli::read();
    let result = match cli.allocator {
        Some(kind) if kind != own => on_another_heap(kind),
        None if !cli.machine => match Executables::find() {
            Ok(executables) => side_by_side(&cli, &executables),
            Err(message) => {
                eprintln!("index: no comparison: {message}");
                let (text, _) = once(&cli, own, heap);
                Ok((text, FAILED))
            }
        },
        _ => Ok(once(&cli, own, heap)),
    };
    let written = result.and_then(|(text, status)| {
        io::stdout().write_all(text.as_bytes()).map_err(|error| format!("cannot write the report: {error}"))?;
        Ok(status)
    });
    ExitCode::from(written.unwrap_or_else(|message| {
        eprintln!("index: {message}");
        FAILED
    }))
}

/// The job in this process.
fn once(cli: &Cli, own: Kind, heap: Option<&PageAlloc>) -> (String, u8) {
    let bar = if cli.machine { indicatif::ProgressBar::hidden() } else { children::progress("files") };
    let outcome = job::run(cli, heap, &bar);
    for failure in &outcome.failures {
        eprintln!("index: {failure}");
    }
    let text = if cli.machine { report::machine(&outcome) } else { report::single(own, &outcome) };
    (text, if outcome.failures.is_empty() { 0 } else { INCOMPLETE })
}

/// The executable of the heap `kind` with the same arguments in the place of this process.
fn on_another_heap(kind: Kind) -> Result<(String, u8), String> {
    let mut command = Executables::find()?.command(kind);
    let error = command.args(std::env::args_os().skip(1)).exec();
    Err(format!("cannot start {}: {error}", command.get_program().display()))
}

/// The job in children, every heap in every round.
fn side_by_side(cli: &Cli, executables: &Executables) -> Result<(String, u8), String> {
    let arguments = cli.child_arguments();
    let child = |kind| child(executables, kind, &arguments);
    let bar = children::progress("runs");
    bar.set_length((usize::from(cli.rounds) * Kind::ALL.len() + 1) as u64);
    bar.tick();

    // Fills the page cache, and says what cannot be read, once.
    let first = child(Kind::Malloc)?;
    bar.suspend(|| eprint!("{}", first.errors));
    bar.inc(1);
    let mut runs = Kind::ALL.map(|kind| (kind, Vec::new()));
    for _ in 0..cli.rounds {
        for (kind, runs) in &mut runs {
            runs.push(child(*kind)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let text = report::compare(&runs, cli.threads())?;
    Ok((text, if first.status == Some(0) { 0 } else { INCOMPLETE }))
}

fn child(executables: &Executables, kind: Kind, arguments: &[OsString]) -> Result<children::Finished, String> {
    let finished = children::run(executables.command(kind).args(arguments))?;
    match finished.status {
        Some(0 | 1) => Ok(finished),
        status => Err(format!("the run on {} failed ({status:?}):\n{}", kind.label(), finished.errors)),
    }
}
