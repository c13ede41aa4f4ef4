//! The examples `direct_io`, `buffer_pool` and `jit` as their users run them: what they say, and their exit status.

use mapalloc::page_size;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod example;

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(example::program(name)).args(arguments).output().expect("the example starts")
}

/// The standard output and the standard error of a program that ended with this status.
#[track_caller]
fn said(output: &Output, status: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let whole = format!("status {:?}\n--- stdout\n{out}\n--- stderr\n{err}", output.status);
    assert_eq!(output.status.code(), Some(status), "{whole}");
    assert_eq!(err.is_empty(), status == 0, "{whole}");
    (out, err)
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

/// The number before these words.
#[track_caller]
fn number_before(text: &str, words: &str) -> u64 {
    let before = text.split_once(words).unwrap_or_else(|| panic!("no {words:?} in:\n{text}")).0;
    let digits = &before[before.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1)..];
    digits.parse().unwrap_or_else(|_| panic!("no number before {words:?} in:\n{text}"))
}

/// A directory of its own for each test, where there is a disk below it, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("examples-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a writable target directory");
        Self(path)
    }

    fn join(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// `direct_io` over 64 blocks in an own folder, with a limit that it is started under. `None` if the file system has no
/// direct I/O, and the example says so.
fn direct_io(name: &str, limit: fn() -> io::Result<()>) -> Option<String> {
    let folder = Folder::new(name);
    let mut command = Command::new(example::program("direct_io"));
    command.args([folder.0.as_os_str(), "--mib=4".as_ref(), "--block-kib=64".as_ref(), "--depth=3".as_ref()]);
    // SAFETY: the limits below are set by system calls alone.
    let output = unsafe { command.pre_exec(limit) }.output().expect("the example starts");
    assert_eq!(fs::read_dir(&folder.0).expect("the folder").count(), 0, "the file is removed");
    if output.status.code() == Some(3) {
        assert_has(&said(&output, 3).1, &["no direct I/O on the file system of"]);
        return None;
    }
    Some(said(&output, 0).0)
}

/// Whether the program says that there is no io_uring.
fn lacks_ring(out: &str) -> bool {
    out.contains("\nno io_uring: ")
}

/// The checksums on the lines that begin with these words.
fn checksums<'a>(out: &'a str, what: &str) -> Vec<&'a str> {
    out.lines().filter(|line| line.starts_with(what)).filter_map(|line| line.split("checksum ").nth(1)).collect()
}

#[test]
fn direct_io_reads_what_it_wrote_and_recycles_buffers() {
    let Some(out) = direct_io("plain", || Ok(())) else { return };
    assert_has(&out, &["64 blocks of 64 KiB", "MB/s"]);
    let (written, read) = (checksums(&out, "written, O_DIRECT"), checksums(&out, "read, O_DIRECT"));
    assert_eq!(written, read, "{out}");
    let buffered = [checksums(&out, "read, buffered"), checksums(&out, "the same, from the page cache")].concat();
    assert_eq!(buffered, [*written.last().expect("a write"); 2], "{out}");
    // A frame for all calls, of which the ring takes over one.
    let (frames, ring) = if lacks_ring(&out) { (1, 0) } else { (3, 1) };
    assert_eq!(written.len(), ring + 1, "{out}");
    assert_eq!(number_before(&out, " allocated"), frames, "{out}");
    assert_eq!(number_before(&out, " times recycled"), 2 * 64 - 1 + ring as u64, "{out}");
}

#[test]
fn direct_io_goes_on_without_io_uring() {
    let Some(out) = direct_io("without-ring", forbid_io_uring) else { return };
    assert!(lacks_ring(&out), "{out}");
    assert!(!out.contains("O_DIRECT, io_uring"), "{out}");
    assert_eq!(checksums(&out, "written, O_DIRECT"), checksums(&out, "read, O_DIRECT"), "{out}");
    assert_has(&out, &["the same, from the page cache", "buffers: 1 allocated"]);
}

