//! Memory between processes: what one writes another reads, what is sealed stays so, and what a peer's end does.

#[path = "global/child.rs"]
mod child;
mod fork;
#[path = "../examples/share/passing.rs"]
mod passing;

use child::in_child;
use fork::{fault_of, in_fork};
use mapalloc::ipc::ring::{Ring, RingError};
use mapalloc::ipc::{MemoryFile, NamedError, NamedMemory, Seals, SharedPages};
use mapalloc::page_size;
use std::ffi::{CStr, CString};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A name of this process' own, unlinked at the end.
struct Name(CString);

impl Name {
    fn new(what: &str) -> Self {
        Self(CString::new(format!("/mapalloc-test-{}-{what}", std::process::id())).unwrap())
    }
}

impl std::ops::Deref for Name {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        &self.0
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        _ = NamedMemory::unlink(&self.0);
    }
}

#[test]
fn children_of_fork_share_pages() {
    let pages = SharedPages::new(3 * page_size() + 1).unwrap();
    assert_eq!((pages.len(), pages.is_empty()), (3 * page_size() + 1, false));
    let counters = SharedPages::new(8 * 512).unwrap().into_atomics::<AtomicU64>().unwrap();
    for child in 1..=3 {
        let code = in_fork(|| {
            counters.iter().for_each(|counter| _ = counter.fetch_add(child, Relaxed));
            i32::from(pages.write_at(3 * page_size(), &[child as u8]).is_err())
        });
        assert_eq!(code, 0);
        let mut last = [0];
        pages.read_at(3 * page_size(), &mut last).unwrap();
        assert_eq!(u64::from(last[0]), child);
    }
    assert!(counters.iter().all(|counter| counter.load(Relaxed) == 6));
}

#[test]
fn ranges_are_checked() {
    let pages = SharedPages::new(100).unwrap();
    let mut bytes = [0; 10];
    pages.read_at(90, &mut bytes).unwrap();
    pages.read_at(91, &mut bytes).unwrap_err();
    pages.write_at(usize::MAX, &bytes).unwrap_err();
    pages.write_at(100, &[]).unwrap();
    assert_eq!(pages.atomic_bytes().unwrap().len(), 100);
    let pages = pages.into_atomics::<AtomicU64>().unwrap_err().into_inner();
    let words = pages.into_atomics::<AtomicU32>().unwrap();
    words[24].store(7, Relaxed);
    words.into_pages().read_at(96, &mut bytes[..4]).unwrap();
    assert_eq!(bytes[..4], 7_u32.to_ne_bytes());
    assert!(SharedPages::new(0).unwrap().is_empty());
    assert_eq!(SharedPages::new(usize::MAX).unwrap_err().raw_os_error(), None);
    assert_eq!(SharedPages::new(1 << 60).unwrap_err().raw_os_error(), Some(libc::ENOMEM));
}

