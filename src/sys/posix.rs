//! What POSIX and the C library give and `rustix` lacks, or gives only in a form that may allocate.
//!
//! `rustix::param::page_size()` and its clocks read the auxiliary vector on first use, through a `Vec` on kernels before
//! Linux 6.4: inside a global allocator that is endless recursion. The C library's own calls have no such path.

use super::Errno;
use core::ffi::{CStr, c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The page size in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // POSIX requires _SC_PAGESIZE to be supported; 4096 stands in where a broken sandbox answers -1.
    usize::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4096)
}

/// Sees to it that a processor which executes what was written to a range does not execute what was there before.
///
/// # Safety
/// The range is readable.
pub(crate) unsafe fn sync_instructions(base: core::ptr::NonNull<u8>, len: usize) {
    // x86 processors see to it by themselves.
    #[cfg(not(any(target_arch = "x86_64", miri)))]
    {
        unsafe extern "C" {
            /// Of the compiler's runtime library.
            fn __clear_cache(start: *mut c_void, end: *mut c_void);
        }
        // SAFETY: the caller's contract.
        unsafe { __clear_cache(base.as_ptr().cast(), base.as_ptr().add(len).cast()) };
    }
    let _ = (base, len);
}

/// The number of this process.
pub(crate) fn process_id() -> i32 {
    // SAFETY: getpid has no preconditions.
    unsafe { libc::getpid() }
}

/// Milliseconds of a clock that never goes back, coarse (1 to 10 ms) and cheap (no system call on Linux).
pub(crate) fn coarse_milliseconds() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a live timespec, and the clock exists on every supported system.
    unsafe { libc::clock_gettime(CLOCK, &mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Ends the process at once.
pub(crate) fn abort() -> ! {
    // SAFETY: abort has no preconditions.
    unsafe { libc::abort() }
}

/// The system's words for an error number, written into `buffer`.
pub(crate) fn error_text(errno: Errno, buffer: &mut [u8; 128]) -> &str {
    // SAFETY: the buffer is live and its length is passed with it. libc binds the POSIX form, which writes a
    // NUL-terminated text and returns 0.
    let rc = unsafe { libc::strerror_r(errno, buffer.as_mut_ptr().cast(), buffer.len()) };
    if rc != 0 {
        return "unknown error";
    }
    CStr::from_bytes_until_nul(buffer).ok().and_then(|text| text.to_str().ok()).unwrap_or("unknown error")
}

/// Registers handlers around `fork`: before it in the parent, after it in the parent, after it in the child.
pub(crate) fn at_fork(
    prepare: unsafe extern "C" fn(),
    parent: unsafe extern "C" fn(),
    child: unsafe extern "C" fn(),
) -> Result<(), Errno> {
    // SAFETY: the three are functions of the program that stay valid; the C library calls them on the forking thread.
    match unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) } {
        0 => Ok(()),
        errno => Err(errno),
    }
}

/// A thread-specific value whose destructor runs when a thread ends: on glibc, after the destructors of `thread_local!`
/// values.
///
/// Threads that Rust did not start are covered too, which a `thread_local!` with a destructor cannot promise.
#[derive(Clone, Copy)]
pub(crate) struct ExitKey(libc::pthread_key_t);

impl ExitKey {
    /// A new key; `on_exit` gets the value that the ending thread has set, if it is not null.
    pub(crate) fn new(on_exit: unsafe extern "C" fn(*mut c_void)) -> Result<Self, Errno> {
        #[cfg(mapalloc_faults)]
        super::faults::decide(super::faults::Call::ExitKeyNew)?;
        let mut key = 0;
        // SAFETY: `key` is live, and the destructor is a function of the program that stays valid.
        match unsafe { libc::pthread_key_create(&mut key, Some(on_exit)) } {
            0 => Ok(Self(key)),
            errno => Err(errno),
        }
    }

    /// The key from its raw number, as [`ExitKey::raw`] gave it.
    pub(crate) const fn from_raw(raw: libc::pthread_key_t) -> Self {
        Self(raw)
    }

    /// The key as a plain number.
    pub(crate) const fn raw(self) -> libc::pthread_key_t {
        self.0
    }

    /// Deletes the key: no thread's value is destructed any more.
    pub(crate) fn delete(self) {
        // SAFETY: the key was made by pthread_key_create; later uses of its number are refused by the C library.
        unsafe { libc::pthread_key_delete(self.0) };
    }

    /// Sets the calling thread's value.
    pub(crate) fn set(self, value: *const c_void) -> Result<(), Errno> {
        #[cfg(mapalloc_faults)]
        super::faults::decide(super::faults::Call::ExitKeySet)?;
        // SAFETY: the number is a key's, or one that the C library refuses.
        match unsafe { libc::pthread_setspecific(self.0, value) } {
            0 => Ok(()),
            errno => Err(errno),
        }
    }
}

