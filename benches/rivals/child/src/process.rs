//! What the kernel says of this process, read without the allocator under test.

/// Page faults served without a disk, since the process began.
pub(crate) fn minor_faults() -> u64 {
    // SAFETY: all zeros is a valid `rusage`, a struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole `rusage` that the call may write.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } != 0;
    if failed { 0 } else { u64::try_from(usage.ru_minflt).unwrap_or(0) }
}

/// What is resident now, in KiB.
pub(crate) fn rss_kib() -> u64 {
    field(c"/proc/self/smaps_rollup", b"\nRss:")
}

/// The most that was ever resident, in KiB.
///
/// `VmHWM` and not `ru_maxrss`: that one also remembers the memory of the parent from before the `exec`.
pub(crate) fn peak_rss_kib() -> u64 {
    field(c"/proc/self/status", b"\nVmHWM:")
}

fn field(file: &std::ffi::CStr, name: &[u8]) -> u64 {
    let mut text = [0; 4096];
    // SAFETY: the name is terminated.
    let descriptor = unsafe { libc::open(file.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    // SAFETY: the buffer is writable for its length.
    let length = unsafe { libc::read(descriptor, text.as_mut_ptr().cast(), text.len()) };
    // SAFETY: the descriptor, if it is one, is this function's.
    unsafe { libc::close(descriptor) };
    let text = &text[..usize::try_from(length).unwrap_or(0)];
    let Some(found) = text.windows(name.len()).position(|window| window == name) else { return 0 };
    let digits = text[found + name.len()..].iter().skip_while(|byte| !byte.is_ascii_digit());
    digits.take_while(|byte| byte.is_ascii_digit()).fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}