#[test]
fn a_memory_file_keeps_its_length_or_grows() {
    let fixed = MemoryFile::new(c"fixed", 5000).unwrap();
    assert_eq!(fixed.len().unwrap(), 5000);
    assert_eq!(fixed.seals().unwrap(), Seals::SHRINK | Seals::GROW);
    assert_eq!(fixed.grow(5001).unwrap_err().raw_os_error(), Some(libc::EPERM));
    fixed.grow(10).unwrap();
    // SAFETY: plain integers; refused by the seal.
    assert_eq!(unsafe { libc::ftruncate(fixed.as_raw_fd(), 10) }, -1);
    assert_eq!(fixed.len().unwrap(), 5000);

    let growing = MemoryFile::growing(c"growing", 10).unwrap();
    let first = growing.map().unwrap();
    growing.grow(100_000).unwrap();
    growing.allocate().unwrap();
    let second = growing.map().unwrap();
    assert_eq!((first.len(), second.len()), (10, 100_000));
    first.write_at(3, b"seen").unwrap();
    let mut seen = [0; 4];
    second.read_at(3, &mut seen).unwrap();
    assert_eq!(&seen, b"seen");
    assert!(MemoryFile::new(c"empty", 0).unwrap().map().unwrap().is_empty());
    assert!(MemoryFile::new(c"empty", 0).unwrap().is_empty().unwrap());
    let long = CString::new(vec![b'n'; 300]).unwrap();
    assert_eq!(MemoryFile::new(&long, 1).unwrap_err().raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn sealed_bytes_cannot_be_changed_by_anyone() {
    let file = MemoryFile::new(c"sealed", 3).unwrap();
    let pages = file.map().unwrap();
    pages.write_at(0, b"abc").unwrap();
    // Not while it is mapped for writing.
    assert_eq!(file.seal().unwrap_err().raw_os_error(), Some(libc::EBUSY));
    drop(pages);
    let sealed = file.seal().unwrap();
    assert_eq!(*sealed, *b"abc");
    assert_eq!(file.map().unwrap_err().raw_os_error(), Some(libc::EPERM));
    assert!(fs::File::from(file.as_fd().try_clone_to_owned().unwrap()).write_all(b"x").is_err());
    let start = sealed.as_ptr();
    // SAFETY: the write faults.
    assert_eq!(fault_of(|| unsafe { start.cast_mut().write_volatile(1) }), Some(start.addr()));
    // SAFETY: refused, or the test fails.
    let opened = unsafe { libc::mprotect(start.cast_mut().cast(), page_size(), libc::PROT_READ | libc::PROT_WRITE) };
    assert_eq!(opened, -1, "not even by force");
    // The same in a process that was passed it.
    let again = MemoryFile::from_fd(OwnedFd::from(file)).unwrap();
    assert_eq!(*again.seal().unwrap(), *b"abc");
    assert_eq!(*sealed, *b"abc");

    let future = MemoryFile::new(c"future", 3).unwrap();
    let writer = future.map().unwrap();
    future.add_seals(Seals::FUTURE_WRITE).unwrap();
    writer.write_at(0, b"own").unwrap();
    future.map().unwrap_err();
    let reader = future.map_read_only().unwrap();
    let mut seen = [0; 3];
    reader.read_at(0, &mut seen).unwrap();
    assert_eq!(&seen, b"own");
    reader.write_at(0, b"not").unwrap_err();
    reader.atomic_bytes().unwrap_err();
    let reader = reader.into_atomics::<AtomicU8>().unwrap_err().into_inner();
    assert_eq!(reader.len(), 3);
    future.add_seals(Seals::SEAL).unwrap();
    assert_eq!(future.add_seals(Seals::GROW).unwrap_err().raw_os_error(), Some(libc::EPERM));
}

#[test]
fn pages_stay_when_the_descriptor_is_closed() {
    let file = MemoryFile::new(c"closed", 100).unwrap();
    let (pages, other) = (file.map().unwrap(), file.map().unwrap());
    let name = Name::new("closed");
    let named = NamedMemory::create(&name, 100, 0o600).unwrap();
    let named_pages = named.map().unwrap();
    drop((file, named));
    pages.write_at(0, b"still").unwrap();
    let mut seen = [0; 5];
    other.read_at(0, &mut seen).unwrap();
    assert_eq!(&seen, b"still");
    named_pages.write_at(0, b"there").unwrap();
    NamedMemory::open(&name, 100).unwrap().map().unwrap().read_at(0, &mut seen).unwrap();
    assert_eq!(&seen, b"there");
    // A ring's ends have descriptors of their own.
    let ring = Ring::new(1).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    drop(ring);
    producer.write_all(b"still").unwrap();
    consumer.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"still");
    // One that was closed behind the back of its owner is an error, not a surprise.
    let file = MemoryFile::new(c"stolen", 100).unwrap();
    let stolen = file.as_raw_fd();
    let code = in_fork(|| {
        // SAFETY: plain integers; the child ends without using the descriptor again.
        unsafe { libc::close(stolen) };
        let is_ebadf = |error: mapalloc::Error| error.raw_os_error() == Some(libc::EBADF);
        i32::from(
            !(file.len().is_err_and(is_ebadf) && file.map().is_err_and(is_ebadf) && file.seals().is_err_and(is_ebadf)),
        )
    });
    assert_eq!(code, 0);
}

#[test]
fn what_is_no_memory_file_is_refused() {
    let file = fs::File::open("/proc/self/exe").unwrap();
    assert_eq!(MemoryFile::from_fd(file.into()).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    // One that somebody could make shorter at any time, and that takes no seals.
    // SAFETY: a C string and a flag; the descriptor is owned below.
    let unsealable = unsafe {
        let fd = libc::memfd_create(c"unsealable".as_ptr(), libc::MFD_CLOEXEC);
        <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd)
    };
    assert_eq!(MemoryFile::from_fd(unsealable).unwrap_err().raw_os_error(), Some(libc::EPERM));
}

/// Runs this test once more as a process of its own, with a socket for its standard input.
fn peer(test: &str, other: UnixStream) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("MAPALLOC_PEER", test)
        .stdin(OwnedFd::from(other))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The socket, if this is the process that `peer` started.
fn as_peer(test: &str) -> Option<UnixStream> {
    (std::env::var("MAPALLOC_PEER").as_deref() == Ok(test))
        .then(|| UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap()))
}