#[test]
fn direct_io_goes_on_with_unregistered_buffers() {
    // Enough for a ring, but not for its three buffers of 64 KiB; and not even for a ring, if rings count.
    for (name, limit) in
        [("some-lock", limit_locked_memory::<65_536> as fn() -> _), ("no-lock", limit_locked_memory::<0>)]
    {
        let Some(out) = direct_io(name, limit) else { return };
        assert_has(&out, &["the same, from the page cache"]);
        assert_eq!(checksums(&out, "written, O_DIRECT"), checksums(&out, "read, O_DIRECT"), "{out}");
        if !lacks_ring(&out) {
            assert_has(&out, &["the buffers are not registered", "written, O_DIRECT, io_uring, 3 buffers "]);
            assert_eq!(checksums(&out, "written, O_DIRECT").len(), 2, "{out}");
        }
    }
}

#[test]
fn direct_io_says_where_it_cannot_write() {
    let (_, err) = said(&run("direct_io", &["/no such directory"]), 1);
    assert_has(&err, &["/no such directory", "No such file"]);
    said(&run("direct_io", &["--depth=0"]), 2);
}

/// Has the kernel refuse `io_uring_setup` to this process, as containers do.
fn forbid_io_uring() -> io::Result<()> {
    let step = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = [
        // The number of the system call is the first field.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            jf: 1,
            ..step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_io_uring_setup as u32)
        },
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: a live program of live steps, which the kernel copies.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if set { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets this process lock so many bytes and no more, also if it is root's.
fn limit_locked_memory<const BYTES: libc::rlim_t>() -> io::Result<()> {
    const CAP_IPC_LOCK: libc::c_ulong = 14;
    let limit = libc::rlimit { rlim_cur: BYTES, rlim_max: BYTES };
    // SAFETY: plain system calls. Who may not drop a privilege does not have it.
    let set = unsafe {
        libc::prctl(libc::PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0);
        libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) == 0
    };
    if set { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A pool that is several times smaller than its file, and a short job.
const SMALL: [&str; 4] = ["--pages=300", "--frames=64", "--operations=1500", "--updates=40"];

fn buffer_pool(arguments: &[&str]) -> Output {
    run("buffer_pool", &[&SMALL, arguments].concat())
}

#[test]
fn buffer_pool_loses_no_update_with_pages_of_any_size() {
    for kib in [4, 8, 16] {
        let (out, _) = said(&buffer_pool(&["--page-kib", &kib.to_string()]), 0);
        assert_has(&out, &[&format!("300 pages of {kib} KiB"), "the pool: 64 frames", "hit rate"]);
        assert_has(&out, &["checked through the pool: every page is right, 0 updates so far"]);
        // All frames were used before, and what is left is whole pages of the system.
        let resident = |frames: usize| (frames * kib * 1024).next_multiple_of(page_size()) / 1024;
        let shrunk = format!("shrunk to 8 frames: resident were {} KiB, are {} KiB\n", resident(64), resident(8));
        assert_has(&out, &[&shrunk]);
        let made = number_before(&out, " were made");
        assert!(made > 0 && made == number_before(&out, &format!(" updates, {made} were made")), "{out}");
        // A frame is evicted whenever a page is not there, once all are in use.
        assert!(number_before(&out, " evictions") > 0 && number_before(&out, " pages written back") > 0, "{out}");
    }
}

#[test]
fn buffer_pool_finds_what_it_left_in_a_file() {
    let folder = Folder::new("kept");
    let file = folder.join("pages");
    let (out, _) = said(&buffer_pool(&[&file]), 0);
    let made = number_before(&out, " were made");
    let (out, _) = said(&buffer_pool(&[&file, "--skew=1"]), 0);
    assert_has(&out, &[&format!("every page is right, {made} updates so far")]);
}

#[test]
fn buffer_pool_detects_a_corrupted_file() {
    let folder = Folder::new("corrupted");
    let file = folder.join("pages");
    said(&buffer_pool(&[&file]), 0);
    let right = fs::read(&file).expect("the file");
    let run_on = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = right.clone();
        change(&mut bytes);
        fs::write(&file, &bytes).expect("the file");
        let (out, err) = said(&buffer_pool(&[&file]), 1);
        assert!(!out.contains("updates"), "nothing is done with such a file:\n{out}");
        err
    };
    // A bit of the payload, of the number, and of the checksum itself; then a page in another's place.
    for at in [4095, 8, 0] {
        let err = run_on(&|bytes| bytes[299 * 4096 + at] ^= 1);
        assert_has(&err, &["error: page 299: the checksum is 0x", ", of the contents it is 0x"]);
    }
    let err = run_on(&|bytes| bytes.copy_within(3 * 4096..4 * 4096, 7 * 4096));
    assert_has(&err, &["error: page 7: the contents are those of page 3"]);
    let err = run_on(&|bytes| bytes.truncate(9 * 4096 - 1));
    assert_has(&err, &["36863 bytes are no number of pages of 4096"]);
    fs::write(&file, &right).expect("the file");
    said(&buffer_pool(&[&file]), 0);
}

#[test]
fn buffer_pool_needs_more_frames_than_threads() {
    assert_has(&said(&buffer_pool(&["--threads=8"]), 2).1, &["too few for 8 threads"]);
    assert_has(&said(&run("buffer_pool", &["--page-kib=5"]), 2).1, &["--page-kib"]);
}

/// What the example says of this expression over a few inputs; nothing where there is no assembler.
fn jit(expression: &str) -> Option<String> {
    let (out, _) = said(&run("jit", &["--inputs=500", expression]), 0);
    if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return Some(out);
    }
    assert_has(&out, &["there is no assembler"]);
    None
}

