//! Memory: limits on what is writable (`RLIMIT_DATA`) and locked (`RLIMIT_MEMLOCK`, with `mlockall`), and a memory cgroup.

use super::child::in_child;
use super::model::{Block, KIB, MIB};
use super::process::{address_space, limit, limit_locking};
use super::{ROUTES, absurd_requests_are_refused, everything_works, layout, take_all};
use mapalloc::map::{Features, Lock, MapOptions};
use mapalloc::{Operation, PageVec};
use std::fs;
use std::path::PathBuf;

/// The bytes of writable memory of the process, without what the heap keeps for reuse.
fn data() -> usize {
    super::GLOBAL.purge();
    let me = procfs::process::Process::myself().and_then(|me| me.status()).expect("/proc/self/status");
    me.vmdata.expect("VmData") as usize * KIB
}

#[test]
fn a_limit_on_writable_memory_is_null_and_usable_again() {
    in_child(concat!(module_path!(), "::a_limit_on_writable_memory_is_null_and_usable_again"), || {
        everything_works();
        for room in [16 * MIB, 64 * MIB, 256 * MIB] {
            let raised = libc::rlimit { rlim_cur: (data() + room) as u64, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: a live limit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raised) }, 0);
            let mut blocks = Vec::with_capacity(50_000);
            let taken = take_all(&mut blocks, 4 * room);
            absurd_requests_are_refused();
            assert!(PageVec::<u8>::try_with_capacity(4 * room).is_err());
            blocks.iter_mut().for_each(|block| _ = block.try_resize(block.range().len() + 100 * KIB));
            blocks.drain(..).for_each(Block::free);
            assert!(taken >= room / 2 && taken < 4 * room, "{taken} bytes of {room}");
            for size in ROUTES {
                Block::new(layout(size), true, 1).free();
            }
        }
    });
}

#[test]
fn a_limit_on_locked_memory_binds_what_asks_for_locks_only() {
    in_child(concat!(module_path!(), "::a_limit_on_locked_memory_binds_what_asks_for_locks_only"), || {
        limit_locking(256 * KIB);
        everything_works();
        let options = MapOptions::new().lock(Lock::Now);
        let refused = options.map(MIB).expect_err("more than may be locked");
        assert_eq!(refused.operation(), Operation::Lock);
        let lenient = options.best_effort(Features::LOCK).map(MIB).expect("pages without the lock");
        assert!(lenient.granted().missing().contains(Features::LOCK));
        let mut locked = PageVec::<u8>::with_options(64 * KIB, options).expect("as much as may be locked");
        locked.resize(64 * KIB, 3);
        assert!(locked.try_reserve(MIB).is_err());
        assert!(locked.len() == 64 * KIB && locked.iter().all(|&byte| byte == 3));
        everything_works();
    });
}

fn lock_all_that_is_to_come() -> bool {
    // SAFETY: a plain system call.
    let locks = unsafe { libc::mlockall(libc::MCL_FUTURE) } == 0;
    if !locks {
        eprintln!("mlockall: {}", std::io::Error::last_os_error());
    }
    locks
}

#[test]
fn all_memory_to_come_may_be_locked() {
    in_child(concat!(module_path!(), "::all_memory_to_come_may_be_locked"), || {
        everything_works();
        if !lock_all_that_is_to_come() {
            return;
        }
        // Locked pages take other advice, and a reservation must not become memory.
        let mut most = usize::MAX;
        // SAFETY: plain system calls.
        if unsafe { libc::geteuid() } != 0 {
            most = 2 * MIB;
        }
        for size in ROUTES.into_iter().filter(|&size| size < most) {
            let mut block = Block::new(layout(size), true, 5);
            block.resize(2 * size);
            block.free();
            Block::new(layout(size), true, 6).free();
        }
        let mut blocks = Vec::with_capacity(1000);
        take_all(&mut blocks, 64 * MIB);
        blocks.drain(..).for_each(Block::free);
        super::GLOBAL.purge();
        let status = fs::read_to_string("/proc/self/status").expect("procfs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let kib: usize = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a figure");
        assert!(kib < 256 << 10, "{kib} KiB in memory");
    });
}

