//! Files that are cut under a map, disks that are full, and sandboxes: errors, and no signals.

use super::fork::{fault_of, in_fork};
use super::{Scratch, bytes_of, in_child, pattern};
use mapalloc::file::{FileMap, FileOptions, Private, ReadOnly, ReadWrite};
use mapalloc::{Operation, page_size};
use std::ffi::CString;
use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::null;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A map of five pages whose file has one and a half left, and the map of the same file that cannot be written to.
fn cut(scratch: &Scratch) -> (FileMap<ReadWrite>, FileMap<ReadOnly>, FileMap<Private>) {
    scratch.file.set_len(5 * page_size() as u64).unwrap();
    let maps = (
        FileMap::new(&scratch.file).unwrap(),
        FileMap::new(&scratch.file).unwrap(),
        FileMap::new(&scratch.file).unwrap(),
    );
    assert!(!maps.0.is_truncated(&scratch.file).unwrap());
    maps.0.check(..).unwrap();
    scratch.file.set_len((page_size() + page_size() / 2) as u64).unwrap();
    maps
}

/// All that must hold of a file that was cut; in a process in which a signal would end the test.
fn errors_where_the_file_ends() {
    let page = page_size();
    let scratch = Scratch::new(&pattern(5 * page));
    let (map, reader, private) = cut(&scratch);
    assert!(map.is_truncated(&scratch.file).unwrap());
    let mut buffer = vec![1; 5 * page];
    // The last page ends in zeros.
    reader.read_at(0, &mut buffer[..2 * page]).unwrap();
    assert!(buffer[..page + page / 2] == pattern(5 * page)[..page + page / 2]);
    assert!(buffer[page + page / 2..2 * page].iter().all(|&byte| byte == 0));
    for (at, len) in [(0, 5 * page), (2 * page, 1), (5 * page - 1, 1), (2 * page - 1, 2), (page, 3 * page)] {
        for error in [
            map.read_at(at, &mut buffer[..len]).unwrap_err(),
            reader.read_at(at, &mut buffer[..len]).unwrap_err(),
            private.read_at(at, &mut buffer[..len]).unwrap_err(),
            map.write_at(at, &pattern(len)).unwrap_err(),
            private.write_at(at, &pattern(len)).unwrap_err(),
        ] {
            assert_eq!(
                (error.operation(), error.bytes(), error.raw_os_error()),
                (Operation::Copy, len, Some(libc::EFAULT))
            );
        }
        for error in [
            map.check(at..at + len).unwrap_err(),
            map.check_writable(at..at + len).unwrap_err(),
            reader.check(at..at + len).unwrap_err(),
            private.check_writable(at..at + len).unwrap_err(),
        ] {
            assert_eq!((error.operation(), error.raw_os_error()), (Operation::Advise, Some(libc::EFAULT)));
        }
    }
    // The pages that are left are as usual.
    map.check(..2 * page).unwrap();
    map.write_at(page, b"last").unwrap();
    reader.read_at(0, &mut buffer[..2 * page]).unwrap();
    assert_eq!(buffer[page..page + 4], *b"last");
    // And all of it is when the file is long again.
    scratch.file.set_len(5 * page as u64).unwrap();
    map.write_at(5 * page - 4, b"back").unwrap();
    assert_eq!(bytes_of(&reader)[5 * page - 4..], *b"back");
    assert!(!map.is_truncated(&scratch.file).unwrap());
}

#[test]
fn a_cut_file_gives_errors_and_no_signal() {
    in_child(concat!(module_path!(), "::a_cut_file_gives_errors_and_no_signal"), errors_where_the_file_ends);
}

#[test]
fn the_same_in_a_sandbox_without_process_vm_readv() {
    in_child(concat!(module_path!(), "::the_same_in_a_sandbox_without_process_vm_readv"), || {
        forbid(libc::SYS_process_vm_readv);
        errors_where_the_file_ends();
        // Copies of every length, over the edges of pages and of the pipe's chunks.
        let contents = pattern(100_000);
        let scratch = Scratch::new(&contents);
        let map = FileMap::<ReadWrite>::new(&scratch.file).unwrap();
        for (at, len) in [(0, 1), (4095, 2), (1, 4096), (4097, 70_000), (0, 100_000)] {
            let mut buffer = vec![0; len];
            map.read_at(at, &mut buffer).unwrap();
            assert!(buffer == contents[at..at + len]);
            map.write_at(at, &buffer).unwrap();
        }
        assert!(scratch.contents() == contents);
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        let before = descriptors();
        map.read_at(0, &mut [0; 10]).unwrap();
        assert_eq!(descriptors(), before);
        // Without a descriptor for the pipe there is an error, of the kernel's.
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a live limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        assert_eq!(map.read_at(0, &mut [0]).unwrap_err().raw_os_error(), Some(libc::EMFILE));
    });
}

/// Has a system call fail with `EPERM` from here on.
fn forbid(call: i64) {
    let step = |code: u32, jump_false: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: jump_false, k };
    let mut filter = [
        // The number of the call is the first word that a filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, call as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: a live filter, which the kernel copies.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
        assert_eq!(libc::syscall(call, 0, null::<u8>(), 0, null::<u8>(), 0, 0), -1);
    }
    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EPERM));
}

#[test]
fn a_slice_of_a_cut_file_faults_where_the_page_is_gone() {
    let page = page_size();
    let scratch = Scratch::new(&pattern(5 * page));
    let (map, reader, _) = cut(&scratch);
    // SAFETY: the contract is broken on purpose, in a child, to show what it is for.
    let slice = || unsafe { reader.as_slice() };
    assert_eq!(fault_of(|| _ = black_box(slice()[2 * page - 1])), None);
    assert_eq!(fault_of(|| _ = black_box(slice()[2 * page])), Some(reader.as_ptr().addr() + 2 * page));
    let code = in_fork(|| i32::from(map.atomic_bytes()[3 * page].load(Relaxed)));
    assert_eq!(code, -libc::SIGBUS);
}