#[test]
fn a_file_goes_to_another_process_over_a_socket() {
    const TEST: &str = "a_file_goes_to_another_process_over_a_socket";
    if let Some(socket) = as_peer(TEST) {
        let [shared, sealed] = passing::receive(&socket).unwrap();
        assert_eq!(*MemoryFile::from_fd(sealed).unwrap().seal().unwrap(), *b"sealed");
        let pages = MemoryFile::from_fd(shared).unwrap().map().unwrap();
        let mut seen = [0; 8];
        pages.read_at(page_size() - 4, &mut seen).unwrap();
        assert_eq!(&seen, b"question");
        pages.write_at(0, b"answer").unwrap();
        return;
    }
    let shared = MemoryFile::new(c"shared", 2 * page_size()).unwrap();
    let sealed = MemoryFile::new(c"sealed", 6).unwrap();
    let pages = shared.map().unwrap();
    pages.write_at(page_size() - 4, b"question").unwrap();
    sealed.map().unwrap().write_at(0, b"sealed").unwrap();
    sealed.seal().unwrap();
    let (socket, other) = UnixStream::pair().unwrap();
    let mut child = peer(TEST, other);
    passing::send(&socket, [shared.as_fd(), sealed.as_fd()]).unwrap();
    assert!(child.wait().unwrap().success());
    let mut seen = [0; 6];
    pages.read_at(0, &mut seen).unwrap();
    assert_eq!(&seen, b"answer");
}

#[test]
fn names_lead_to_the_same_memory() {
    let name = Name::new("same");
    assert_eq!(NamedMemory::open(&name, 10).unwrap_err(), NamedError::NotFound);
    assert_eq!(NamedMemory::unlink(&name).unwrap_err(), NamedError::NotFound);
    let memory = NamedMemory::create(&name, 5000, 0o640).unwrap();
    assert_eq!((memory.len(), memory.is_empty(), memory.mode().unwrap()), (5000, false, 0o640));
    // SAFETY: no preconditions.
    assert_eq!(memory.owner().unwrap(), unsafe { (libc::geteuid(), libc::getegid()) });
    let pages = memory.map().unwrap();
    pages.write_at(4990, b"here").unwrap();
    let code = in_fork(|| {
        let seen = NamedMemory::open(&name, 5000).and_then(|other| {
            let mut seen = [0; 4];
            other.map_read_only()?.read_at(4990, &mut seen)?;
            Ok(seen)
        });
        i32::from(seen != Ok(*b"here"))
    });
    assert_eq!(code, 0);
    assert_eq!(NamedMemory::create(&name, 5000, 0o600).unwrap_err(), NamedError::InUse);
    assert_eq!(NamedMemory::replace_stale(&name, 5000, 0o600).unwrap_err(), NamedError::InUse);
    assert_eq!(NamedMemory::open(&name, 5001).unwrap_err(), NamedError::Size { expected: 5001, found: 5000 });
    assert_eq!(NamedMemory::open_any(&name).unwrap().len(), 5000);
    assert_eq!(NamedMemory::open_or_create(&name, 5000, 0o600).unwrap().len(), 5000);
    memory.set_mode(0o600).unwrap();
    assert_eq!(memory.mode().unwrap(), 0o600);
    memory.check(&name).unwrap();
    if memory.set_owner(65534, 65534).is_ok() {
        assert_eq!(memory.owner().unwrap(), (65534, 65534));
    }
}

