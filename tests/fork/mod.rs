//! What happens in a child of `fork`, and where it faults. In the child only what is safe between `fork` and `exec` in a
//! program with threads may run: system calls, and access to memory.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::mem::{MaybeUninit, zeroed};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// The end of the pipe that the handler writes to.
static REPORT: AtomicI32 = AtomicI32::new(-1);

extern "C" fn report(_signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a live siginfo to a handler that asked for one; the rest are system calls.
    unsafe {
        let address = (*info).si_addr() as usize;
        libc::write(REPORT.load(Relaxed), (&raw const address).cast(), size_of::<usize>());
        libc::_exit(77);
    }
}

/// Runs `body` in a child; its exit code, or the negative number of the signal that ended it.
pub(crate) fn in_fork(body: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs `body`, which keeps to the rules above, and ends without returning.
    unsafe {
        match libc::fork() {
            0 => libc::_exit(body()),
            child => {
                assert!(child > 0, "fork: {}", std::io::Error::last_os_error());
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &mut status, 0), child);
                if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
            }
        }
    }
}

/// The address at which `touch` faults in a child, or `None` if it does not.
pub(crate) fn fault_of(touch: impl FnOnce()) -> Option<usize> {
    let mut ends = [0; 2];
    // SAFETY: a live pair of descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    let code = in_fork(|| {
        REPORT.store(ends[1], Relaxed);
        // SAFETY: plain data, and a handler of the signature that SA_SIGINFO asks for.
        unsafe {
            let mut action: libc::sigaction = zeroed();
            action.sa_flags = libc::SA_SIGINFO;
            action.sa_sigaction = report as *const () as usize;
            for signal in [libc::SIGSEGV, libc::SIGBUS] {
                libc::sigaction(signal, &action, null_mut());
            }
        }
        touch();
        0
    });
    let mut address = MaybeUninit::<usize>::uninit();
    // SAFETY: the child has ended and written the whole address or nothing; the descriptors are this function's.
    let read = unsafe {
        libc::close(ends[1]);
        let read = libc::read(ends[0], address.as_mut_ptr().cast(), size_of::<usize>());
        libc::close(ends[0]);
        read
    };
    match code {
        0 => None,
        77 => {
            assert_eq!(read, size_of::<usize>() as isize);
            // SAFETY: read whole.
            Some(unsafe { address.assume_init() })
        }
        other => panic!("the child ended with {other}"),
    }
}

/// Runs `body` in a child of a process that has no other threads, where it may do what it likes, and panics if it does.
#[track_caller]
pub(crate) fn alone_in_fork(body: impl FnOnce()) {
    let code = in_fork(|| i32::from(std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err()));
    assert_eq!(code, 0, "what the child says is above");
}
