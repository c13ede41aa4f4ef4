//! The end of a program whose memory is known to be corrupt: one line on standard error, then an abort.

use crate::sys;

/// Reports `what` of an address, and aborts: `mapalloc: <what> at 0x<address>`.
#[cold]
#[inline(never)]
pub(crate) fn abort_at(what: &[u8], address: *const u8) -> ! {
    let mut line = [0; 128];
    let mut len = 0;
    let mut digits = [0; 16];
    let mut rest = address.addr();
    let mut first = digits.len();
    while rest > 0 || first == digits.len() {
        first -= 1;
        digits[first] = b"0123456789abcdef"[rest % 16];
        rest /= 16;
    }
    for part in [b"mapalloc: ", what, b" at 0x", &digits[first..], b"\n"] {
        for &byte in part {
            // A text that is too long is cut, but for its end.
            if len < line.len() {
                line[len] = byte;
                len += 1;
            }
        }
    }
    abort(&line[..len])
}

/// Reports and aborts; allocates, formats and unwinds nothing.
#[cold]
#[inline(never)]
pub(crate) fn abort(message: &[u8]) -> ! {
    sys::write_stderr(message);
    sys::abort()
}
