//! Settings of the whole system: transparent huge pages and overcommit. For one process where that can be, else only where
//! `MAPALLOC_TEST_SYSTEM` is set, in the system for the moment of one child.

use super::child::in_child;
use super::model::{Block, MIB};
use super::{absurd_requests_are_refused, everything_works, layout, take_all};
use std::fs;
use std::sync::Mutex;

const OVERCOMMIT: &str = "/proc/sys/vm/overcommit_memory";
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// A setting of the system's that goes back to what it was.
struct Setting {
    file: &'static str,
    before: String,
}

impl Setting {
    /// Changes it, if the environment and the system let this process do so.
    fn new(file: &'static str, value: &str) -> Option<Self> {
        if std::env::var_os("MAPALLOC_TEST_SYSTEM").is_none() {
            eprintln!("{file} is changed only where MAPALLOC_TEST_SYSTEM is set");
            return None;
        }
        let text = fs::read_to_string(file).ok()?;
        // Of several words the one in brackets is in force.
        let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(word, _)| word);
        let before = chosen.unwrap_or(text.trim()).to_owned();
        if let Err(error) = fs::write(file, value) {
            eprintln!("{file}: {error}");
            return None;
        }
        Some(Self { file, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        fs::write(self.file, &self.before).expect("what could be changed can be changed back");
    }
}

/// The tests change one setting at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Whether this is the child, for which the setting is not to be changed again.
fn is_child() -> bool {
    std::env::var_os("MAPALLOC_TEST_CHILD").is_some()
}

/// Runs `body` in a child while the setting has this value.
fn with_setting(test: &'static str, file: &'static str, value: &str, body: fn()) {
    if is_child() {
        return in_child(test, body);
    }
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some(_setting) = Setting::new(file, value) else { return };
    in_child(test, body);
}

/// The memory of the process in huge pages.
fn huge_kib() -> usize {
    figure("AnonHugePages:")
}

fn resident_kib() -> usize {
    figure("Rss:")
}

fn figure(name: &str) -> usize {
    let text = fs::read_to_string("/proc/self/smaps_rollup").expect("procfs");
    let line = text.lines().find(|line| line.starts_with(name)).expect("a line of that name");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a figure")
}

#[test]
fn a_process_without_huge_pages() {
    in_child(concat!(module_path!(), "::a_process_without_huge_pages"), || {
        // SAFETY: a plain system call.
        if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } != 0 {
            eprintln!("huge pages cannot be disabled: {}", std::io::Error::last_os_error());
            return;
        }
        everything_works();
        let block = Block::new(layout(64 * MIB), false, 1);
        let vec = mapalloc::PageVec::from(vec![1_u8; 64 * MIB]);
        assert_eq!(huge_kib(), 0);
        assert!(vec.iter().all(|&byte| byte == 1));
        block.free();
    });
}

#[test]
fn a_system_with_huge_pages_for_all() {
    with_setting(concat!(module_path!(), "::a_system_with_huge_pages_for_all"), HUGE_PAGES, "always", || {
        assert!(fs::read_to_string(HUGE_PAGES).expect("sysfs").contains("[always]"));
        everything_works();
        let block = Block::new(layout(64 * MIB), false, 1);
        assert!(huge_kib() > 0, "no huge page in 64 MiB");
        block.free();
        super::GLOBAL.purge();
        let before = resident_kib();
        // A slot for growth is longer than what is in it, which is not to be rounded up to huge pages.
        let mut grown = Vec::with_capacity(40);
        grown.extend((0..40).map(|n| vec![n as u8; 200 << 10]));
        grown.iter_mut().for_each(|bytes| bytes.resize(1200 << 10, 1));
        let kib = resident_kib() - before;
        assert!(kib < 60 << 10, "{kib} KiB for 47 MiB");
        everything_works();
    });
}

#[test]
fn a_system_without_huge_pages() {
    with_setting(concat!(module_path!(), "::a_system_without_huge_pages"), HUGE_PAGES, "never", || {
        everything_works();
        assert_eq!(huge_kib(), 0);
    });
}

#[test]
fn a_system_that_promises_no_more_than_it_has() {
    with_setting(concat!(module_path!(), "::a_system_that_promises_no_more_than_it_has"), OVERCOMMIT, "2", || {
        everything_works();
        let info = fs::read_to_string("/proc/meminfo").expect("procfs");
        let line = info.lines().find(|line| line.starts_with("CommitLimit:")).expect("CommitLimit");
        let limit: usize = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a figure");
        // More than there is, in one piece and in many that nobody touches.
        assert!(Block::try_new(layout((limit << 10) + (1 << 30)), false, 1).is_none());
        assert!(mapalloc::PageVec::<u8>::try_with_capacity((limit << 10) + (1 << 30)).is_err());
        absurd_requests_are_refused();
        let mut blocks = Vec::with_capacity(100);
        take_all(&mut blocks, 300 * MIB);
        blocks.drain(..).for_each(Block::free);
        everything_works();
    });
}
