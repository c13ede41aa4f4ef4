//! Tests in a process of their own: what they do to it harms no other test, and what hangs is killed.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const VARIABLE: &str = "MAPALLOC_TEST_CHILD";
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `body` in a child process that runs this one test only. `test` is its path with the crate's name in front, as
/// `module_path!` gives it.
#[track_caller]
pub(crate) fn in_child(test: &str, body: fn()) {
    run(test, None, body);
}

/// The same, in a process that never gets more than `bytes` of addresses.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn in_limited_child(test: &str, bytes: usize, body: fn()) {
    run(test, Some(bytes), body);
}

/// Limits this process's addresses to `bytes` in all.
pub(crate) fn limit_address_space(bytes: usize) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: bytes as libc::rlim_t, rlim_max: bytes as libc::rlim_t };
    // SAFETY: the pointer is to a whole `rlimit` that the call only reads.
    match unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[track_caller]
fn run(test: &str, address_space: Option<usize>, body: fn()) {
    if std::env::var(VARIABLE).as_deref() == Ok(test) {
        // The harness's own thread is about to wait for this one, for which it allocates; then it is quiet.
        thread::sleep(Duration::from_millis(50));
        return body();
    }
    let (_, filter) = test.split_once("::").expect("the crate's name is in front");
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    if let Some(bytes) = address_space {
        // SAFETY: between fork and exec there is one plain system call.
        unsafe { command.pre_exec(move || limit_address_space(bytes)) };
    }
    let mut child = command
        .args([filter, "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, test)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own children are in the group too, and die with it.
        .process_group(0)
        .spawn()
        .expect("the test starts again");
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child to wait for") {
            break Some(status);
        }
        if started.elapsed() > PATIENCE {
            // SAFETY: a plain system call; the group is the child's, which has not been waited for.
            unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
            _ = child.wait();
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let mut said = String::new();
    _ = child.stdout.take().expect("piped").read_to_string(&mut said);
    _ = child.stderr.take().expect("piped").read_to_string(&mut said);
    let status = status.unwrap_or_else(|| panic!("{filter} hangs; it was killed:\n{said}"));
    assert!(status.success() && said.contains("1 passed"), "{filter}: {status}\n{said}");
}
