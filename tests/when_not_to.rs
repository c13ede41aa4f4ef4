//! The example `when_not_to` as its user runs it: its tables are those of `docs/when-not-to.md`, and it leaves no files.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

mod example;

fn run(arguments: &[&str]) -> Output {
    Command::new(example::program("when_not_to")).args(arguments).output().expect("the example starts")
}

/// The headings of the tables and the ways in them; figures and sizes are another machine's.
fn outline(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.starts_with("### ") || (line.starts_with("| ") && !line.contains("| × |")))
        .map(|line| match line.strip_prefix("| ") {
            Some(row) => row.split(" | ").next().unwrap_or(row).split(" (").next().unwrap_or(row),
            None => line,
        })
        .filter(|name| !name.contains("MiB mapped"))
        .collect()
}

#[test]
fn the_tables_are_those_of_the_page_and_no_file_is_left() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("when-not-to");
    fs::create_dir_all(&folder).expect("a folder");
    let output = run(&["--small", "--rounds=1", "--dir", folder.to_str().expect("UTF-8")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(text.ends_with("these figures say nothing. Run it with `--release` and without `--small`.**\n"), "{text}");
    assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 0, "files are left");

    let page = include_str!("../docs/when-not-to.md");
    assert_eq!(outline(page), outline(&text));
    for line in text.lines().filter(|line| line.starts_with('|')) {
        assert!(line.matches('|').count() >= 6 && line.ends_with('|'), "{line}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let output = run(&["--small", "--dir=/proc/no"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("when_not_to: "), "{output:?}");
}
