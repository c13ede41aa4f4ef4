//! The command line.

use super::Kind;
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Indexes the words of text files and answers queries, on PageAlloc and, side by side, on malloc.
///
/// Exit status: 0 if all went well, 1 if something could not be read, 2 for a wrong command line, 3 if there is no
/// comparison (then the job is done on this heap alone), a run failed, or the heaps led to different answers.
#[derive(Parser, Debug)]
#[command(name = "index")]
pub(crate) struct Cli {
    /// Directories (or files) to index [default: the repository]
    #[arg(value_name = "DIR")]
    pub(crate) roots: Vec<PathBuf>,

    /// Threads that read and tokenise [default: one per processor, at most 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,

    /// Measured runs of each heap; the heaps take turns
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,

    /// Words that a document must have, all of them; may be given several times
    #[arg(long = "query", value_name = "WORDS")]
    pub(crate) queries: Vec<String>,

    /// Run once on this heap and compare nothing
    #[arg(long, value_enum)]
    pub(crate) allocator: Option<Kind>,

    /// Print the result for the parent process (internal)
    #[arg(long, hide = true)]
    pub(crate) machine: bool,
}

impl Cli {
    /// The command line with every default filled in.
    pub(crate) fn read() -> Self {
        let mut cli = Self::parse();
        if cli.roots.is_empty() {
            // Cargo says where the package is; a program that was started by hand takes the current directory.
            cli.roots.push(std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from));
        }
        if cli.queries.is_empty() {
            cli.queries = ["page size", "unsafe fn", "memory allocation error"].map(String::from).to_vec();
        }
        if cli.threads.is_none() {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            cli.threads = Some(processors.min(8) as u16);
        }
        cli
    }

    pub(crate) fn threads(&self) -> usize {
        usize::from(self.threads.unwrap_or(1))
    }

    /// The arguments for a child process that does this job once and reports to its parent.
    pub(crate) fn child_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--machine".into(), format!("--threads={}", self.threads()).into()];
        arguments.extend(self.queries.iter().map(|query| format!("--query={query}").into()));
        arguments.push("--".into());
        arguments.extend(self.roots.iter().map(OsString::from));
        arguments
    }
}
