//! `UNSAFE.md` beside the sources: each file with `unsafe` is in it, and what it names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(root().join("UNSAFE.md")).expect("UNSAFE.md")
}

/// All files of a folder and those in it, with this ending, as paths from the root.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let path = folder.join(entry.expect("an entry").file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path.to_str().expect("an ASCII path").to_owned());
            }
        }
    }
    found
}

/// Whether a source has the word outside of comments.
fn has_unsafe(source: &str) -> bool {
    let code = source.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    let mut words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.any(|word| word == "unsafe")
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The files that the document names, with the functions in them: `path/to/file.rs` or `path/to/file.rs::function`.
fn named(text: &str) -> BTreeSet<(&str, Option<&str>)> {
    let is_path = |path: &str| {
        ["src/", "tests/", "fuzz/", "scripts/"].iter().any(|folder| path.starts_with(folder)) && !path.contains(' ')
    };
    quoted(text)
        .map(|word| word.split_once("::").map_or((word, None), |(path, function)| (path, Some(function))))
        .filter(|(path, _)| is_path(path))
        .collect()
}

#[test]
fn every_file_with_unsafe_is_listed() {
    let text = document();
    let listed: BTreeSet<&str> =
        named(&text).into_iter().map(|(path, _)| path).filter(|p| p.starts_with("src/")).collect();
    for path in files("src") {
        let source = fs::read_to_string(root().join(&path)).expect("a source");
        if has_unsafe(&source) {
            assert!(listed.contains(&path[..]), "{path} has `unsafe`, and UNSAFE.md does not list it");
        }
    }
}

#[test]
fn what_is_named_exists() {
    let text = document();
    let named = named(&text);
    assert!(named.iter().filter(|(_, function)| function.is_some()).count() > 20, "no tests are named");
    for (path, function) in named {
        let Ok(source) = fs::read_to_string(root().join(path)) else { panic!("UNSAFE.md names {path}: no such file") };
        if let Some(function) = function {
            let declared = format!("fn {function}(");
            let Some(at) = source.find(&declared) else {
                panic!("UNSAFE.md names {path}::{function}: no such function")
            };
            // The attribute stands within the few lines before the function's.
            let before = source[..at].lines().rev().take(4).any(|line| line.trim().starts_with("#[test]"));
            assert!(before, "UNSAFE.md names {path}::{function}: that is no test");
        }
    }
}
