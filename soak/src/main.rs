//! A long mixed load on mapalloc in one process, and a watch on what must not grow.
//!
//! ```text
//! cargo run --release -p soak -- [--minutes N] [--form slabs|default] [--svg PATH]
//! ```
//!
//! `cli` says what it can be told, `forms` has the allocators, `load` the threads and their phases, `objects` what they work
//! on, `errands` what goes beyond the process, `figures`, `drift` and `chart` what is watched, judged and drawn, and `run`
//! puts it together.

mod block;
mod chart;
mod cli;
mod contents;
mod drift;
mod errands;
mod figures;
mod forms;
mod load;
mod objects;
mod run;

use clap::{Parser, ValueEnum};
use forms::{Form, Heap, VARIABLE};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

#[global_allocator]
static GLOBAL: Heap = Heap;

fn main() -> ExitCode {
    if let Ok(task) = std::env::var(errands::PEER) {
        return errands::peer(&task);
    }
    let cli = cli::Cli::parse();
    let other = cli.form.filter(|&form| form != Form::current()).and_then(|form| form.to_possible_value());
    let result = match other {
        // On success it does not come back.
        Some(form) => {
            let mut again = Command::new("/proc/self/exe");
            let error = again.args(std::env::args_os().skip(1)).env(VARIABLE, form.get_name()).exec();
            Err(format!("cannot start again on the other form: {error}"))
        }
        None => run::run(&cli, &GLOBAL),
    };
    result.unwrap_or_else(|message| {
        eprintln!("soak: {message}");
        ExitCode::FAILURE
    })
}
