//! The example `index` as its user runs it: what it finds, what it reports, and its exit status.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod example;

fn index(arguments: &[&str]) -> Output {
    Command::new(example::program("index")).args(arguments).output().expect("the example starts")
}

/// `index` by another path, in a folder like Cargo's but without the other executables, run with a Cargo that fails.
fn index_alone(name: &str, arguments: &[&str]) -> Output {
    // On the same file system, for the link. Not a copy: a process that another test forks meanwhile would keep it open
    // for writing, and it could not be run.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let program = folder.join("debug/examples/index");
    _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(program.parent().expect("in a folder")).expect("a folder");
    fs::hard_link(example::program("index"), &program).expect("a hard link");
    let output = Command::new(&program).args(arguments).env("CARGO", "false").output().expect("the example starts");
    _ = fs::remove_dir_all(&folder);
    output
}

/// A directory of its own for each test, removed at the end.
struct Corpus(PathBuf);

impl Corpus {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mapalloc-index-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a writable temporary directory");
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("inside the corpus")).expect("a directory");
        fs::write(path, content).expect("a file");
        self
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("an ASCII path")
    }
}

impl Drop for Corpus {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn known(name: &str) -> Corpus {
    let corpus = Corpus::new(name);
    corpus
        .file("a.txt", "The quick brown fox\njumps over the lazy dog\n")
        .file("deep/er/b.txt", "nothing here\nBROWN bread, fox-brown\n")
        .file("c.txt", "a fox\n")
        .file("empty", "")
        .file("binary", [b'f', b'o', b'x', 0])
        .file("latin1", [b'f', 0xf6, b'x'])
        .file("target/built.txt", "fox brown")
        .file(".git/object", "fox brown");
    corpus
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fails with everything the program said.
#[track_caller]
fn check(output: &Output, status: i32, in_output: &[&str], in_errors: &[&str]) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let said = format!("status {:?}\n--- stdout\n{out}\n--- stderr\n{err}", output.status);
    assert_eq!(output.status.code(), Some(status), "{said}");
    for expected in in_output {
        assert!(out.contains(expected), "no {expected:?} in stdout; {said}");
    }
    for expected in in_errors {
        assert!(err.contains(expected), "no {expected:?} in stderr; {said}");
    }
    assert!(!in_errors.is_empty() || err.is_empty(), "{said}");
}

/// Terms: the quick brown fox jumps over lazy dog / nothing here brown bread fox / fox ("a" is too short).
const SUMMARY: &[&str] = &[
    "4 text files, 86 bytes; skipped: 2 binary, 0 unreadable\n",
    "11 distinct terms, 14 postings\n",
    "commonest terms: brown 3, fox 3, the 2, bread 1",
];

#[test]
fn compares_the_heaps_over_known_answers() {
    let corpus = known("compare");
    let output = index(&[corpus.path(), "--rounds=2", "--query=Brown fox", "--query", "fox absent"]);
    check(&output, 0, SUMMARY, &[]);
    check(
        &output,
        0,
        &["query \"Brown fox\": 2 documents\n", "b.txt:2\n", "a.txt:1\n", "\"fox absent\": 0 documents"],
        &[],
    );
    check(&output, 0, &["\nmalloc ", "\nPageAlloc::new() ", "\n.with_small_limit(0) ", "too short to compare"], &[]);
    check(&output, 0, &["\nStats of PageAlloc::new()\n", "\nStats of .with_small_limit(0)\n"], &[]);
    let out = text(&output.stdout);
    assert!(out.find("b.txt:2") < out.find("a.txt:1"), "the shorter document with more hits comes first:\n{out}");
}

#[test]
fn runs_on_each_heap_alone_with_any_number_of_threads() {
    let corpus = known("alone");
    for heap in ["malloc", "default", "slabs"] {
        for threads in ["1", "7"] {
            let output = index(&[corpus.path(), "--allocator", heap, "--threads", threads]);
            check(&output, 0, SUMMARY, &[]);
            assert_eq!(text(&output.stdout).contains("Stats"), heap != "malloc", "malloc has none");
        }
    }
}

#[test]
fn each_executable_is_the_program_on_its_heap() {
    let corpus = known("executables");
    // By the stats: whether the fallback heap has the small objects; malloc has no stats.
    for (name, heap, label, uses_fallback) in [
        ("index-malloc", "malloc", "\nmalloc: ", None),
        ("index", "default", "\nPageAlloc::new(): ", Some(true)),
        ("index-slabs", "slabs", "\n.with_small_limit(0): ", Some(false)),
    ] {
        let output = Command::new(example::program(name)).args([corpus.path(), "--allocator", heap]).output();
        let output = output.expect("the example starts");
        check(&output, 0, &[label], &[]);
        let out = text(&output.stdout);
        let line = out.lines().find(|line| line.starts_with("live, fallback "));
        assert_eq!(line.map(|line| !line.ends_with(" 0 (0 KiB)")), uses_fallback, "{name}:\n{out}");
    }
}

#[test]
fn without_the_other_executables_the_job_is_done_and_the_failure_told() {
    let corpus = known("without");
    let output = index_alone("without", &[corpus.path()]);
    let expected = [SUMMARY, &["\nPageAlloc::new(): ", "\nStats of PageAlloc::new()\n"]].concat();
    check(&output, 3, &expected, &["no comparison: cannot build index-malloc and index-slabs: false ended with exit"]);
    let output = index_alone("without-malloc", &[corpus.path(), "--allocator=malloc"]);
    check(&output, 3, &[], &["cannot build index-malloc and index-slabs"]);
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    let output = index_alone("with-its-own", &[corpus.path(), "--allocator=default"]);
    check(&output, 0, SUMMARY, &[]);
}

#[test]
fn a_file_counts_once_and_links_are_not_followed() {
    let corpus = known("links");
    fs::hard_link(corpus.0.join("a.txt"), corpus.0.join("again.txt")).expect("a hard link");
    std::os::unix::fs::symlink(".", corpus.0.join("loop")).expect("a symbolic link");
    let deep = corpus.0.join("deep");
    let output = index(&[corpus.path(), deep.to_str().expect("ASCII"), "--allocator=default"]);
    check(&output, 0, SUMMARY, &[]);
}

#[test]
fn a_missing_directory_is_reported_and_skipped() {
    let corpus = known("missing");
    let missing = corpus.0.join("no such directory");
    let output = index(&[missing.to_str().expect("ASCII"), corpus.path(), "--rounds=1"]);
    check(
        &output,
        1,
        &["4 text files, 86 bytes; skipped: 2 binary, 1 unreadable\n"],
        &["no such directory: No such file"],
    );
    assert_eq!(text(&output.stderr).lines().count(), 1, "reported once, not once a run");
}

#[test]
#[cfg(target_os = "linux")]
fn an_unreadable_file_is_reported_and_skipped() {
    let corpus = known("unreadable");
    // Address 0 of a process is never mapped, so this file cannot be read, not even by root.
    let output = index(&[corpus.path(), "/proc/self/mem", "--rounds=1"]);
    check(&output, 1, &["4 text files", "1 unreadable\n"], &["/proc/self/mem: Input/output error"]);

    // SAFETY: a call without arguments that cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        use std::os::unix::fs::PermissionsExt;
        corpus.file("secret", "fox");
        fs::set_permissions(corpus.0.join("secret"), fs::Permissions::from_mode(0o000)).expect("an own file");
        let output = index(&[corpus.path(), "--rounds=1"]);
        check(&output, 1, &["4 text files", "1 unreadable\n"], &["secret: Permission denied"]);
    }
}

#[test]
fn a_wrong_command_line_is_status_2() {
    for arguments in [["--rounds=0"], ["--allocator=other"], ["--no-such-option"]] {
        check(&index(&arguments), 2, &[], &["error: "]);
    }
}

#[test]
fn nothing_to_read_is_an_empty_index() {
    let corpus = Corpus::new("empty");
    assert!(Path::new(corpus.path()).is_dir());
    check(
        &index(&[corpus.path(), "--rounds=1"]),
        0,
        &["0 text files, 0 bytes", "query \"unsafe fn\": 0 documents"],
        &[],
    );
}