/// Whether an address lies in the program itself, and not in a library; also if that is not known.
#[cfg(target_os = "linux")]
pub(crate) fn is_in_program(address: *const c_void) -> bool {
    // SAFETY: plain data, to which zero is a value; the call looks at the addresses and writes only the answer.
    let object_of = |address: *const c_void| unsafe {
        let mut object: libc::Dl_info = core::mem::zeroed();
        (libc::dladdr(address, &mut object) != 0).then_some(object.dli_fbase)
    };
    // SAFETY: no preconditions. The headers are the program's, wherever this code lies.
    let headers = unsafe { libc::getauxval(libc::AT_PHDR) };
    match (object_of(address), object_of(core::ptr::without_provenance(headers as usize))) {
        (Some(object), Some(program)) => object == program,
        _ => true,
    }
}

/// A thread of the crate's own, which the C library knows: it takes part in `setuid` and the like, and shows in debuggers.
#[derive(Debug)]
pub(crate) struct Thread {
    id: AtomicUsize,
}

const _: () = assert!(size_of::<libc::pthread_t>() == size_of::<AtomicUsize>());

/// Room for the frames of a thread that calls the engine only, and for the thread-local values of a program.
const THREAD_STACK: usize = 256 << 10;

impl Thread {
    /// No thread yet.
    pub(crate) const fn none() -> Self {
        Self { id: AtomicUsize::new(0) }
    }

    /// Starts a thread that runs `body` and takes no signals. Calls must not overlap.
    pub(crate) fn spawn(&self, body: extern "C" fn()) -> Result<(), Errno> {
        #[cfg(mapalloc_faults)]
        super::faults::decide(super::faults::Call::Spawn)?;
        extern "C" fn start(body: *mut c_void) -> *mut c_void {
            // SAFETY: the argument of `pthread_create` below is this function's own type, turned into a pointer.
            let body: extern "C" fn() = unsafe { core::mem::transmute(body) };
            body();
            core::ptr::null_mut()
        }
        keep_errno(|| {
            // SAFETY: both are plain data of the C library, written by the calls below before they are read; `id` has the
            // size of a `pthread_t`, asserted above, and its own atomic alignment is at least that of an integer.
            unsafe {
                let mut attributes = core::mem::zeroed();
                let mut all: libc::sigset_t = core::mem::zeroed();
                let mut before: libc::sigset_t = core::mem::zeroed();
                let errno = libc::pthread_attr_init(&mut attributes);
                if errno != 0 {
                    return Err(errno);
                }
                // A refusal leaves the default size, which is good too.
                libc::pthread_attr_setstacksize(&mut attributes, THREAD_STACK);
                libc::sigfillset(&mut all);
                libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
                let id = self.id.as_ptr().cast::<libc::pthread_t>();
                let mut errno = libc::pthread_create(id, &attributes, start, body as *mut c_void);
                if errno == libc::EINVAL {
                    // The program's thread-local values do not fit in a small stack.
                    errno = libc::pthread_create(id, core::ptr::null(), start, body as *mut c_void);
                }
                libc::pthread_sigmask(libc::SIG_SETMASK, &before, core::ptr::null_mut());
                libc::pthread_attr_destroy(&mut attributes);
                if errno == 0 { Ok(()) } else { Err(errno) }
            }
        })
    }

    /// Waits for the end of the thread that was started last; once for each.
    pub(crate) fn join(&self) {
        // SAFETY: the identifier is that of a thread that was started and not joined yet, by the contract.
        unsafe { libc::pthread_join(self.id.load(Relaxed) as libc::pthread_t, core::ptr::null_mut()) };
    }
}

/// Runs `call` and puts `errno` back to what it was.
///
/// `rustix` leaves `errno` alone on its own Linux backend, but writes it on its libc backend, which any crate of the
/// dependency graph can turn on.
#[inline]
pub(super) fn keep_errno<R>(call: impl FnOnce() -> R) -> R {
    let location: *mut c_int = errno_location();
    // SAFETY: the location is this thread's errno, valid for the thread's life.
    let before = unsafe { *location };
    let result = call();
    // SAFETY: as above.
    unsafe { *location = before };
    result
}

/// Where this thread's `errno` is.
pub(super) fn errno_location() -> *mut c_int {
    #[cfg(any(target_os = "linux", target_os = "emscripten", target_os = "hurd"))]
    // SAFETY: no preconditions.
    return unsafe { libc::__errno_location() };
    #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
    // SAFETY: no preconditions.
    return unsafe { libc::__error() };
    #[cfg(target_os = "android")]
    // SAFETY: no preconditions.
    return unsafe { libc::__errno() };
}
