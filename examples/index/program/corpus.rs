//! The files: which ones there are, and what is in one.
//!
//! Only regular files count, each once whatever the number of its names; `.git` and `target` are left out, and symbolic
//! links are not followed, so that no loop can arise. A root may be a link: the user named it.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Names that are never entered: history and build products are not text that anyone wrote.
const SKIPPED: [&str; 2] = [".git", "target"];

/// The files to read, in an order that depends on their names only, and what could not be looked at.
#[derive(Default)]
pub(crate) struct Corpus {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) failures: Vec<String>,
}

/// Finds the files under `roots`.
pub(crate) fn walk(roots: &[PathBuf]) -> Corpus {
    let mut corpus = Corpus::default();
    let mut seen = HashSet::new();
    for root in roots {
        match fs::metadata(root) {
            Ok(metadata) => visit(root, &metadata, &mut seen, &mut corpus),
            Err(error) => corpus.failures.push(failure(root, &error)),
        }
    }
    corpus
}

fn visit(root: &Path, metadata: &Metadata, seen: &mut HashSet<(u64, u64)>, corpus: &mut Corpus) {
    // A list of what is still to do, not a recursion: trees may be deeper than a stack.
    let mut pending = vec![(root.to_path_buf(), metadata.clone())];
    while let Some((path, metadata)) = pending.pop() {
        if !(metadata.is_file() || metadata.is_dir()) || !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        if metadata.is_file() {
            corpus.files.push(path);
            continue;
        }
        match children(&path, corpus) {
            Ok(found) => pending.extend(found),
            Err(error) => corpus.failures.push(failure(&path, &error)),
        }
    }
}

/// The entries of a directory, last name first: they are taken from the end.
fn children(directory: &Path, corpus: &mut Corpus) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if SKIPPED.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        // Of a link this is the link's own metadata, which is neither file nor directory.
        match entry.metadata() {
            Ok(metadata) => found.push((entry.path(), metadata)),
            Err(error) => corpus.failures.push(failure(&entry.path(), &error)),
        }
    }
    found.sort_by(|a, b| b.0.cmp(&a.0));
    Ok(found)
}

/// The line that reports a file or directory that was skipped because of `error`.
pub(crate) fn failure(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}; skipped", path.display())
}

/// What is in a file: `None` if it is not text, that is, not UTF-8 or with a zero byte in it.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    let bytes = fs::read(path)?;
    Ok(if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() })
}
