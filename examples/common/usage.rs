//! What the kernel says about this process: faults, resident memory, huge pages.
//!
//! Figures that only Linux gives are `None` elsewhere.

/// Page faults served without a disk, since the process began.
pub(crate) fn minor_faults() -> u64 {
    // SAFETY: all zeros is a valid `rusage`, a struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole `rusage` that the call may write.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } != 0 {
        return 0;
    }
    u64::try_from(usage.ru_minflt).unwrap_or(0)
}

/// The most that was ever resident, in KiB.
///
/// `VmHWM` and not `ru_maxrss`: that one also remembers the memory of the parent from before the `exec`.
pub(crate) fn peak_rss_kib() -> Option<u64> {
    field("/proc/self/status", "VmHWM")
}

/// What `/proc/self/smaps_rollup` says now under `name`, in KiB.
pub(crate) fn rollup_kib(name: &str) -> Option<u64> {
    field("/proc/self/smaps_rollup", name)
}

fn field(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
