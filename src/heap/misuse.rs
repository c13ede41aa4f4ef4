//! The end of a program whose memory is known to be corrupt: one line on standard error, then an abort.

use crate::sys;

/// Reports and aborts; allocates, formats and unwinds nothing.
#[cold]
#[inline(never)]
pub(super) fn abort(message: &[u8]) -> ! {
    sys::write_stderr(message);
    sys::abort()
}