#[test]
fn a_segment_that_vanishes_or_shrinks_is_told() {
    let name = Name::new("vanishes");
    let memory = NamedMemory::create(&name, 100, 0o600).unwrap();
    NamedMemory::unlink(&name).unwrap();
    assert_eq!(memory.check(&name).unwrap_err(), NamedError::Vanished);
    memory.map().unwrap().write_at(0, b"still there").unwrap();
    // Another one under the name is not this one.
    let other = NamedMemory::create(&name, 100, 0o600).unwrap();
    assert_eq!(memory.check(&name).unwrap_err(), NamedError::Vanished);
    other.check(&name).unwrap();
    let pages = other.map().unwrap();
    pages.write_at(0, b"still").unwrap();
    // SAFETY: as below.
    assert_eq!(unsafe { libc::ftruncate(other.as_fd().as_raw_fd(), 0) }, 0);
    // The page is gone: copies are errors, and no signal.
    assert_eq!(pages.read_at(0, &mut [0; 5]).unwrap_err().raw_os_error(), Some(libc::EFAULT));
    assert_eq!(pages.write_at(0, &[0; 5]).unwrap_err().raw_os_error(), Some(libc::EFAULT));
    // SAFETY: plain integers.
    assert_eq!(unsafe { libc::ftruncate(other.as_fd().as_raw_fd(), 7) }, 0);
    assert_eq!(other.check(&name).unwrap_err(), NamedError::Size { expected: 100, found: 7 });
}

#[test]
fn names_are_checked() {
    for name in [c"", c"/", c"no-slash", c"/two/slashes", c"/.", c"/.."] {
        assert_eq!(NamedMemory::create(name, 1, 0o600).unwrap_err(), NamedError::Name, "{name:?}");
        assert_eq!(NamedMemory::open(name, 1).unwrap_err(), NamedError::Name);
        assert_eq!(NamedMemory::unlink(name).unwrap_err(), NamedError::Name);
    }
    let long = CString::new([&b"/"[..], &[b'n'; 255]].concat()).unwrap();
    assert_eq!(NamedMemory::create(&long, 1, 0o600).unwrap_err(), NamedError::Name);
    let error: std::io::Error = NamedError::Stale.into();
    assert_eq!((error.kind(), error.to_string().contains("left behind")), (ErrorKind::AlreadyExists, true));
}

#[test]
fn a_name_left_behind_by_a_dead_process_is_stale() {
    let name = Name::new("stale");
    let code = in_fork(|| {
        let memory = NamedMemory::create(&name, 4096, 0o600);
        let ok = memory.as_ref().is_ok_and(|memory| memory.map().is_ok_and(|pages| pages.write_at(0, b"old").is_ok()));
        // Killed, without a chance to clean up.
        // SAFETY: plain integers.
        unsafe { libc::kill(libc::getpid(), if ok { libc::SIGKILL } else { libc::SIGTERM }) };
        1
    });
    assert_eq!(code, -libc::SIGKILL);
    assert_eq!(NamedMemory::create(&name, 4096, 0o600).unwrap_err(), NamedError::Stale);
    // Of many that take it over one does.
    let start = Barrier::new(4);
    let taken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                match NamedMemory::replace_stale(&name, 8192, 0o600) {
                    Ok(memory) => taken.lock().unwrap().push(memory),
                    Err(error) => assert_eq!(error, NamedError::InUse),
                }
            });
        }
    });
    let taken = taken.into_inner().unwrap();
    assert_eq!(taken.len(), 1);
    let mut seen = [1; 3];
    taken[0].map().unwrap().read_at(0, &mut seen).unwrap();
    assert_eq!(seen, [0; 3], "a new segment");
    taken[0].check(&name).unwrap();
}

