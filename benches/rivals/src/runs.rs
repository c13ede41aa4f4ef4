//! One process of one row on one allocator.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a process is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its time alone.
    Time,
    /// Its memory: it rests at the end, and its huge pages are watched.
    Memory,
    /// Its system calls on memory, under strace.
    Syscalls,
}

/// What a process reported: names and numbers.
pub(crate) type Report = BTreeMap<String, f64>;

/// A row that takes longer than this is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the huge pages are looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// Runs a row; the reason if it fails.
pub(crate) fn run(program: &Path, row: &str, threads: usize, kind: Kind) -> Result<(Kind, Report), String> {
    let counts = std::env::temp_dir().join(format!("rivals-syscalls-{}", std::process::id()));
    let mut command = match kind {
        Kind::Syscalls => {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-c", "-e", "trace=%memory", "-o"]).arg(&counts).arg(program);
            strace
        }
        _ => Command::new(program),
    };
    command.args([row, &threads.to_string()]);
    if kind == Kind::Memory {
        command.arg("1");
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|error| format!("does not start: {error}"))?;
    let huge = wait(&mut child, kind == Kind::Memory)?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("failed: {}", output.status));
    }
    let mut report = parse(&String::from_utf8_lossy(&output.stdout));
    match kind {
        Kind::Time => {}
        Kind::Memory => _ = report.insert("huge".into(), huge as f64),
        Kind::Syscalls => {
            let text = fs::read_to_string(&counts).unwrap_or_default();
            let _ = fs::remove_file(&counts);
            report.insert("syscalls".into(), total(&text).ok_or("strace gave no counts")?);
        }
    }
    Ok((kind, report))
}

/// Waits for the end; returns the most KiB of huge pages that were seen.
fn wait(child: &mut Child, watch: bool) -> Result<u64, String> {
    let (start, mut huge) = (Instant::now(), 0);
    let rollup = format!("/proc/{}/smaps_rollup", child.id());
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("took more than {} s", PATIENCE.as_secs()));
        }
        if watch {
            let text = fs::read_to_string(&rollup).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("AnonHugePages:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            huge = huge.max(kib.unwrap_or(0));
        }
        std::thread::sleep(GLANCE);
    }
    Ok(huge)
}

/// The `name number` lines of a report.
fn parse(text: &str) -> Report {
    let pair = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_string(), number.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// The sum that ends strace's table.
fn total(text: &str) -> Option<f64> {
    let line = text.lines().rev().find(|line| line.trim_end().ends_with("total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_pairs() {
        let report = parse("time 12\nfaults 3\nnonsense\n");
        assert_eq!(report.len(), 2);
        assert_eq!(report["time"], 12.0);
    }

    #[test]
    fn the_total_is_the_last_line() {
        let text = "% time seconds usecs/call calls errors syscall\n 60.00 0.1 1 20  mmap\n100.00 0.2 1 33 1 total\n";
        assert_eq!(total(text), Some(33.0));
        assert_eq!(total(""), None);
    }
}