#[test]
fn copies_survive_a_file_that_is_cut_all_the_time() {
    in_child(concat!(module_path!(), "::copies_survive_a_file_that_is_cut_all_the_time"), || {
        let len = 64 * page_size();
        let scratch = Scratch::new(&pattern(len));
        let map = FileMap::<ReadWrite>::new(&scratch.file).unwrap();
        let done = AtomicBool::new(false);
        let (mut whole, mut part) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    scratch.file.set_len(0).unwrap();
                    scratch.file.set_len(len as u64).unwrap();
                }
            });
            let mut buffer = vec![0; len];
            while whole + part < 3000 || ((whole == 0 || part == 0) && whole + part < 1_000_000) {
                for result in [map.read_at(0, &mut buffer), map.write_at(0, &buffer)] {
                    match result {
                        Ok(()) => whole += 1,
                        Err(error) => {
                            assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
                            part += 1;
                        }
                    }
                }
            }
            done.store(true, Relaxed);
        });
        assert!(whole > 0 && part > 0, "{whole} copies succeeded and {part} failed");
    });
}

/// A file system of this process' own, in a folder that is gone with the value; the mount is gone with the process at the
/// latest.
struct Mount {
    folder: PathBuf,
    place: CString,
}

impl Mount {
    /// Mounts, if the process may.
    fn new(kind: &str, options: &str) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("mapalloc-mount-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let place = CString::new(folder.as_os_str().as_bytes()).unwrap();
        let mount = Self { folder, place };
        let [kind, options] = [kind, options].map(|text| CString::new(text).unwrap());
        // SAFETY: C strings, and a namespace that only this process is in.
        let mounted = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(null(), c"/".as_ptr(), null(), libc::MS_REC | libc::MS_PRIVATE, null()) == 0
                && libc::mount(kind.as_ptr(), mount.place.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) == 0
        };
        if !mounted {
            println!("no mount of {kind:?}: {}", std::io::Error::last_os_error());
        }
        mounted.then_some(mount)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // SAFETY: a C string; where nothing is mounted the call fails.
        _ = unsafe { libc::umount2(self.place.as_ptr(), libc::MNT_DETACH) };
        _ = fs::remove_dir(&self.folder);
    }
}

#[test]
fn a_full_disk_gives_errors_and_no_signal() {
    in_child(concat!(module_path!(), "::a_full_disk_gives_errors_and_no_signal"), || {
        let page = page_size();
        let Some(mount) = Mount::new("tmpfs", &format!("size={}", 16 * page)) else { return };
        let scratch = Scratch::within(mount.folder.clone(), b"");
        // Holes, of which only so many can be filled.
        scratch.file.set_len(64 * page as u64).unwrap();
        let mut map = FileMap::<ReadWrite>::new(&scratch.file).unwrap();
        let error = map.check_writable(..).unwrap_err();
        assert_eq!((error.operation(), error.raw_os_error()), (Operation::Advise, Some(libc::EFAULT)));
        let error = map.write_at(0, &pattern(64 * page)).unwrap_err();
        assert_eq!((error.operation(), error.raw_os_error()), (Operation::Copy, Some(libc::EFAULT)));
        // What there was space for is in the file.
        let mut start = vec![0; page];
        map.read_at(0, &mut start).unwrap();
        assert!(start == pattern(page));
        assert_eq!(
            in_fork(|| {
                map.atomic_bytes().iter().for_each(|byte| byte.store(1, Relaxed));
                0
            }),
            -libc::SIGBUS
        );
        let error = map.extend_file(&scratch.file, 65 * page).unwrap_err();
        assert_eq!((error.operation(), error.raw_os_error()), (Operation::Extend, Some(libc::ENOSPC)));
        assert_eq!((map.len(), scratch.file.metadata().unwrap().len()), (64 * page, 64 * page as u64));
        // A private map copies pages into memory of its own.
        let private = FileMap::<Private>::new(&scratch.file).unwrap();
        private.write_at(0, &[9; 100]).unwrap();
        private.read_at(0, &mut start[..100]).unwrap();
        assert_eq!(start[..100], [9; 100]);
    });
}

#[test]
fn files_of_huge_pages_are_refused() {
    in_child(concat!(module_path!(), "::files_of_huge_pages_are_refused"), || {
        let Some(mount) = Mount::new("hugetlbfs", "") else { return };
        let path = mount.folder.join("pages");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(2 << 20).unwrap();
        let error = FileMap::<ReadWrite>::new(&file).unwrap_err();
        assert_eq!((error.operation(), error.raw_os_error()), (Operation::Map, Some(libc::EOPNOTSUPP)));
        assert!(FileOptions::new().len(5).map::<Private>(&file).is_err());
        drop(file);
        fs::remove_file(&path).unwrap();
    });
}

#[test]
fn a_descriptor_of_memory_is_a_file_too() {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: a C string; the descriptor is new, and owned by nobody else.
    let memory = unsafe {
        let descriptor = libc::memfd_create(c"mapalloc".as_ptr(), libc::MFD_CLOEXEC);
        assert!(descriptor >= 0);
        OwnedFd::from_raw_fd(descriptor)
    };
    let mut map = FileMap::<ReadWrite>::new(&memory).unwrap();
    map.extend_file(&memory, 100_000).unwrap();
    map.write_at(99_999, b"x").unwrap();
    assert_eq!(bytes_of(&FileMap::<ReadOnly>::new(&memory).unwrap())[99_999], b'x');
}
