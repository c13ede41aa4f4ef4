//! Access to pages by type: what faults, where, and what comes back.

#[path = "global/child.rs"]
mod child;
mod fork;

use child::in_child;
use fork::fault_of;
use mapalloc::map::{MapOptions, Mapping, Pages, Protect, Protected, ReadOnly};
use mapalloc::{Operation, PageBox, PageVec, page_size};
use std::hint::black_box;

/// Where a child faults that reads this byte, and that writes to it.
fn faults_at(at: *const u8) -> (bool, bool) {
    // SAFETY: a child may read and write what is there, or faults.
    let reads = fault_of(|| _ = black_box(unsafe { at.read_volatile() }));
    // SAFETY: as above.
    let writes = fault_of(|| unsafe { at.cast_mut().write_volatile(1) });
    for address in [reads, writes].into_iter().flatten() {
        assert_eq!(address, at.addr(), "the fault is exactly there");
    }
    (reads.is_some(), writes.is_some())
}

/// The first and the last byte of the pages.
fn ends<C: Pages>(container: &C) -> [*const u8; 2] {
    let (start, len) = container.range();
    [start.as_ptr(), start.as_ptr().wrapping_add(len - 1)]
}

fn states_of<C: Pages>(container: C, name: &str)
where
    C::Target: PartialEq + ToOwned,
    <C::Target as ToOwned>::Owned: std::borrow::Borrow<C::Target>,
{
    use std::borrow::Borrow;
    let contents = (*container).to_owned();
    let ends = ends(&container);
    let assert_access = |reads: bool, writes: bool| {
        for at in ends {
            assert_eq!(faults_at(at), (!reads, !writes), "{name}");
        }
    };
    assert_access(true, true);
    let shown = container.into_read_only().unwrap();
    assert_access(true, false);
    assert!(*shown == *contents.borrow());
    let closed = shown.protect::<mapalloc::map::NoAccess>().unwrap();
    assert_access(false, false);
    let code = closed.protect::<mapalloc::map::ReadExecute>().unwrap();
    assert_access(true, false);
    assert!(*code == *contents.borrow());
    let mut closed = code.protect::<mapalloc::map::NoAccess>().unwrap();

    let guard = closed.read().unwrap();
    assert_access(true, false);
    assert!(*guard == *contents.borrow());
    drop(guard);
    assert_access(false, false);
    let guard = closed.write().unwrap();
    assert_access(true, true);
    guard.close().unwrap();
    assert_access(false, false);
    let open = closed.into_writable().ok().unwrap();
    assert_access(true, true);
    assert!(*open == *contents.borrow());
}

#[test]
fn every_state_allows_what_it_says_and_keeps_the_contents() {
    let mut mapping = Mapping::new(3 * page_size()).unwrap();
    mapping.iter_mut().enumerate().for_each(|(n, byte)| *byte = n as u8);
    states_of(mapping, "Mapping");
    states_of((0..5000).collect::<PageVec<u32>>(), "PageVec");
    states_of((0..5000).collect::<PageBox<[u16]>>(), "PageBox of a slice");
    states_of(PageBox::new([7_u64; 1500]), "PageBox");
    states_of(PageBox::<str>::from("text"), "PageBox of a str");
    let options = MapOptions::new().guard_pages(1, 1).lock(mapalloc::map::Lock::Now);
    let mut vec = PageVec::with_options(100, options).unwrap();
    vec.extend(0..10_000_u32);
    states_of(vec, "PageVec with options");
    let mut vec = PageVec::with_reserved(100_000);
    vec.extend(0..10_000_u32);
    states_of(vec, "PageVec in a reservation");
}

#[test]
fn guards_write_and_go_on() {
    let mut table = PageVec::from([1, 2, 3]).into_read_only().unwrap();
    table.write().unwrap()[1] = 9;
    assert_eq!(*table, [1, 9, 3]);
    let start = table.as_ptr();
    assert_eq!(faults_at(start), (false, true));
    // A guard that is forgotten leaves the access, and nothing else.
    std::mem::forget(table.write().unwrap());
    assert_eq!(faults_at(start), (false, false));
    assert_eq!(*table, [1, 9, 3]);
    drop(table.read().unwrap());
    assert_eq!(faults_at(start), (false, true));
}

#[test]
fn containers_without_pages_have_every_state() {
    let empty = PageVec::<u8>::new().into_no_access().unwrap();
    assert_eq!(empty.page_bytes(), 0);
    let mut empty = empty.into_writable().unwrap();
    empty.push(1);
    assert_eq!(*PageBox::new(()).into_read_only().unwrap(), ());
    assert_eq!(PageBox::<[u8]>::default().into_executable().unwrap().len(), 0);
}

