//! Tests in a process of their own: what they do to it harms no other test, and what hangs is killed.

#![allow(dead_code, reason = "every test binary uses a part of it")]

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
    in_child_with(test, None, PATIENCE, body);
}

/// As [`in_child`], with a limit on the child's address space from its very start, in bytes.
#[track_caller]
pub(crate) fn in_child_within(test: &str, address_space: Option<u64>, body: fn()) {
    in_child_with(test, address_space, PATIENCE, body);
}

/// As [`in_child`], with so much time for what takes long.
#[track_caller]
pub(crate) fn in_child_for(test: &str, patience: Duration, body: fn()) {
    in_child_with(test, None, patience, body);
}

#[track_caller]
fn in_child_with(test: &str, address_space: Option<u64>, patience: Duration, body: fn()) {
    if std::env::var(VARIABLE).as_deref() == Ok(test) {
        return body();
    }
    let (_, filter) = test.split_once("::").expect("the crate's name is in front");
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    if let Some(bytes) = address_space {
        // glibc gives a thread a heap of 64 MiB of addresses if the kernel happens to place it at a multiple of that, which
        // it does now and then: the limit would be half used up before the test begins.
        command.env("MALLOC_ARENA_MAX", "1");
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: between fork and exec only a system call is made, on a value that the closure owns.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_AS, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
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
        if started.elapsed() > patience {
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