#[test]
fn locked_memory_runs_out_without_harm() {
    in_child(concat!(module_path!(), "::locked_memory_runs_out_without_harm"), || {
        everything_works();
        limit_locking(8 * MIB);
        if !lock_all_that_is_to_come() {
            return;
        }
        let mut blocks = Vec::with_capacity(2000);
        let taken = take_all(&mut blocks, 128 * MIB);
        let large = Block::try_new(layout(64 * MIB), false, 1);
        assert!(large.is_none(), "64 MiB of locked memory, of 8");
        absurd_requests_are_refused();
        blocks.iter_mut().for_each(|block| _ = block.try_resize(block.range().len() + 6 * MIB));
        blocks.drain(..).for_each(Block::free);
        // SAFETY: a plain system call.
        assert_eq!(unsafe { libc::munlockall() }, 0);
        assert!(taken > 0);
        everything_works();
    });
}

/// A memory cgroup of this process's own, gone when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    /// With so many bytes, if this system lets the process make one.
    fn new(bytes: usize) -> Option<Self> {
        let name = format!("mapalloc-test-{}", std::process::id());
        let (root, file) = [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]
            .into_iter()
            .find(|(root, _)| {
                let root = std::path::Path::new(root);
                let named = |file| fs::read_to_string(root.join(file)).unwrap_or_default();
                named("cgroup.subtree_control").contains("memory") || root.join("memory.limit_in_bytes").exists()
            })?;
        let path = PathBuf::from(root).join(name);
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        fs::write(group.0.join(file), bytes.to_string()).ok()?;
        // No way out by swap.
        _ = fs::write(group.0.join("memory.swap.max"), "0");
        Some(group)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        _ = fs::remove_dir(&self.0);
    }
}

/// What the program below has in use at a time, and what may come on top of it for a while by the documentation of
/// `PageAlloc`: the least budget for free memory, and as much of what was given back as may be wanted again soon.
const LIVE: usize = 60 * MIB;
const ON_TOP: usize = (8 + 256) * MIB;

/// The kernel ends what needs more than its group has, with whatever allocator; but what the heap keeps must not come to
/// more than it says.
#[test]
fn a_program_that_fits_into_a_cgroup_stays_in_it() {
    in_child(concat!(module_path!(), "::a_program_that_fits_into_a_cgroup_stays_in_it"), || {
        let Some(group) = Cgroup::new(LIVE + ON_TOP + 16 * MIB) else {
            eprintln!("no memory cgroup can be made here");
            return;
        };
        let code = super::fork::in_fork(|| {
            if fs::write(group.0.join("cgroup.procs"), std::process::id().to_string()).is_err() {
                return 77;
            }
            for _ in 0..4 {
                // As much each time, on another route.
                for size in [700, 9 * KIB, 200 * KIB, 3 * MIB, 10 * MIB, LIVE] {
                    let blocks: Vec<_> = (0..LIVE / size)
                        .map(|_| {
                            let mut bytes = Vec::with_capacity(size);
                            bytes.resize(size, 1_u8);
                            bytes
                        })
                        .collect();
                    assert!(blocks.iter().all(|block| block[size - 1] == 1));
                }
            }
            0
        });
        if code == 77 {
            eprintln!("this process may not enter a memory cgroup");
            return;
        }
        assert_eq!(code, 0, "the child");
        // A limit that can end a process: the same with more than there is.
        let code = super::fork::in_fork(|| {
            _ = fs::write(group.0.join("cgroup.procs"), std::process::id().to_string());
            let bytes = vec![1_u8; 2 * (LIVE + ON_TOP)];
            i32::from(bytes[LIVE] == 1)
        });
        assert_eq!(code, -libc::SIGKILL, "twice as much as the group has");
    });
}

#[test]
fn limits_on_both_at_once() {
    in_child(concat!(module_path!(), "::limits_on_both_at_once"), || {
        everything_works();
        limit(libc::RLIMIT_DATA, data() + 32 * MIB);
        limit(libc::RLIMIT_AS, address_space() + 48 * MIB);
        let mut blocks = Vec::with_capacity(50_000);
        let taken = take_all(&mut blocks, 256 * MIB);
        assert!((8 * MIB..64 * MIB).contains(&taken), "{taken} bytes");
        blocks.drain(..).for_each(Block::free);
        for size in ROUTES {
            Block::new(layout(size), true, 1).free();
        }
    });
}