#[test]
fn dropping_closed_pages_gives_them_back() {
    in_child(concat!(module_path!(), "::dropping_closed_pages_gives_them_back"), || {
        let size = || procfs::process::Process::myself().and_then(|me| me.stat()).unwrap().vsize;
        let before = size();
        for _ in 0..100 {
            drop(Mapping::new(1 << 20).unwrap().into_no_access().unwrap());
            drop((0..100_000).collect::<PageVec<u64>>().into_no_access().unwrap());
            drop(PageBox::new([1_u8; 100_000]).into_executable().unwrap());
        }
        assert!(size() < before + (8 << 20));
    });
}

#[test]
fn nothing_of_the_contents_is_printed() {
    let table = PageVec::from(*b"secret").into_no_access().unwrap();
    let printed = format!("{table:?}");
    assert!(printed.starts_with("Protected { NoAccess, ") && !printed.contains("115"), "{printed}");
}

/// Machine code of a function that returns 42.
#[cfg(target_arch = "x86_64")]
const ANSWER: &[u8] = &[0xb8, 42, 0, 0, 0, 0xc3];
#[cfg(target_arch = "aarch64")]
const ANSWER: &[u8] = &[0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];

#[test]
fn executable_pages_run() {
    let code = PageVec::from(ANSWER);
    let start = code.as_ptr();
    // SAFETY: the child runs the code, or faults.
    let run = || unsafe { core::mem::transmute::<*const u8, extern "C" fn() -> i32>(start)() };
    assert_eq!(fault_of(|| _ = run()), Some(start.addr()), "writable pages do not run");
    let code = code.into_executable().unwrap();
    assert_eq!(run(), 42);
    let mut code = code.into_writable().unwrap();
    let at = code.iter().position(|&byte| byte == 42);
    if let Some(at) = at {
        code[at] = 43;
    }
    let code = code.into_executable().unwrap();
    assert_eq!(run(), if at.is_some() { 43 } else { 42 });
    let code = code.protect::<ReadOnly>().unwrap();
    assert_eq!(fault_of(|| _ = run()), Some(start.addr()));
    drop(code);
}

#[test]
fn a_refusal_gives_the_object_back() {
    in_child(concat!(module_path!(), "::a_refusal_gives_the_object_back"), || {
        // From here on the process may make nothing executable (Linux 6.3).
        // SAFETY: a system call on plain integers. 65 is PR_SET_MDWE, 1 PR_MDWE_REFUSE_EXEC_GAIN.
        if unsafe { libc::prctl(65, 1_usize, 0_usize, 0_usize, 0_usize) } != 0 {
            println!("the kernel has no PR_SET_MDWE: {}", std::io::Error::last_os_error());
            return;
        }
        let vec = PageVec::from([1_u8, 2, 3]);
        let start = vec.as_ptr();
        let refused = vec.into_executable().unwrap_err();
        assert_eq!(
            (refused.error().operation(), refused.error().raw_os_error()),
            (Operation::Protect, Some(libc::EACCES))
        );
        assert!(refused.to_string().contains("Permission denied"), "{refused}");
        let mut vec = refused.into_inner();
        vec.push(4);
        assert_eq!((vec.as_ptr(), &vec[..]), (start, &[1, 2, 3, 4][..]));
        // A protected object comes back in the state that it had.
        let table: Protected<_, ReadOnly> = vec.into_read_only().unwrap();
        let table = table.protect::<mapalloc::map::ReadExecute>().unwrap_err().into_inner();
        assert_eq!((*table).len(), 4);
        assert_eq!(faults_at(start), (false, true));
    });
}

#[test]
fn sealed_pages_stay_as_they_are() {
    in_child(concat!(module_path!(), "::sealed_pages_stay_as_they_are"), || {
        let options = MapOptions::new().guard_pages(1, 1);
        let mut table = PageVec::<u32>::with_options(1000, options).unwrap();
        table.extend(0..1000);
        let sealed: &'static [u32] = match table.into_read_only().unwrap().seal() {
            Ok(sealed) => sealed,
            Err(refused) if refused.error().raw_os_error() == Some(libc::ENOSYS) => {
                println!("the kernel has no mseal");
                assert_eq!(refused.into_inner()[999], 999);
                return;
            }
            Err(refused) => panic!("{refused}"),
        };
        assert!(sealed.iter().copied().eq(0..1000));
        let (start, len) = (sealed.as_ptr().cast_mut().cast(), page_size());
        // SAFETY: refused, or the test fails.
        unsafe {
            assert_eq!(libc::mprotect(start, len, libc::PROT_READ | libc::PROT_WRITE), -1);
            assert_eq!(libc::munmap(start, len), -1);
        }
        assert_eq!(faults_at(sealed.as_ptr().cast()), (false, true));
        assert!(PageVec::<u8>::new().into_read_only().unwrap().seal().unwrap().is_empty());
    });
}
