//! A host that loads and unloads a library with the allocator in it (`tests/plugin`), which is built first. What the library
//! leaves behind is bounded, and nothing of it runs any more: no thread, no destructor of a thread, no handler of `fork`.

use std::ffi::{CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

/// Loads and unloads.
const ROUNDS: u8 = 50;

/// Areas of the kernel's that an unloaded engine leaves behind at the most: its reservations, in which committed parts are
/// areas of their own.
const AREAS: usize = 30;

/// Resident bytes that it leaves behind at the most: tables, and what the threads' magazines held.
const RESIDENT: usize = 1 << 20;

/// The library, built by the cargo that runs this test, in a folder of its own in the same target directory.
fn plugin() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this test");
    let target = program.ancestors().nth(3).expect("target/profile/deps/test").join("plugin");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin/Cargo.toml");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .status()
        .expect("cargo starts");
    assert!(built.success(), "the plugin does not build");
    target.join("debug/libplugin.so")
}

/// The loaded library: its handle, which any thread may use.
#[derive(Clone, Copy)]
struct Library(usize);

impl Library {
    fn open(path: &Path) -> Self {
        let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
        // SAFETY: a path; the library's constructors are the compiler's.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "dlopen");
        Self(handle.expose_provenance())
    }

    fn symbol(&self, name: &str) -> *mut c_void {
        let name = CString::new(name).expect("a name");
        // SAFETY: the handle is open.
        let symbol = unsafe { libc::dlsym(std::ptr::with_exposed_provenance_mut(self.0), name.as_ptr()) };
        assert!(!symbol.is_null(), "{name:?}");
        symbol
    }

    fn work(&self, byte: u8, threads: u32) {
        // SAFETY: the type that `tests/plugin/lib.rs` gives it.
        let work: extern "C" fn(u8, u32) -> i32 = unsafe { std::mem::transmute(self.symbol("plugin_work")) };
        assert_eq!(work(byte, threads), 1, "round {byte}");
    }

    fn leave_much_idle(&self) {
        // SAFETY: as above.
        let leave: extern "C" fn() = unsafe { std::mem::transmute(self.symbol("plugin_leave_much_idle")) };
        leave();
    }

    fn live(&self) -> usize {
        // SAFETY: as above.
        let live: extern "C" fn() -> usize = unsafe { std::mem::transmute(self.symbol("plugin_live")) };
        live()
    }

    fn close(self) {
        // SAFETY: the handle is open; nothing of the library is used again.
        assert_eq!(unsafe { libc::dlclose(std::ptr::with_exposed_provenance_mut(self.0)) }, 0);
    }
}

fn count(what: &str) -> usize {
    std::fs::read_dir(what).expect("/proc").count()
}

fn maps() -> String {
    std::fs::read_to_string("/proc/self/maps").expect("/proc/self/maps")
}

/// Resident bytes of memory that is no file's.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

fn one_round(path: &Path, byte: u8) {
    let threads_before = count("/proc/self/task");
    let library = Library::open(path);
    thread::scope(|scope| {
        let (worked, has_worked) = channel();
        let (unload, is_unloaded) = channel::<()>();
        // A thread of the host's that has used the library's heap, and ends when the library is gone.
        let outlives = scope.spawn(move || {
            library.work(byte, 1);
            worked.send(()).expect("the test waits");
            is_unloaded.recv().expect("the test sends");
            assert_eq!(vec![byte; 100_000][99_999], byte);
        });
        has_worked.recv().expect("no panic in the thread");
        library.work(byte, 2);
        assert_eq!(library.live(), 0, "round {byte}");
        // With its background thread at work, or without one that ever was.
        if !byte.is_multiple_of(3) {
            library.leave_much_idle();
        }
        library.close();
        assert!(!maps().contains("libplugin"), "the library is still loaded");
        assert_eq!(count("/proc/self/task"), threads_before + 1, "a thread of the library's is left");
        unload.send(()).expect("the thread waits");
        outlives.join().expect("no panic");
    });
    // Nothing of the library's runs at a fork any more.
    // SAFETY: the child does nothing but end.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above.
        unsafe { libc::_exit(7) };
    }
    let mut status = 0;
    // SAFETY: the status is live, and the child this process's.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "{status:x}");
}

/// Loads, uses and unloads the library again and again.
pub(crate) fn load_and_unload() {
    let path = plugin();
    let figures = || (maps().lines().count(), count("/proc/self/fd"), resident());
    // What the host's own libraries set up once is not counted.
    one_round(&path, 1);
    let (areas, files, bytes) = figures();
    for byte in 2..2 + ROUNDS {
        one_round(&path, byte);
    }
    let (areas_after, files_after, bytes_after) = figures();
    let rounds = usize::from(ROUNDS);
    eprintln!(
        "each unloaded engine leaves {} areas and {} KiB behind",
        areas_after.saturating_sub(areas) / rounds,
        bytes_after.saturating_sub(bytes) / rounds / 1024
    );
    assert_eq!(files_after, files, "descriptors");
    assert!(areas_after <= areas + AREAS * rounds, "{areas} areas, and {areas_after} after {rounds} rounds");
    assert!(bytes_after <= bytes + RESIDENT * rounds, "{bytes} bytes, and {bytes_after} after {rounds} rounds");
}
