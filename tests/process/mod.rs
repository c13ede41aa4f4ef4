//! What the kernel says of this process and its pages, and limits on what it gives.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use procfs::process::{MemoryMap, Process, VmFlags};

/// The areas of the kernel's that cover `len` bytes from an address on, from the first to the last, without a gap.
pub(crate) fn areas(start: usize, len: usize) -> Vec<MemoryMap> {
    let (from, to) = (start as u64, (start + len) as u64);
    let maps = Process::myself().and_then(|me| me.smaps()).expect("/proc/self/smaps");
    let found: Vec<_> = maps.into_iter().filter(|map| map.address.0 < to && from < map.address.1).collect();
    assert!(found.first().is_some_and(|map| map.address.0 <= from), "{start:#x} is not mapped");
    assert!(found.last().is_some_and(|map| to <= map.address.1), "{to:#x} is not mapped");
    assert!(found.windows(2).all(|pair| pair[0].address.1 == pair[1].address.0), "a gap behind {start:#x}");
    found
}

/// Whether an address is mapped at all.
pub(crate) fn is_mapped(address: usize) -> bool {
    let maps = Process::myself().and_then(|me| me.maps()).expect("/proc/self/maps");
    maps.into_iter().any(|map| (map.address.0..map.address.1).contains(&(address as u64)))
}

/// The flags that every area of a range has.
pub(crate) fn flags(start: usize, len: usize) -> VmFlags {
    areas(start, len).iter().fold(VmFlags::all(), |all, map| all & map.extension.vm_flags)
}

/// The flags that some area of a range has.
pub(crate) fn any_flags(start: usize, len: usize) -> VmFlags {
    areas(start, len).iter().fold(VmFlags::empty(), |any, map| any | map.extension.vm_flags)
}

/// A figure of `/proc/self/smaps` in bytes, over all areas that a range touches.
pub(crate) fn figure(what: &str, start: usize, len: usize) -> usize {
    areas(start, len).iter().map(|map| map.extension.map.get(what).copied().unwrap_or(0) as usize).sum()
}

/// How many whole pages of a range are in memory.
pub(crate) fn resident(start: *const u8, len: usize) -> usize {
    let mut answer = vec![0_u8; len.div_ceil(mapalloc::page_size())];
    // SAFETY: the kernel writes one byte a page, of which there are as many.
    let code = unsafe { libc::mincore(start.cast_mut().cast(), len, answer.as_mut_ptr()) };
    assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
    answer.iter().filter(|&&page| page & 1 != 0).count()
}

/// The bytes that the process has locked.
pub(crate) fn locked() -> usize {
    Process::myself().and_then(|me| me.status()).expect("/proc/self/status").vmlck.expect("VmLck") as usize * 1024
}

/// The bytes of address space of the process.
pub(crate) fn address_space() -> usize {
    Process::myself().and_then(|me| me.statm()).expect("/proc/self/statm").size as usize * mapalloc::page_size()
}

/// How many mappings the process has.
pub(crate) fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("/proc/self/maps").lines().count()
}

/// Limits a resource of this process.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, bytes: usize) {
    let limit = libc::rlimit { rlim_cur: bytes as u64, rlim_max: bytes as u64 };
    // SAFETY: a plain system call on a live value.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0, "{}", std::io::Error::last_os_error());
}

/// Limits locked memory, also for root, which the limit does not bind: the process goes on as nobody.
pub(crate) fn limit_locking(bytes: usize) {
    limit(libc::RLIMIT_MEMLOCK, bytes);
    // SAFETY: plain system calls.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setresuid(65534, 65534, 65534), 0);
            // Dumpable again, so that /proc/self can be read.
            libc::prctl(libc::PR_SET_DUMPABLE, 1);
        }
    }
}

/// Takes the page at an address, if it is free, so that nothing can grow over it in place.
pub(crate) fn wall(address: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE | libc::MAP_NORESERVE;
    // SAFETY: the call replaces nothing.
    let got = unsafe { libc::mmap(address as *mut _, mapalloc::page_size(), libc::PROT_NONE, flags, -1, 0) };
    got.addr() == address
}

/// What [`refuse`] is to refuse: a system call, and the argument, with its value, that makes the difference.
pub(crate) struct Call {
    pub(crate) number: libc::c_long,
    pub(crate) argument: Option<(u32, u32)>,
}

/// Has the kernel refuse a call from here on, in this process and its children. Whether it could be told to.
pub(crate) fn refuse(call: &Call, errno: i32) -> bool {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IS: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // The number is the first word of `seccomp_data`, and the arguments are 64 bits each from byte 16 on.
    let (argument, value) = call.argument.unwrap_or((0, 0));
    let argument = if call.argument.is_some() { 16 + 8 * argument } else { 0 };
    let value = if call.argument.is_some() { value } else { call.number as u32 };
    let mut filter = [
        step(LOAD, 0, 0, 0),
        step(IS, 0, 3, call.number as u32),
        step(LOAD, 0, 0, argument),
        step(IS, 0, 1, value),
        step(ANSWER, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(ANSWER, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: plain system calls; the program is live.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    }
}
