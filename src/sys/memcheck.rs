//! What valgrind's memcheck is told: that pages which have been given back read zero.
//!
//! It keeps a note of each byte that was never written to, by the program's copies of such bytes too, and does not know
//! that `madvise(2)` clears pages. Without a word it would call zeros uninitialised that lie where such bytes were. The word is
//! a sequence of instructions that changes nothing on a processor and that valgrind looks for.

use core::ptr::NonNull;

/// "Make this memory defined", a request of the tool `MC`; see `memcheck.h` of valgrind.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const MAKE_MEM_DEFINED: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16 | 2;

/// Says that a range has contents, whatever lay there before.
#[inline]
pub(super) fn defined(base: NonNull<u8>, len: usize) {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    let request = [MAKE_MEM_DEFINED, base.addr().get(), len, 0, 0, 0];
    #[cfg(target_arch = "x86_64")]
    // SAFETY: rotations by 128 bits in all and an exchange of a register with itself, which change the flags only. valgrind
    // reads the request and writes its answer to `rdx`.
    unsafe {
        core::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &raw const request,
            inout("rdx") 0_usize => _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: rotations by 128 bits in all and a move of a register to itself, which change nothing. valgrind reads the
    // request and writes its answer to `x3`.
    unsafe {
        core::arch::asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #51",
            "ror x12, x12, #61",
            "orr x10, x10, x10",
            in("x4") &raw const request,
            inout("x3") 0_usize => _,
            options(nostack),
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = (base, len);
}