#[test]
fn jit_computes_what_an_expression_says() {
    let (x, y) = (3_i64, 5_i64);
    // Code of several pages, whose operands are all on the stack before the first operation.
    let long = format!("{}x{}", "y + x * (".repeat(400), ")".repeat(400));
    let of_long = (0..400).fold(x, |value, _| x.wrapping_mul(value).wrapping_add(y));
    let cases = [
        ("x * x + 3 * y - 7", x * x + 3 * y - 7),
        ("x", x),
        ("-y", -y),
        ("42", 42),
        ("x - y - 1", x - y - 1),
        ("x - (y - 1)", x - (y - 1)),
        ("2 * -x * (y + 1)", 2 * -x * (y + 1)),
        ("--x", x),
        (" ( x+y )*(x-y) ", (x + y) * (x - y)),
        ("9223372036854775807 + x", i64::MAX.wrapping_add(x)),
        ("1311768467463790320 * y", 0x1234_5678_9abc_def0_i64.wrapping_mul(y)),
        (&long, of_long),
    ];
    for (expression, value) in cases {
        let Some(out) = jit(expression) else { return };
        assert_has(&out, &[&format!("x = 3, y = 5: {value}\n")]);
        assert_eq!(out.matches("500 inputs, the same results").count(), 2, "before and after the patch:\n{out}");
    }
}

#[test]
fn jit_shows_the_fault_and_the_patch() {
    let Some(out) = jit("x * y") else { return };
    let line = out.lines().find(|line| line.contains("SIGSEGV")).expect("a child faults");
    let addresses: Vec<&str> = line.split([' ', ':']).filter(|word| word.starts_with("0x")).collect();
    assert!(addresses.len() == 2 && addresses[0] == addresses[1], "{line}");
    assert!(number_before(&out, " bytes of code:") < number_before(&out, " bytes\n"), "the patch adds to it:\n{out}");
}

#[test]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn jit_says_what_is_wrong_with_an_expression() {
    let deep = format!("{}x{}", "(".repeat(10_000), ")".repeat(10_000));
    for (expression, complaint) in [
        ("", "is expected at the end"),
        ("x +", "is expected at the end"),
        ("2x", "an operator is expected before 'x', at byte 1"),
        ("(x", "\")\" is expected at the end"),
        ("x)", "an operator is expected before ')'"),
        ("x + é", "is expected before 'é'"),
        ("9223372036854775808", "9223372036854775808 is more than 9223372036854775807"),
        (&deep, "parentheses and signs nest"),
    ] {
        assert_has(&said(&run("jit", &[expression]), 2).1, &[complaint]);
    }
}
