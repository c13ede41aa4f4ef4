//! A tour of what happens to pages: each step does something with memory and draws what the kernel says of it then.
//!
//! ```text
//! cargo run --release --example pages -- [--plain] [--pause SECONDS] [--svg PATH]
//! ```
//!
//! Beside each picture are the page faults, the time and the resident memory that the step cost, and malloc doing the same
//! where it can. All of it is seen from outside, in `/proc/self`, and measured in this one run: it shows what happens, and
//! is no benchmark; malloc is as the earlier steps left it, as in any program. What the system refuses is said, and the tour
//! goes on.
//!
//! `kind` says what a page can be and `look` finds it out, with `huge` for what only an ioctl tells; `cost` measures,
//! `block` is memory of malloc and `child` a second process; `guide` takes down what `tour` shows, for `screen` and `svg`.
//! The example has no global allocator: `Vec` is on malloc here, and the process has one thread, as `child` needs it.

mod block;
mod child;
mod cli;
mod cost;
mod guide;
mod huge;
mod kind;
mod look;
mod screen;
mod svg;
mod tour;
#[path = "../common/usage.rs"]
mod usage;

use cli::Cli;
use guide::Guide;
use std::io;
use std::process::ExitCode;

/// A picture could not be printed or written.
const FAILED: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::read();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("pages: {message}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(cli: &Cli) -> Result<(), String> {
    let lost = |error: io::Error| format!("cannot print: {error}");
    let colours = cli.colours();
    screen::print(&screen::system(), cli.pause()).map_err(lost)?;
    screen::print(&screen::legend(colours), cli.pause()).map_err(lost)?;
    let mut steps = Vec::new();
    for chapter in tour::CHAPTERS {
        let mut guide = Guide::default();
        // A refusal ends its chapter only, and is the last that the guide takes down of it.
        if let Err(refusal) = chapter(&mut guide) {
            guide.refused("the rest of this", &refusal);
        }
        for step in guide.into_steps() {
            steps.push(step);
            let text = screen::step(steps.len(), &steps[steps.len() - 1], colours);
            screen::print(&text, cli.pause()).map_err(lost)?;
        }
    }
    screen::print(&screen::total(), cli.pause()).map_err(lost)?;
    svg::write(&cli.svg, &steps).map_err(|error| format!("cannot write {}: {error}", cli.svg.display()))?;
    screen::print(&format!("drawn in {}\n", cli.svg.display()), cli.pause()).map_err(lost)
}
