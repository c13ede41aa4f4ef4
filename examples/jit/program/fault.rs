//! What the processor says to a write: a child of `fork` tries it, and its handler of SIGSEGV tells the address.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// The end of the pipe that the handler writes to.
static REPORT: AtomicI32 = AtomicI32::new(-1);

/// The address at which a child faults that writes a byte to `at`, or `None` if it does not. In the child alone is anything
/// written.
pub(crate) fn fault_of_writing(at: *const u8) -> io::Result<Option<usize>> {
    let (mut reader, writer): (PipeReader, PipeWriter) = io::pipe()?;
    REPORT.store(writer.as_raw_fd(), Relaxed);
    // SAFETY: the child makes system calls and writes one byte: nothing there depends on a thread or a lock that `fork` has
    // left behind, and it ends without returning. Where the byte may be written, it is the child's own copy.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            report_faults();
            at.cast_mut().write_volatile(0);
            libc::_exit(0);
        }
        child
    };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    // The child has the only other end, so that reading ends when it ends.
    drop(writer);
    let mut address = Vec::new();
    reader.read_to_end(&mut address)?;
    let mut status = 0;
    // SAFETY: a child of this function's, and a place for its status.
    if unsafe { libc::waitpid(child, &mut status, 0) } != child {
        return Err(io::Error::last_os_error());
    }
    match <[u8; size_of::<usize>()]>::try_from(address.as_slice()) {
        Ok(address) => Ok(Some(usize::from_ne_bytes(address))),
        Err(_) if status == 0 => Ok(None),
        Err(_) => Err(io::Error::other(format!("the child ended with wait status {status:#x}"))),
    }
}

/// Has SIGSEGV end this process, after its address has been written to the pipe.
fn report_faults() {
    // SAFETY: zeros are a valid `sigaction`, and the handler has the signature that SA_SIGINFO asks for.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_flags = libc::SA_SIGINFO;
        action.sa_sigaction = report as *const () as usize;
        libc::sigaction(libc::SIGSEGV, &action, null_mut());
    }
}

extern "C" fn report(_signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a live siginfo to a handler that asked for one; the rest are system calls.
    unsafe {
        let address = (*info).si_addr() as usize;
        libc::write(REPORT.load(Relaxed), (&raw const address).cast(), size_of::<usize>());
        libc::_exit(1);
    }
}
