//! The workloads of the comparison, and the program that runs one of them in a process of its own.
//!
//! ```text
//! rival-ALLOCATOR ROW THREADS [IDLE_SECONDS]
//! rival-ALLOCATOR pair SIZE COUNT
//! ```
//!
//! Each binary in `src/bin` has another global allocator and is otherwise the same. It runs one row and prints what it
//! measured, a `key value` pair a line. Times are in nanoseconds, memory in KiB. With `IDLE_SECONDS` it sits idle after
//! all is freed, and looks at its memory again. The second form is for counting instructions, by `scripts/instructions`.

mod pair;
mod process;
pub mod rows;
mod stage;

pub use pair::pairs;
pub use stage::Stage;

use std::process::ExitCode;
use std::time::Duration;

/// Runs the row that the command line names.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [form, size, count] = &arguments[..]
        && form == "pair"
        && let (Ok(size), Ok(count)) = (size.parse(), count.parse())
    {
        pairs(size, count);
        return ExitCode::SUCCESS;
    }
    let Some((row, threads, idle)) = parse(&arguments) else {
        eprintln!("usage: ROW THREADS [IDLE_SECONDS]; the rows:");
        rows::all().for_each(|row| eprintln!("    {:<28} {}", row.name, row.what));
        return ExitCode::from(2);
    };
    drop(arguments);
    let mut stage = Stage::new(threads, idle.is_some());
    let start = process::rss_kib();
    (row.run)(&mut stage);
    let freed = process::rss_kib();
    let rested = idle.map(|idle| {
        std::thread::sleep(idle);
        process::rss_kib()
    });
    let peak = process::peak_rss_kib();
    stage.report();
    println!("start {start}\npeak {peak}\nfreed {freed}");
    if let Some(rested) = rested {
        println!("rested {rested}");
    }
    ExitCode::SUCCESS
}

fn parse(arguments: &[String]) -> Option<(&'static rows::Row, usize, Option<Duration>)> {
    let (name, threads, idle) = match arguments {
        [name, threads] => (name, threads, None),
        [name, threads, idle] => (name, threads, Some(Duration::try_from_secs_f64(idle.parse().ok()?).ok()?)),
        _ => return None,
    };
    Some((rows::all().find(|row| row.name == name)?, threads.parse().ok().filter(|threads| *threads > 0)?, idle))
}