#[test]
fn of_several_creators_one_makes_the_segment() {
    for round in 0..50 {
        let name = Name::new(&format!("race{round}"));
        let start = Barrier::new(4);
        let made: usize = thread::scope(|scope| {
            let creators: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        match NamedMemory::create(&name, 4096, 0o600) {
                            Ok(memory) => {
                                // Long enough for the others to see that somebody has it.
                                thread::sleep(Duration::from_millis(2));
                                memory.check(&name).unwrap();
                                1
                            }
                            Err(error) => {
                                assert!(matches!(error, NamedError::InUse | NamedError::Stale), "{error}");
                                0
                            }
                        }
                    })
                })
                .collect();
            creators.into_iter().map(|creator| creator.join().unwrap()).sum()
        });
        assert_eq!(made, 1);
        // Those that take either come to the same one.
        let name = Name::new(&format!("either{round}"));
        let memories: Vec<_> = thread::scope(|scope| {
            let start = &start;
            let name = &*name;
            let openers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(move || {
                        start.wait();
                        NamedMemory::open_or_create(name, 4096, 0o600).unwrap()
                    })
                })
                .collect();
            openers.into_iter().map(|opener| opener.join().unwrap()).collect()
        });
        memories[0].map().unwrap().write_at(0, &[9]).unwrap();
        for memory in &memories {
            let mut seen = [0];
            memory.map().unwrap().read_at(0, &mut seen).unwrap();
            assert_eq!(seen, [9]);
        }
    }
}

#[test]
fn no_space_is_an_error_and_leaves_no_name() {
    in_child(concat!(module_path!(), "::no_space_is_an_error_and_leaves_no_name"), || {
        // SAFETY: plain system calls with C strings; the mounts are this process' own.
        let mounted = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    c"none".as_ptr(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
                && libc::mount(
                    c"tmpfs".as_ptr(),
                    c"/dev/shm".as_ptr(),
                    c"tmpfs".as_ptr(),
                    0,
                    c"size=1m".as_ptr().cast(),
                ) == 0
        };
        if !mounted {
            println!("no small /dev/shm can be mounted here: {}", std::io::Error::last_os_error());
            return;
        }
        let name = Name::new("space");
        let error = NamedMemory::create(&name, 4 << 20, 0o600).unwrap_err();
        assert!(matches!(error, NamedError::Refused(error) if error.raw_os_error() == Some(libc::ENOSPC)), "{error}");
        assert_eq!(NamedMemory::open_any(&name).unwrap_err(), NamedError::NotFound);
        // What was made can be touched to the last byte.
        let memory = NamedMemory::create(&name, 512 << 10, 0o600).unwrap();
        memory.map().unwrap().write_at((512 << 10) - 1, &[1]).unwrap();
        NamedMemory::create(&Name::new("more"), 768 << 10, 0o600).unwrap_err();
    });
}

fn pattern(n: usize) -> u8 {
    (n.wrapping_mul(31) >> 3) as u8
}

#[test]
fn a_ring_gives_out_what_was_put_in() {
    for capacity in [1, page_size(), 3 * page_size()] {
        let ring = Ring::new(capacity).unwrap();
        assert!(ring.capacity() >= capacity && ring.capacity().is_power_of_two());
        let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
        assert_eq!((producer.room().unwrap(), consumer.available().unwrap()), (ring.capacity(), 0));
        assert_eq!(consumer.try_read(&mut [0; 5]).unwrap(), 0);
        let (mut written, mut read) = (0, 0);
        let mut buffer = vec![0; 2 * ring.capacity()];
        for step in 1..2000 {
            let bytes: Vec<u8> = (written..written + step * 7 % 5000).map(pattern).collect();
            let count = producer.try_write(&bytes).unwrap();
            assert_eq!(count, bytes.len().min(ring.capacity() - (written - read)), "as much as there is room for");
            written += count;
            let wanted = step * 11 % 6000;
            let count = consumer.try_read(&mut buffer[..wanted.min(2 * ring.capacity())]).unwrap();
            assert!(buffer[..count].iter().enumerate().all(|(n, &byte)| byte == pattern(read + n)));
            read += count;
        }
        assert_eq!(consumer.available().unwrap(), written - read);
    }
    assert!(Ring::new(usize::MAX).is_err());
}

#[test]
fn each_end_is_taken_once_and_can_be_given_back() {
    let ring = Ring::new(100).unwrap();
    let producer = ring.producer().unwrap();
    assert_eq!(ring.producer().unwrap_err(), RingError::Taken);
    // By another way to the same file, too.
    let other = Ring::from_file(MemoryFile::from_fd(ring.as_fd().try_clone_to_owned().unwrap()).unwrap()).unwrap();
    assert_eq!(other.producer().unwrap_err(), RingError::Taken);
    drop(producer);
    let mut producer = other.producer().unwrap();
    producer.try_write(b"abc").unwrap();
    drop(producer);
    // The next one goes on where it ended.
    let mut producer = ring.producer().unwrap();
    producer.try_write(b"def").unwrap();
    let mut seen = [0; 6];
    ring.consumer().unwrap().read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"abcdef");
}

