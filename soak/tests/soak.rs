//! The program as its user runs it: what it notices, what it writes, and its exit status.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A run with files of its own: a picture and figures.
struct Run {
    svg: PathBuf,
    command: Command,
}

impl Run {
    fn new(name: &str, arguments: &[&str]) -> Self {
        let svg = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.svg"));
        _ = fs::remove_file(&svg);
        let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
        command.args(["--threads", "2", "--live-mib", "24", "--svg"]).arg(&svg).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { svg, command }
    }

    fn output(&mut self) -> Output {
        self.command.output().expect("the program starts")
    }
}

#[track_caller]
fn said(output: &Output, status: i32, words: &[&str]) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    assert_eq!(output.status.code(), Some(status), "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
    text
}

#[test]
fn both_forms_hold_and_are_drawn() {
    for (form, title) in [("slabs", "slabs for every size"), ("default", "small objects on malloc")] {
        let mut run = Run::new(form, &["--minutes", "0.1", "--form", form]);
        let text = said(&run.output(), 0, &[title, "steady", "forks", "rings", "drawn in"]);
        assert!(!text.contains("DRIFTS") && !text.contains("too few"), "{text}");
        let svg = fs::read_to_string(&run.svg).expect("a picture");
        assert!(svg.contains("</svg>") && svg.contains(title) && svg.contains("at rest"));
        let csv = fs::read_to_string(run.svg.with_extension("csv")).expect("figures");
        let rests = csv.lines().filter(|line| line.split(',').nth(1) == Some("1")).count();
        assert!(rests >= 8 && csv.lines().count() >= rests + 6, "{csv}");
    }
}

#[test]
fn a_leak_is_noticed() {
    let text = said(&Run::new("leak", &["--minutes", "0.1", "--leak", "4194304"]).output(), 1, &["at rest grows"]);
    let drifts: Vec<_> = text.lines().filter(|line| line.ends_with("DRIFTS")).collect();
    assert!(drifts.iter().any(|line| line.starts_with("resident memory")), "{text}");
    assert!(drifts.iter().any(|line| line.starts_with("live bytes")), "{text}");
}

#[test]
fn a_flipped_byte_is_noticed() {
    said(&Run::new("corrupt", &["--minutes", "0.1", "--corrupt"]).output(), 1, &["contents have changed"]);
}

#[test]
fn a_wrong_command_line_is_refused_with_a_reason() {
    for (arguments, reason) in [
        (&["--minutes", "0"][..], "a number of minutes from 0.1 to"),
        (&["--minutes", "soon"], "a number of minutes"),
        (&["--form", "other"], "slabs"),
        (&["--leak", "much"], "invalid value"),
        (&["--leak"], "a value is required"),
    ] {
        said(&Run::new("wrong", arguments).output(), 2, &[reason]);
    }
    let mut run = Run::new("nowhere", &["--minutes", "0.1"]);
    run.command.args(["--csv", "/proc/none/figures.csv"]);
    said(&run.output(), 1, &["/proc/none"]);
}

#[test]
fn an_interrupt_ends_it_with_what_there_is() {
    let mut run = Run::new("interrupt", &["--minutes", "60"]);
    let mut child = run.command.spawn().expect("the program starts");
    // It is there once the signal is seen to.
    let started = Instant::now();
    while !run.svg.exists() {
        assert!(started.elapsed() < Duration::from_secs(60) && child.try_wait().expect("a child").is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    let output = child.wait_with_output().expect("a child");
    said(&output, 0, &["interrupted after", "drawn in"]);
    assert!(fs::read_to_string(&run.svg).expect("a picture").contains("</svg>"));
}
