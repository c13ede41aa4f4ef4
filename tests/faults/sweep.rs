//! The program in a child of `fork` for each call that it makes, which then fails.

use crate::block::HEAP;
use crate::program;
use mapalloc::faults::{self, Call, Plan};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A child that takes longer hangs.
const PATIENCE_SECONDS: u32 = 60;

/// Areas of the kernel's that may come on top: where neighbours were parted, and of the C library's.
const MORE_MAPPINGS: u64 = 10;

/// Memory that may stay on top: tables that have grown, and pages of the C library's.
const MORE_BYTES: u64 = 1 << 20;

/// What a child says of itself when all is done.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Report {
    /// The calls that the plan was about, and how many of them failed.
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    /// Those that were to unmap something.
    unmaps_failed: u64,
    /// Areas, addresses and memory in the end.
    mappings: u64,
    addresses: u64,
    resident: u64,
    /// Whether the engine serves anything: it never does in a process in which it could not be set up.
    has_engine: u64,
}

const WORDS: usize = size_of::<Report>() / 8;

fn kib(text: &str, key: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(key)).expect("a line of that name");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a figure")
}

fn assert_all_is_freed(when: &str) {
    HEAP.purge();
    let stats = HEAP.stats();
    let live = [stats.fallback, stats.slab, stats.run, stats.large].map(|route| (route.live, route.live_bytes));
    assert_eq!(live, [(0, 0); 4], "{when}");
}

/// The program under a plan, and then again without one: whatever failed before, everything works.
fn report(plan: Option<Plan>) -> Report {
    match plan {
        Some(plan) => faults::set(plan),
        None => faults::count(),
    }
    program::run();
    faults::clear();
    let failed = Call::ALL.iter().map(|&call| faults::failed(call)).sum();
    let unmaps_failed = faults::failed(Call::Unmap) + faults::failed(Call::UnmapTail);
    assert_all_is_freed("after the faults");
    let again = if crate::is_long() { program::run() } else { program::main_routes() };
    assert_eq!(again, 0, "refusals after the faults");
    assert_all_is_freed("in the end");
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("procfs");
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    Report {
        calls: faults::calls(),
        failed,
        unmaps_failed,
        mappings: fs::read_to_string("/proc/self/maps").expect("procfs").lines().count() as u64,
        addresses: kib(&status, "VmSize:") << 10,
        resident: kib(&rollup, "Anonymous:") << 10,
        has_engine: u64::from(HEAP.stats().mapped_bytes > 0),
    }
}

/// What a child says that runs under a plan, or how it ended instead. The caller's process has one thread.
fn in_child(plan: Option<Plan>) -> Result<Report, String> {
    let mut ends = [0; 2];
    // SAFETY: a live pair of descriptors, each of which becomes one file's.
    let (mut reader, mut writer) = unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    };
    // SAFETY: the process has one thread; the child ends without returning, by the signal of its alarm at the latest.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: plain system calls.
        unsafe {
            libc::alarm(PATIENCE_SECONDS);
            if !crate::is_long() {
                // The calls are the same without huge pages, and take a tenth of the time.
                libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
            }
            let said = catch_unwind(AssertUnwindSafe(|| report(plan)));
            libc::_exit(said.map_or(101, |report| {
                let words: [u64; WORDS] = std::mem::transmute(report);
                i32::from(writer.write_all(&words.map(u64::to_ne_bytes).concat()).is_err())
            }));
        }
    }
    drop(writer);
    assert!(child > 0, "{}", std::io::Error::last_os_error());
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("a pipe");
    let mut status = 0;
    // SAFETY: the status is live.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    if libc::WIFSIGNALED(status) {
        return Err(match libc::WTERMSIG(status) {
            libc::SIGALRM => "it hangs".to_owned(),
            signal => format!("it ends by signal {signal}"),
        });
    }
    let words: Vec<u64> = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("8"))).collect();
    let words: [u64; WORDS] = words.try_into().map_err(|_| "it panics (see above)".to_owned())?;
    // SAFETY: a report is so many words.
    Ok(unsafe { std::mem::transmute::<[u64; WORDS], Report>(words) })
}

/// What the program does where nothing fails.
pub(crate) fn without_faults() -> Report {
    in_child(None).expect("a program without faults")
}

/// Runs the program under a plan and compares what it leaves with what it leaves `without` faults. What is wrong, if
/// anything.
pub(crate) fn check(plan: Plan, without: &Report) -> Result<Report, String> {
    let report = in_child(Some(plan))?;
    // Where unmapping is refused, addresses stay taken, but not the memory behind them.
    if report.mappings > without.mappings + report.unmaps_failed + MORE_MAPPINGS {
        return Err(format!("mappings are left: {report:?}, without faults {without:?}"));
    }
    if report.unmaps_failed == 0 && report.addresses > without.addresses + (64 << 20) {
        return Err(format!("addresses are left: {report:?}, without faults {without:?}"));
    }
    // What the C library's heap keeps is its own affair.
    if report.has_engine != 0 && report.resident > without.resident + MORE_BYTES {
        return Err(format!("memory is left: {report:?}, without faults {without:?}"));
    }
    Ok(report)
}