#[test]
fn threads_wait_for_each_other() {
    let ring = Ring::new(page_size()).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    const TOTAL: usize = 8 << 20;
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut written = 0;
            while written < TOTAL {
                let bytes: Vec<u8> = (written..(written + written % 9000 + 1).min(TOTAL)).map(pattern).collect();
                producer.write_all(&bytes).unwrap();
                written += bytes.len();
                if written % 64 == 0 {
                    thread::sleep(Duration::from_micros(50));
                }
            }
        });
        let mut bytes = Vec::new();
        consumer.read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() == TOTAL && bytes.iter().enumerate().all(|(n, &byte)| byte == pattern(n)));
    });
}

#[test]
fn a_ring_goes_to_another_process() {
    const TEST: &str = "a_ring_goes_to_another_process";
    const TOTAL: usize = 1 << 20;
    if let Some(socket) = as_peer(TEST) {
        let [there, back] = passing::receive(&socket).unwrap();
        let open = |fd| Ring::from_file(MemoryFile::from_fd(fd).unwrap()).unwrap();
        let (mut consumer, mut producer) = (open(there).consumer().unwrap(), open(back).producer().unwrap());
        (&socket).write_all(&[1]).unwrap();
        let mut bytes = [0; 3000];
        loop {
            match consumer.read(&mut bytes).unwrap() {
                0 => return,
                count => producer.write_all(&bytes[..count]).unwrap(),
            }
        }
    }
    let (there, back) = (Ring::new(1 << 14).unwrap(), Ring::new(1 << 12).unwrap());
    let (socket, other) = UnixStream::pair().unwrap();
    let mut child = peer(TEST, other);
    let (mut producer, mut consumer) = (there.producer().unwrap(), back.consumer().unwrap());
    passing::send(&socket, [there.as_fd(), back.as_fd()]).unwrap();
    (&socket).read_exact(&mut [0]).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let bytes: Vec<u8> = (0..TOTAL).map(pattern).collect();
            producer.write_all(&bytes).unwrap();
        });
        let mut bytes = Vec::new();
        consumer.read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() == TOTAL && bytes.iter().enumerate().all(|(n, &byte)| byte == pattern(n)));
    });
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_killed_peer_is_gone_and_can_be_replaced() {
    const TEST: &str = "a_killed_peer_is_gone_and_can_be_replaced";
    if let Some(socket) = as_peer(TEST) {
        let [file] = passing::receive(&socket).unwrap();
        let ring = Ring::from_file(MemoryFile::from_fd(file).unwrap()).unwrap();
        let mut consumer = ring.consumer().unwrap();
        consumer.read_exact(&mut [0; 100]).unwrap();
        (&socket).write_all(&[1]).unwrap();
        // Holds the end, and reads no more, until it is killed.
        loop {
            thread::park();
        }
    }
    let ring = Ring::new(page_size()).unwrap();
    let mut producer = ring.producer().unwrap();
    producer.write_all(&(0..page_size()).map(pattern).collect::<Vec<_>>()).unwrap();
    assert!(!producer.consumer_is_gone(), "there was none yet");
    let (socket, other) = UnixStream::pair().unwrap();
    let mut child = peer(TEST, other);
    passing::send(&socket, [ring.as_fd()]).unwrap();
    (&socket).read_exact(&mut [0]).unwrap();
    assert_eq!(ring.consumer().unwrap_err(), RingError::Taken);
    producer.write_all(&(page_size()..page_size() + 100).map(pattern).collect::<Vec<_>>()).unwrap();
    let killer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        child.kill().unwrap();
        child.wait().unwrap();
    });
    // The ring is full, and its reader dies while this waits.
    let started = Instant::now();
    assert_eq!(producer.write_all(&[0]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(started.elapsed() < Duration::from_secs(5));
    killer.join().unwrap();
    assert!(producer.consumer_is_gone());
    // Another one goes on where the dead one ended.
    let mut consumer = ring.consumer().unwrap();
    let mut bytes = vec![0; page_size()];
    consumer.read_exact(&mut bytes).unwrap();
    assert!(bytes.iter().enumerate().all(|(n, &byte)| byte == pattern(100 + n)));
    producer.write_all(b"on").unwrap();
    drop(producer);
    let mut rest = Vec::new();
    consumer.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"on");
}

