//! The command line.

use clap::Parser;
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::time::Duration;

/// Shows what is reserved, mapped, resident, huge, locked and protected as memory is used, beside malloc.
///
/// Exit status: 0 if the tour was shown, also where the system refused a part of it, 2 for a wrong command line, 3 if the
/// pictures could not be printed or written.
#[derive(Parser, Debug)]
#[command(name = "pages")]
pub(crate) struct Cli {
    /// No colours; there are none either where the output is no terminal
    #[arg(long)]
    plain: bool,

    /// Seconds to wait after each step
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=60))]
    pause: u16,

    /// Where the drawing goes
    #[arg(long, value_name = "PATH", default_value = "target/pages.svg")]
    pub(crate) svg: PathBuf,
}

impl Cli {
    pub(crate) fn read() -> Self {
        Self::parse()
    }

    pub(crate) fn colours(&self) -> bool {
        !self.plain && stdout().is_terminal()
    }

    pub(crate) fn pause(&self) -> Duration {
        Duration::from_secs(self.pause.into())
    }
}
