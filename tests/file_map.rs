//! Files as memory: what a map, another map, `read(2)` and another process see of one file, and what happens when the file
//! is cut, the disk is full, or the descriptor is the wrong one.

#[path = "global/child.rs"]
mod child;
mod fork;
#[path = "file_map/truncation.rs"]
mod truncation;

use child::in_child;
use fork::in_fork;
use mapalloc::file::{Atomic, FileAdvice, FileMap, FileOptions, Private, ReadOnly, ReadWrite};
use mapalloc::map::Lock;
use mapalloc::observe::{Areas, HugePagePolicy, PageStates, System};
use mapalloc::{Operation, Secret, page_size};
use proptest::prelude::*;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// A file of a test's own, open for reading and writing, and gone with the value.
struct Scratch {
    path: PathBuf,
    file: File,
}

impl Scratch {
    fn new(contents: &[u8]) -> Self {
        Self::within(std::env::temp_dir(), contents)
    }

    fn within(folder: PathBuf, contents: &[u8]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("mapalloc-file-map-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let path = folder.join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.write_all_at(contents, 0).unwrap();
        Self { path, file }
    }

    fn contents(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.path);
    }
}

/// Bytes of which no two pages are alike.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8 ^ (n / 251) as u8).collect()
}

fn bytes_of<K: mapalloc::file::Kind>(map: &FileMap<K>) -> Vec<u8> {
    let mut bytes = vec![0; map.len()];
    map.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn one_map_sees_what_another_writes_and_so_does_read() {
    let scratch = Scratch::new(&pattern(3 * page_size() + 17));
    let map = FileMap::<ReadWrite>::new(&scratch.file).unwrap();
    let other = FileMap::<ReadWrite>::new(&scratch.file).unwrap();
    let reader = FileMap::<ReadOnly>::new(File::open(&scratch.path).unwrap()).unwrap();
    let at = page_size() - 2;
    map.write_at(at, b"over the edge").unwrap();
    for bytes in [bytes_of(&map), bytes_of(&other), bytes_of(&reader), scratch.contents()] {
        assert_eq!(&bytes[at..at + 13], b"over the edge");
        assert_eq!(bytes[..at], pattern(at));
        assert_eq!(bytes[at + 13..], pattern(map.len())[at + 13..]);
    }
    // And the other way, from write(2).
    scratch.file.write_all_at(b"by write", 5).unwrap();
    assert_eq!(&bytes_of(&reader)[5..13], b"by write");
    // SAFETY: nobody writes to the file while the slice lives.
    assert_eq!(unsafe { reader.as_slice() }, scratch.contents());
}

#[test]
fn another_process_reads_what_was_flushed() {
    let scratch = Scratch::new(&[b'.'; 10_000]);
    let map: FileMap<ReadWrite> = FileOptions::new().offset(5000).len(3000).map(&scratch.file).unwrap();
    map.write_at(0, b"from a map").unwrap();
    map.flush_async().unwrap();
    map.flush_range(0..10).unwrap();
    map.flush().unwrap();
    let read = Command::new("tail").args(["-c", "+5001"]).arg(&scratch.path).output().unwrap();
    assert!(read.status.success());
    assert_eq!(read.stdout[..12], *b"from a map..");
    // What another process writes shows too.
    let mut dd = Command::new("sh");
    dd.arg("-c").arg("printf written | dd of=\"$0\" bs=1 seek=5010 conv=notrunc 2>/dev/null").arg(&scratch.path);
    assert!(dd.status().unwrap().success());
    assert_eq!(&bytes_of(&map)[..20], b"from a mapwritten...");
}

#[test]
fn a_child_of_fork_shares_the_map() {
    let scratch = Scratch::new(&[0; 100]);
    let map = FileMap::<ReadWrite>::new(&scratch.file).unwrap();
    let own = FileMap::<Private>::new(&scratch.file).unwrap();
    let code = in_fork(|| {
        map.atomic_bytes()[3].store(7, Relaxed);
        i32::from(map.write_at(50, b"child").is_err() || own.write_at(0, b"own").is_err())
    });
    assert_eq!(code, 0);
    assert_eq!(map.atomic_bytes()[3].load(Relaxed), 7);
    assert_eq!(&bytes_of(&map)[50..55], b"child");
    assert_eq!(bytes_of(&own)[..3], [0; 3]);
}

#[test]
fn private_changes_stay_in_the_map() {
    let before = pattern(4 * page_size());
    let scratch = Scratch::new(&before);
    // A file that is open for reading only will do.
    let mut map: FileMap<Private> =
        FileOptions::new().no_reserve(true).map(File::open(&scratch.path).unwrap()).unwrap();
    map.write_at(10, b"mine").unwrap();
    map.atomic_bytes()[2 * page_size()].store(0xAA, Relaxed);
    // SAFETY: nobody writes to the file while the slice lives.
    let bytes = unsafe { map.as_mut_slice() };
    bytes[3 * page_size()] = 0xBB;
    let mut expected = before.clone();
    expected[10..14].copy_from_slice(b"mine");
    (expected[2 * page_size()], expected[3 * page_size()]) = (0xAA, 0xBB);
    assert_eq!(bytes_of(&map), expected);
    assert_eq!(scratch.contents(), before);
    // A page that is discarded shows the file again; a locked one too.
    map.discard(3 * page_size() + 5..3 * page_size() + 6).unwrap();
    map.lock(..page_size(), Lock::Now).unwrap();
    map.discard(0..1).unwrap();
    expected[..page_size()].copy_from_slice(&before[..page_size()]);
    expected[3 * page_size()..].copy_from_slice(&before[3 * page_size()..]);
    assert_eq!(bytes_of(&map), expected);
    drop(map);
    assert_eq!(scratch.contents(), before);
}

#[test]
fn empty_files_and_ranges_are_empty_maps() {
    let scratch = Scratch::new(b"");
    let mut map = FileMap::<ReadWrite>::new(&scratch.file).unwrap();
    assert!(map.is_empty() && map.atomic_bytes().is_empty());
    // SAFETY: an empty slice.
    assert!(unsafe { map.as_mut_slice() }.is_empty());
    map.read_at(0, &mut []).unwrap();
    map.write_at(0, &[]).unwrap();
    map.flush().unwrap();
    map.check(..).unwrap();
    map.check_writable(..).unwrap();
    map.advise(.., FileAdvice::WillNeed).unwrap();
    map.lock(.., Lock::Now).unwrap();
    map.unlock(..).unwrap();
    map.release(..).unwrap();
    map.shrink(0).unwrap();
    assert_eq!(map.residency(..).unwrap().pages(), 0);
    assert!(!map.is_truncated(&scratch.file).unwrap());
    let map = map.into_read_only().unwrap().into_writable().unwrap();
    assert_eq!(map.read_at(0, &mut [0]).unwrap_err().raw_os_error(), None);
    // At the end, and of no length.
    scratch.file.write_all_at(b"12345", 0).unwrap();
    for options in [FileOptions::new().offset(5), FileOptions::new().offset(2).len(0)] {
        assert_eq!(options.map::<Private>(&scratch.file).unwrap().len(), 0);
    }
}

#[test]
fn a_range_outside_the_map_or_the_file_is_refused() {
    let scratch = Scratch::new(&pattern(10_000));
    let map: FileMap<ReadWrite> = FileOptions::new().offset(100).len(5000).map(&scratch.file).unwrap();
    let mut buffer = [0; 10];
    for at in [4991, 5000, 5001, usize::MAX, usize::MAX - 9] {
        let error = map.read_at(at, &mut buffer).unwrap_err();
        assert_eq!((error.operation(), error.bytes(), error.raw_os_error()), (Operation::Copy, 10, None));
        assert_eq!(map.write_at(at, &buffer).unwrap_err(), error);
    }
    #[expect(clippy::reversed_empty_ranges, reason = "refused")]
    for error in [
        map.check(0..5001).unwrap_err(),
        map.check_writable(5001..).unwrap_err(),
        map.flush_range(3..2).unwrap_err(),
        map.advise(..=5000, FileAdvice::Random).unwrap_err(),
        map.lock(..=usize::MAX, Lock::OnFault).unwrap_err(),
        map.unlock(6000..7000).unwrap_err(),
        map.release(usize::MAX..).unwrap_err(),
        map.residency(1..6000).unwrap_err(),
    ] {
        assert_eq!(error.raw_os_error(), None, "{error}");
        assert!(error.to_string().contains("outside the mapping"), "{error}");
    }
    for options in [
        FileOptions::new().len(10_001),
        FileOptions::new().offset(10_001),
        FileOptions::new().offset(9_999).len(2),
        FileOptions::new().offset(u64::MAX).len(1),
        FileOptions::new().len(usize::MAX),
        FileOptions::new().past_end(true).offset(i64::MAX as u64).len(1),
        FileOptions::new().past_end(true).len(isize::MAX as usize),
        FileOptions::new().past_end(true).len(usize::MAX),
    ] {
        let error = options.map::<ReadOnly>(&scratch.file).unwrap_err();
        assert_eq!((error.operation(), error.raw_os_error()), (Operation::Map, None), "{options:?}: {error}");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn pages_past_the_end_come_with_the_file() {
    let scratch = Scratch::new(b"short");
    let map: FileMap<ReadWrite> = FileOptions::new().past_end(true).len(100_000).map(&scratch.file).unwrap();
    let start = map.as_ptr();
    assert!(map.is_truncated(&scratch.file).unwrap());
    map.write_at(0, b"SHORT").unwrap();
    assert_eq!(map.write_at(90_000, b"long").unwrap_err().raw_os_error(), Some(libc::EFAULT));
    scratch.file.set_len(100_000).unwrap();
    assert!(!map.is_truncated(&scratch.file).unwrap());
    map.write_at(90_000, b"long").unwrap();
    assert_eq!(map.as_ptr(), start);
    assert_eq!((&scratch.contents()[..5], &scratch.contents()[90_000..90_004]), (&b"SHORT"[..], &b"long"[..]));
}

#[test]
fn descriptors_that_do_not_allow_the_kind_are_refused() {
    let scratch = Scratch::new(b"contents");
    let errno = |error: mapalloc::Error| (error.operation(), error.raw_os_error());
    let reading = File::open(&scratch.path).unwrap();
    let denied = (Operation::Map, Some(libc::EACCES));
    assert_eq!(errno(FileMap::<ReadWrite>::new(&reading).unwrap_err()), denied);
    let writing = File::options().write(true).open(&scratch.path).unwrap();
    assert_eq!(errno(FileMap::<ReadOnly>::new(&writing).unwrap_err()), denied);
    assert_eq!(errno(FileMap::<Private>::new(&writing).unwrap_err()), denied);
    // A descriptor that only names the file.
    let path = File::options().read(true).custom_flags(libc::O_PATH).open(&scratch.path).unwrap();
    assert_eq!(errno(FileMap::<ReadOnly>::new(&path).unwrap_err()), (Operation::Map, Some(libc::EBADF)));
    // What has no length, and what cannot be mapped.
    let device = File::open("/dev/zero").unwrap();
    assert_eq!(errno(FileMap::<ReadOnly>::new(&device).unwrap_err()), (Operation::Map, Some(libc::ENODEV)));
    let zeros: FileMap<Private> = FileOptions::new().len(100).map(&device).unwrap();
    assert_eq!(bytes_of(&zeros), [0; 100]);
    assert!(!zeros.is_truncated(&device).unwrap());
    let folder = File::open(std::env::temp_dir()).unwrap();
    assert_eq!(errno(FileOptions::new().len(1).map::<ReadOnly>(&folder).unwrap_err()).1, Some(libc::ENODEV));
}

#[test]
fn a_map_changes_its_access_and_comes_back_where_it_cannot() {
    let scratch = Scratch::new(&pattern(9000));
    let map: FileMap<ReadWrite> = FileOptions::new().offset(33).map(&scratch.file).unwrap();
    let start = map.as_ptr();
    map.write_at(0, b"x").unwrap();
    let map = map.into_read_only().unwrap();
    assert_eq!(
        fork::fault_of(|| {
            // SAFETY: the child faults, or the test fails.
            unsafe { map.as_ptr().cast_mut().write_volatile(1) }
        }),
        Some(start.addr())
    );
    let map = map.into_writable().unwrap();
    map.write_at(1, b"y").unwrap();
    assert_eq!((map.as_ptr(), map.offset(), &scratch.contents()[33..35]), (start, 33, &b"xy"[..]));
    let reader = FileMap::<ReadOnly>::new(File::open(&scratch.path).unwrap()).unwrap();
    let refused = reader.into_writable().unwrap_err();
    assert_eq!((refused.error().operation(), refused.error().raw_os_error()), (Operation::Protect, Some(libc::EACCES)));
    assert_eq!(bytes_of(&refused.into_inner()), scratch.contents());
}

#[test]
fn a_map_outlives_its_descriptor_and_its_name() {
    let Scratch { path, file } = &Scratch::new(b"still here");
    let map = FileMap::<ReadWrite>::new(File::options().read(true).write(true).open(path).unwrap()).unwrap();
    fs::remove_file(path).unwrap();
    map.write_at(0, b"STILL").unwrap();
    map.flush().unwrap();
    let mut bytes = [0; 10];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"STILL here");
}

#[test]
fn a_map_grows_with_its_file() {
    let mut contents = pattern(1000);
    let scratch = Scratch::new(&contents);
    let mut map: FileMap<ReadWrite> = FileOptions::new().offset(100).populate(true).map(&scratch.file).unwrap();
    let mut private: FileMap<Private> = FileOptions::new().offset(100).map(&scratch.file).unwrap();
    private.write_at(0, b"mine").unwrap();
    let error = map.grow(&scratch.file, 901).unwrap_err();
    assert_eq!((error.operation(), error.raw_os_error(), map.len()), (Operation::Remap, None, 900));
    assert!(error.to_string().contains("outside the file"), "{error}");
    for len in [1001, 5000, 5000, 100_000, 3_000_000] {
        contents.extend_from_slice(&pattern(len)[contents.len()..]);
        scratch.file.write_all_at(&contents, 0).unwrap();
        map.grow_to_end(&scratch.file).unwrap();
        assert!(bytes_of(&map) == contents[100..]);
        private.grow(&scratch.file, len - 100).unwrap();
        // The first page is a copy from the time when the file had 1000 bytes.
        let (bytes, copied) = (bytes_of(&private), (page_size() - 100).min(len - 100));
        assert!(bytes[..4] == *b"mine" && bytes[4..900] == contents[104..1000]);
        assert!(bytes[900..copied].iter().all(|&byte| byte == 0) && bytes[copied..] == contents[100 + copied..]);
        assert_eq!(map.as_ptr().addr() % page_size(), 100);
    }
    // A smaller length changes nothing, and so does a file that is shorter.
    map.grow(&scratch.file, 5).unwrap();
    scratch.file.set_len(50).unwrap();
    map.grow_to_end(&scratch.file).unwrap();
    assert_eq!(map.len(), 2_999_900);
    // Another file is refused.
    let other = Scratch::new(&contents);
    for error in [
        map.grow(&other.file, 3_000_000).unwrap_err(),
        map.grow_to_end(&other.file).unwrap_err(),
        map.extend_file(&other.file, 3_000_000).unwrap_err(),
        map.is_truncated(&other.file).unwrap_err(),
    ] {
        assert!(error.to_string().contains("not the file"), "{error}");
        assert_eq!(error.raw_os_error(), None);
    }
    assert_eq!(other.contents(), contents);
}

#[test]
fn pages_in_several_areas_grow_and_keep_what_was_written() {
    let len = 8 * page_size();
    let scratch = Scratch::new(&pattern(len));
    fn part<K: mapalloc::file::Writable>(scratch: &Scratch, len: usize) -> FileMap<K> {
        let map: FileMap<K> = FileOptions::new().offset(1).len(len / 2).map(&scratch.file).unwrap();
        map.advise(page_size()..2 * page_size(), FileAdvice::Random).unwrap();
        map.advise(3 * page_size() - 5..3 * page_size(), FileAdvice::Sequential).unwrap();
        map
    }
    let mut private = part::<Private>(&scratch, len);
    private.write_at(page_size() - 3, b"mine").unwrap();
    private.grow(&scratch.file, len - 1).unwrap();
    let mut expected = pattern(len);
    assert_eq!(scratch.contents(), expected);
    let mut map = part::<ReadWrite>(&scratch, len);
    map.write_at(len / 2 - 4, b"file").unwrap();
    map.grow(&scratch.file, len - 1).unwrap();
    expected[len / 2 - 3..][..4].copy_from_slice(b"file");
    assert_eq!(bytes_of(&map), expected[1..]);
    map.write_at(len - 2, b"!").unwrap();
    assert_eq!(scratch.contents()[len - 1], b'!');
    let bytes = bytes_of(&private);
    assert_eq!(bytes[page_size() - 3..][..4], *b"mine");
}

#[test]
fn extending_makes_file_and_map_longer() {
    let scratch = Scratch::new(b"");
    let mut map: FileMap<ReadWrite> = FileOptions::new().map(&scratch.file).unwrap();
    for len in [10, 10, 5000, 200_000] {
        map.extend_file(&scratch.file, len).unwrap();
        assert_eq!((map.len(), scratch.file.metadata().unwrap().len()), (len, len as u64));
        map.write_at(len - 1, &[1]).unwrap();
    }
    map.flush().unwrap();
    let contents = scratch.contents();
    assert_eq!(contents.iter().filter(|&&byte| byte == 1).count(), 3);
    // A file that is longer than the map stays as it is.
    map.shrink(100).unwrap();
    map.extend_file(&scratch.file, 300).unwrap();
    assert_eq!((map.len(), scratch.contents()), (300, contents));
    // What cannot be mapped leaves the file alone.
    assert!(map.extend_file(&scratch.file, usize::MAX).is_err());
    let reading = File::open(&scratch.path).unwrap();
    let error = map.extend_file(&reading, 300_000).unwrap_err();
    assert_eq!((error.operation(), error.raw_os_error()), (Operation::Extend, Some(libc::EBADF)));
    assert_eq!((map.len(), scratch.file.metadata().unwrap().len()), (300, 200_000));
}

#[test]
fn extending_past_the_file_size_limit_is_an_error() {
    in_child(concat!(module_path!(), "::extending_past_the_file_size_limit_is_an_error"), || {
        let scratch = Scratch::new(&[1; 100]);
        let mut map = FileMap::<ReadWrite>::new(&scratch.file).unwrap();
        let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
        // SAFETY: a live limit, and a signal that is not to end the child.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
        }
        let error = map.extend_file(&scratch.file, 2 << 20).unwrap_err();
        assert_eq!((error.operation(), error.raw_os_error()), (Operation::Extend, Some(libc::EFBIG)));
        assert_eq!(map.len(), 100);
        assert_eq!(bytes_of(&map), [1; 100]);
    });
}

#[test]
fn shrinking_gives_pages_back_and_leaves_the_file() {
    in_child(concat!(module_path!(), "::shrinking_gives_pages_back_and_leaves_the_file"), || {
        let contents = pattern(10 * page_size());
        let scratch = Scratch::new(&contents);
        let mut map: FileMap<ReadOnly> = FileOptions::new().offset(5).map(&scratch.file).unwrap();
        let start = map.as_ptr();
        map.check(..).unwrap();
        for len in [9 * page_size(), 4 * page_size() + 1, 4 * page_size(), page_size() - 5, 1] {
            map.shrink(len).unwrap();
            map.shrink(len + 1).unwrap();
            assert_eq!((map.len(), map.as_ptr()), (len, start));
            assert!(bytes_of(&map) == contents[5..5 + len]);
            let behind = start.wrapping_add((5 + len).next_multiple_of(page_size()) - 5);
            // SAFETY: the child reads what is there, or faults.
            let fault = fork::fault_of(|| _ = std::hint::black_box(unsafe { behind.read_volatile() }));
            assert_eq!(fault, Some(behind.addr()));
        }
        map.shrink(0).unwrap();
        assert!(map.is_empty());
        map.grow_to_end(&scratch.file).unwrap();
        assert!(bytes_of(&map) == contents[5..]);
        assert!(scratch.contents() == contents);
    });
}

#[test]
fn maps_leave_no_pages_and_no_descriptors() {
    in_child(concat!(module_path!(), "::maps_leave_no_pages_and_no_descriptors"), || {
        let scratch = Scratch::new(&pattern(1 << 20));
        let reading = File::open(&scratch.path).unwrap();
        let areas = || {
            let maps = fs::read_to_string("/proc/self/maps").unwrap();
            maps.lines().filter(|line| line.contains("mapalloc-file-map")).count()
        };
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        let before = descriptors();
        for round in 0..100_u64 {
            let mut map: FileMap<ReadWrite> = FileOptions::new().offset(round).len(500_000).map(&scratch.file).unwrap();
            map.grow_to_end(&scratch.file).unwrap();
            map.advise(5000..50_000, FileAdvice::Random).unwrap();
            map.shrink(20_000).unwrap();
            map.grow(&scratch.file, 900_000).unwrap();
            assert!(map.grow(&scratch.file, 2 << 20).is_err());
            assert!(FileMap::<ReadWrite>::new(&reading).is_err());
            assert!(areas() > 0);
            map.shrink(usize::from(round % 2 == 0)).unwrap();
        }
        assert_eq!((areas(), descriptors()), (0, before));
    });
}

#[test]
fn atomics_are_the_files_bytes() {
    let scratch = Scratch::new(&pattern(10_000));
    let map: FileMap<ReadWrite> = FileOptions::new().offset(3).map(&scratch.file).unwrap();
    let other: FileMap<ReadWrite> = FileOptions::new().offset(3).map(&scratch.file).unwrap();
    std::thread::scope(|scope| {
        for map in [&map, &other] {
            scope.spawn(move || (0..1000).for_each(|_| _ = map.atomic_bytes()[77].fetch_add(1, Relaxed)));
        }
    });
    assert_eq!(scratch.contents()[80], pattern(81)[80].wrapping_add((2000 % 256) as u8));
    // Larger ones, where they are aligned: byte 5 of the map is byte 8 of the file.
    // SAFETY: no atomics of another size are used meanwhile.
    unsafe {
        map.atomics::<AtomicU64>(5..21).unwrap()[1].store(0x0102_0304_0506_0708, Relaxed);
        assert_eq!(scratch.contents()[16..24], 0x0102_0304_0506_0708_u64.to_ne_bytes());
        assert!(map.atomics::<AtomicU64>(4..12).is_none(), "not aligned");
        assert!(map.atomics::<AtomicU32>(5..12).is_none(), "not a multiple");
        assert!(map.atomics::<AtomicU16>(9995..9999).is_none(), "outside");
        assert!(map.atomics::<AtomicU16>(4..4).unwrap().is_empty());
    }
    fn is_atomic<A: Atomic>() {}
    is_atomic::<AtomicUsize>();
}

#[test]
fn a_secret_can_be_written_and_read() {
    // Memory that the kernel does not read for process_vm_readv(2).
    let scratch = Scratch::new(&[0; 64]);
    let map = FileMap::<ReadWrite>::new(&scratch.file).unwrap();
    let secret = Secret::<[u8; 32]>::from_fn(|secret| secret.fill(9)).unwrap();
    map.write_at(16, &*secret.read()).unwrap();
    assert_eq!((&scratch.contents()[16..48], scratch.contents()[48]), (&[9; 32][..], 0));
    let mut secret = secret;
    map.write_at(16, &[3; 32]).unwrap();
    map.read_at(16, &mut *secret.write()).unwrap();
    assert_eq!(secret.read()[..], [3; 32]);
}

#[test]
fn advice_locks_and_residency() {
    let len = 16 * page_size();
    let scratch = Scratch::new(&pattern(len));
    let map: FileMap<ReadWrite> = FileOptions::new().offset(9).huge_pages(false).map(&scratch.file).unwrap();
    for advice in [
        FileAdvice::Sequential,
        FileAdvice::Random,
        FileAdvice::Normal,
        FileAdvice::WillNeed,
        FileAdvice::PopulateRead,
        FileAdvice::PopulateWrite,
        FileAdvice::Cold,
        FileAdvice::PageOut,
        FileAdvice::DontDump,
        FileAdvice::DoDump,
    ] {
        map.advise(.., advice).unwrap_or_else(|error| panic!("{advice:?}: {error}"));
    }
    let flags = |flag: &str| {
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let path = scratch.path.to_str().unwrap();
        let areas = smaps.split("VmFlags:").zip(smaps.split("VmFlags:").skip(1));
        areas.filter(|(area, flags)| area.contains(path) && flags.lines().next().unwrap().contains(flag)).count()
    };
    assert_eq!((flags(" sr"), flags(" rr"), flags(" dd"), flags(" lo")), (0, 0, 0, 0));
    map.advise(page_size()..2 * page_size(), FileAdvice::Sequential).unwrap();
    map.advise(5 * page_size()..6 * page_size(), FileAdvice::Random).unwrap();
    assert_eq!((flags(" sr"), flags(" rr")), (1, 1));
    map.advise(.., FileAdvice::Normal).unwrap();
    assert_eq!((flags(" sr"), flags(" rr")), (0, 0));
    // Locked pages are in memory, and cannot be released.
    map.lock(9 * page_size()..10 * page_size(), Lock::Now).unwrap();
    assert_eq!(flags(" lo"), 1);
    assert!((9..11).all(|page| map.residency(..).unwrap().is_resident(page)));
    assert_eq!(map.release(..).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    map.unlock(..).unwrap();
    assert_eq!(flags(" lo"), 0);
    map.lock(.., Lock::OnFault).unwrap();
    map.unlock(..).unwrap();
    // What was written is there after a release.
    map.write_at(3, b"kept").unwrap();
    map.release(..).unwrap();
    assert_eq!(bytes_of(&map)[3..7], *b"kept");
    map.check(..).unwrap();
    let seen = map.residency(..).unwrap();
    assert_eq!((seen.pages(), seen.resident_pages()), (16, 16));
    assert_eq!(map.residency(page_size() - 10..page_size() - 8).unwrap().pages(), 2);
    let reader = FileMap::<ReadOnly>::new(&scratch.file).unwrap();
    assert!(reader.advise(.., FileAdvice::PopulateWrite).is_err());
    reader.advise(.., FileAdvice::PopulateRead).unwrap();
}

/// How many pages of a map are in the process' page tables.
fn present<K: mapalloc::file::Kind>(map: &FileMap<K>) -> usize {
    // SAFETY: nobody writes to the files of these tests meanwhile.
    PageStates::of(unsafe { map.as_slice() }).unwrap().count(|page| page.is_present())
}

#[test]
fn options_do_what_they_say() {
    let pages = 64;
    let scratch = Scratch::new(&pattern(pages * page_size()));
    let plain = FileMap::<ReadWrite>::new(&scratch.file).unwrap();
    assert_eq!(present(&plain), 0);
    plain.advise(page_size() + 5..2 * page_size() + 1, FileAdvice::PopulateRead).unwrap();
    // At least these: a fault may bring in what else is in memory around it.
    assert!(present(&plain) >= 2);
    plain.check(..).unwrap();
    assert_eq!(present(&plain), pages);
    plain.release(..).unwrap();
    assert_eq!(present(&plain), 0);
    let populate = FileOptions::new().populate(true);
    assert_eq!(present(&populate.map::<ReadOnly>(&scratch.file).unwrap()), pages);
    assert_eq!(present(&populate.map::<ReadWrite>(&scratch.file).unwrap()), pages);
    let mut private: FileMap<Private> = populate.len(page_size()).map(&scratch.file).unwrap();
    private.grow_to_end(&scratch.file).unwrap();
    assert_eq!(present(&private), pages);
    // Populated, and not copied.
    assert_eq!(private_bytes(&private), 0);
    private.check_writable(..3 * page_size()).unwrap();
    assert_eq!(private_bytes(&private), 3 * page_size());

    let flags = |options: FileOptions| {
        let map: FileMap<Private> = options.map(&scratch.file).unwrap();
        let start = format!("{:x}-", map.as_ptr().addr());
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let area = smaps.lines().skip_while(|line| !line.starts_with(&start)).find(|line| line.starts_with("VmFlags"));
        area.unwrap().to_string()
    };
    for (flag, without, with) in [
        (" nr", FileOptions::new(), FileOptions::new().no_reserve(true)),
        (" hg", FileOptions::new().huge_pages(false), FileOptions::new().huge_pages(true)),
        (" nh", FileOptions::new().huge_pages(true), FileOptions::new().huge_pages(false)),
    ] {
        if flag != " nr" && System::now().huge_pages == HugePagePolicy::Never {
            continue;
        }
        assert!(!flags(without).contains(flag) && flags(with).contains(flag), "{flag}");
    }
}

/// The bytes of a map that are copies of its own.
fn private_bytes(map: &FileMap<Private>) -> usize {
    // SAFETY: nobody writes to the files of these tests meanwhile.
    let states = PageStates::of(unsafe { map.as_slice() }).unwrap();
    states.count(|page| page.is_present() && !page.is_shared_or_file()) * page_size()
}

#[test]
fn flushing_cleans_the_pages_of_the_range() {
    let pages = 8;
    let scratch = Scratch::new(&pattern(pages * page_size()));
    let map = FileMap::<ReadWrite>::new(&scratch.file).unwrap();
    let dirty = || {
        // SAFETY: nobody writes to the file while the slice lives.
        Areas::of(unsafe { map.as_slice() }).unwrap().dirty
    };
    let write = || map.write_at(0, &pattern(pages * page_size())).unwrap();
    write();
    scratch.file.sync_all().unwrap();
    if dirty() > 0 {
        println!("the file system writes nothing back");
        return;
    }
    write();
    let before = dirty();
    assert!(before > 0);
    map.flush_range(2 * page_size()..3 * page_size()).unwrap();
    assert!(dirty() < before);
    map.flush().unwrap();
    assert_eq!(dirty(), 0);
}

#[test]
fn nothing_of_the_contents_is_printed() {
    let scratch = Scratch::new(b"secret");
    let map: FileMap<Private> = FileOptions::new().offset(2).map(&scratch.file).unwrap();
    let printed = format!("{map:?}");
    assert!(printed.starts_with("FileMap { kind: Private, ") && printed.ends_with("len: 4, offset: 2 }"), "{printed}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any offset and any length, through every kind, against a plain copy of the file.
    #[test]
    fn a_map_is_the_range_of_the_file(
        len in 0..40_000_usize,
        start in 0..40_000_usize,
        part in 0..40_000_usize,
        writes in prop::collection::vec((0..40_000_usize, prop::collection::vec(any::<u8>(), 0..9000)), 0..6),
    ) {
        let mut model = pattern(len);
        let scratch = Scratch::new(&model);
        let start = start.min(len);
        let part = part.min(len - start);
        let options = FileOptions::new().offset(start as u64).len(part);
        let map: FileMap<ReadWrite> = options.map(&scratch.file).unwrap();
        let private: FileMap<Private> = options.map(&scratch.file).unwrap();
        let reader: FileMap<ReadOnly> = FileOptions::new().offset(start as u64).map(&scratch.file).unwrap();
        prop_assert_eq!((map.len(), private.len(), reader.len()), (part, part, len - start));
        if part > 0 {
            prop_assert_eq!(map.as_ptr().addr() % page_size(), start % page_size());
        }
        for (at, bytes) in &writes {
            let result = map.write_at(*at, bytes);
            prop_assert_eq!(result.is_ok(), at + bytes.len() <= part);
            if result.is_ok() {
                model[start + at..][..bytes.len()].copy_from_slice(bytes);
            }
        }
        prop_assert_eq!(bytes_of(&map), &model[start..start + part]);
        prop_assert_eq!(bytes_of(&reader), &model[start..]);
        prop_assert_eq!(bytes_of(&private), &model[start..start + part]);
        // SAFETY: nobody writes to the file while the slices live.
        unsafe {
            prop_assert_eq!(map.as_slice(), &model[start..start + part]);
            prop_assert_eq!(reader.as_slice(), &model[start..]);
        }
        let mut own = model[start..start + part].to_vec();
        for (at, bytes) in &writes {
            if private.write_at(*at, bytes).is_ok() {
                own[*at..][..bytes.len()].copy_from_slice(bytes);
            }
        }
        private.check(..).unwrap();
        prop_assert_eq!(bytes_of(&private), own);
        map.flush().unwrap();
        prop_assert_eq!(scratch.contents(), model);
    }
}