#[test]
fn nonsense_of_a_peer_is_an_error() {
    let ring = Ring::new(page_size()).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    producer.try_write(b"abc").unwrap();
    // Whatever is written where the positions are, nothing is read or written out of bounds.
    let words = ring.file().map().unwrap().into_atomics::<AtomicU64>().unwrap();
    let words = &words[..page_size() / 8];
    let header: Vec<u64> = words.iter().map(|word| word.load(Relaxed)).collect();
    for value in [u64::MAX, 1 << 63, page_size() as u64 + 4, u64::MAX / 2 + 7] {
        for word in words {
            word.store(value, Relaxed);
        }
        assert_eq!(consumer.try_read(&mut [0; 9000]).unwrap_err(), RingError::Corrupt, "{value}");
        assert_eq!(producer.try_write(&[0; 9000]).unwrap_err(), RingError::Corrupt, "{value}");
        assert_eq!(consumer.read(&mut [0; 9000]).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(
            Ring::from_file(MemoryFile::from_fd(ring.as_fd().try_clone_to_owned().unwrap()).unwrap()).unwrap_err(),
            RingError::NotARing
        );
    }
    for (word, value) in words.iter().zip(header) {
        word.store(value, Relaxed);
    }
    let mut seen = [0; 3];
    consumer.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"abc");
    // A new end begins where the positions are, which may be the last that there are.
    drop((producer, consumer));
    for position in [16, 32] {
        words[position].store(u64::MAX - 5, Relaxed);
    }
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    assert_eq!(producer.try_write(&[1; 5]), Ok(5));
    assert_eq!(producer.try_write(&[1; 1]), Err(RingError::Corrupt));
    assert_eq!(consumer.try_read(&mut [0; 10]), Ok(5));
    for len in [0, 10, page_size(), 2 * page_size()] {
        let other = MemoryFile::new(c"no ring", len).unwrap();
        assert_eq!(Ring::from_file(other).unwrap_err(), RingError::NotARing);
    }
}

#[test]
fn nothing_is_left_of_rings_and_files() {
    in_child(concat!(module_path!(), "::nothing_is_left_of_rings_and_files"), || {
        let count = || {
            let files = fs::read_dir("/proc/self/fd").unwrap().count();
            (fs::read_to_string("/proc/self/maps").unwrap().lines().count(), files)
        };
        let all = || {
            let ring = Ring::new(1 << 16).unwrap();
            let ends = (ring.producer().unwrap(), ring.consumer().unwrap());
            _ = ring.producer().unwrap_err();
            drop(ends);
            let file = MemoryFile::new(c"file", 100).unwrap();
            _ = (file.map().unwrap(), file.map_read_only().unwrap());
            file.seal().unwrap();
            _ = MemoryFile::new(c"file", 1 << 62);
            let name = Name::new("left");
            _ = NamedMemory::create(&name, 1 << 50, 0o600);
            _ = NamedMemory::create(&name, 100, 0o600).unwrap().map().unwrap();
        };
        all();
        let before = count();
        (0..50).for_each(|_| all());
        let after = count();
        assert!(after.0 <= before.0 + 2 && after.1 == before.1, "{before:?} became {after:?}");
    });
}

#[test]
fn an_end_without_descriptors_is_refused_cleanly() {
    in_child(concat!(module_path!(), "::an_end_without_descriptors_is_refused_cleanly"), || {
        let ring = Ring::new(1 << 16).unwrap();
        let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
        // SAFETY: a live limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        let is_emfile =
            |error: RingError| matches!(error, RingError::Refused(error) if error.raw_os_error() == Some(libc::EMFILE));
        assert!(is_emfile(ring.producer().unwrap_err()) && is_emfile(ring.consumer().unwrap_err()));
        assert_eq!(MemoryFile::new(c"one more", 1).unwrap_err().raw_os_error(), Some(libc::EMFILE));
    });
}
