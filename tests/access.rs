//! Access to pages by the types: what a state forbids faults at the address, and every change keeps the contents.

#[path = "global/child.rs"]
mod child;
mod fork;
mod process;

use child::in_child;
use fork::{alone_in_fork, fault_of};
use mapalloc::map::{Access, Features, Lock, MapOptions, Mapping, Pages, Protect, Protected};
use mapalloc::{Operation, PageBox, PageVec, page_size};
use process::{Call, flags, is_mapped, mappings, refuse};
use procfs::process::VmFlags;
use std::hint::black_box;

/// Where a read and a write of a byte fault, in children.
fn faults(at: *const u8) -> (Option<usize>, Option<usize>) {
    // SAFETY: the accesses fault, or are to pages of the test's that are open, in a child of its own.
    unsafe {
        (
            fault_of(|| _ = black_box(at.read_volatile())),
            fault_of(|| at.cast_mut().write_volatile(black_box(at.read_volatile()))),
        )
    }
}

/// Where a write alone faults, in a child.
fn write_fault(at: *const u8) -> Option<usize> {
    // SAFETY: as in `faults`.
    fault_of(|| unsafe { at.cast_mut().write_volatile(1) })
}

/// Whether the first and the last byte of pages can be read and written.
#[track_caller]
fn assert_access(start: *const u8, len: usize, readable: bool, writable: bool) {
    for at in [start, start.wrapping_add(len / 2), start.wrapping_add(len - 1)] {
        let fault = |allowed: bool| if allowed { None } else { Some(at.addr()) };
        assert_eq!((faults(at).0, write_fault(at)), (fault(readable), fault(writable)), "{at:p}");
    }
}

/// A container with contents for which the states are tried.
trait Sample: Pages + Sized {
    fn sample(options: MapOptions) -> Self;
    /// Whether the contents are those of the sample, but for the changes of a test.
    fn sum(contents: &Self::Target) -> u64;
    fn change(contents: &mut Self::Target);
}

impl Sample for Mapping {
    fn sample(options: MapOptions) -> Self {
        let mut pages = options.map(5 * page_size()).unwrap();
        pages.iter_mut().zip(0..).for_each(|(byte, n): (_, usize)| *byte = n as u8);
        pages
    }

    fn sum(contents: &[u8]) -> u64 {
        contents.iter().map(|&byte| u64::from(byte)).sum()
    }

    fn change(contents: &mut [u8]) {
        contents[3] += 1;
    }
}

impl Sample for PageVec<u32> {
    fn sample(options: MapOptions) -> Self {
        let mut vec = Self::with_options(10, options).unwrap();
        vec.extend(0..5000);
        vec
    }

    fn sum(contents: &[u32]) -> u64 {
        contents.iter().map(|&element| u64::from(element)).sum()
    }

    fn change(contents: &mut [u32]) {
        contents[3] += 1;
    }
}

impl Sample for PageBox<[u64; 1000]> {
    fn sample(options: MapOptions) -> Self {
        PageBox::with_options(std::array::from_fn(|n| n as u64), options).unwrap()
    }

    fn sum(contents: &[u64; 1000]) -> u64 {
        contents.iter().sum()
    }

    fn change(contents: &mut [u64; 1000]) {
        contents[3] += 1;
    }
}

impl Sample for PageBox<[u16]> {
    fn sample(options: MapOptions) -> Self {
        let mut boxed = PageBox::<[u16]>::new_uninit_slice_with(5000, options).unwrap();
        for (place, n) in boxed.iter_mut().zip(0..) {
            place.write(n);
        }
        // SAFETY: all of them are written.
        unsafe { boxed.assume_init() }
    }

    fn sum(contents: &[u16]) -> u64 {
        contents.iter().map(|&element| u64::from(element)).sum()
    }

    fn change(contents: &mut [u16]) {
        contents[3] += 1;
    }
}

const OPTIONS: [MapOptions; 4] = [
    MapOptions::new(),
    MapOptions::new().guard_pages(1, 1),
    MapOptions::new().lock(Lock::Now).best_effort(Features::LOCK),
    MapOptions::new().dump(false).align(1 << 21),
];

/// All states, one after the other, with the guards of each.
fn states_of<C: Sample>() {
    for options in OPTIONS {
        let container = C::sample(options);
        let mut sum = C::sum(&container);
        let kept = |contents: &C::Target, sum: u64| assert_eq!(C::sum(contents), sum);

        let mut object = container.into_read_only().unwrap();
        let (start, len) = (object.as_ptr(), object.page_bytes());
        assert!(len >= page_size() && len % page_size() == 0);
        assert_access(start, len, true, false);
        kept(&object, sum);
        let guard = object.read().unwrap();
        kept(&guard, sum);
        assert_access(start, len, true, false);
        drop(guard);
        let mut guard = object.write().unwrap();
        assert_access(start, len, true, true);
        C::change(&mut guard);
        sum += 1;
        kept(&guard, sum);
        drop(guard);
        assert_access(start, len, true, false);
        kept(&object, sum);

        let mut object = object.protect::<mapalloc::map::NoAccess>().unwrap();
        assert_access(start, len, false, false);
        let guard = object.read().unwrap();
        kept(&guard, sum);
        assert_access(start, len, true, false);
        guard.close().unwrap();
        assert_access(start, len, false, false);
        let mut guard = object.write().unwrap();
        C::change(&mut guard);
        sum += 1;
        guard.close().unwrap();
        assert_access(start, len, false, false);

        let mut object = object.protect::<mapalloc::map::ReadExecute>().unwrap();
        assert_access(start, len, true, false);
        assert!(flags(start.addr(), len).contains(VmFlags::EX));
        kept(&object, sum);
        let guard = object.write().unwrap();
        assert!(!flags(start.addr(), len).contains(VmFlags::EX), "never both written and executed");
        assert_access(start, len, true, true);
        drop(guard);
        assert!(flags(start.addr(), len).contains(VmFlags::EX));

        let container = object.into_writable().unwrap();
        assert_access(start, len, true, true);
        kept(&container, sum);
        let object = container.into_no_access().unwrap();
        assert_eq!((object.as_ptr(), object.page_bytes()), (start, len), "nothing has moved");
        drop(object);
        assert!(!is_mapped(start.addr()), "dropped without being touched");
    }
}

#[test]
fn states_of_a_mapping() {
    in_child(concat!(module_path!(), "::states_of_a_mapping"), states_of::<Mapping>);
}

#[test]
fn states_of_a_vector() {
    in_child(concat!(module_path!(), "::states_of_a_vector"), states_of::<PageVec<u32>>);
}

#[test]
fn states_of_a_box() {
    in_child(concat!(module_path!(), "::states_of_a_box"), states_of::<PageBox<[u64; 1000]>>);
}

#[test]
fn states_of_a_slice() {
    in_child(concat!(module_path!(), "::states_of_a_slice"), states_of::<PageBox<[u16]>>);
}

#[test]
fn every_state_follows_every_other() {
    fn then<A: Access, B: Access>() {
        let object = Mapping::sample(MapOptions::new()).protect::<A>().unwrap().protect::<B>().unwrap();
        assert_eq!(Mapping::sum(&object.into_writable().unwrap()), Mapping::sum(&Mapping::sample(MapOptions::new())));
    }
    fn from<A: Access>() {
        use mapalloc::map::{NoAccess, ReadExecute, ReadOnly};
        then::<A, NoAccess>();
        then::<A, ReadOnly>();
        then::<A, ReadExecute>();
    }
    from::<mapalloc::map::NoAccess>();
    from::<mapalloc::map::ReadOnly>();
    from::<mapalloc::map::ReadExecute>();
}

#[test]
fn nothing_can_be_protected_too() {
    let vec = PageVec::<u32>::new().into_no_access().unwrap();
    assert_eq!((vec.page_bytes(), vec.into_writable().unwrap().len()), (0, 0));
    let mut units = PageVec::<()>::new();
    units.resize(7, ());
    let mut units = units.into_read_only().unwrap();
    assert_eq!((units.len(), units.page_bytes(), units.write().unwrap().len()), (7, 0, 7));
    let empty = PageBox::<[u8]>::from([]).into_read_only().unwrap().seal().unwrap();
    assert_eq!(empty.len(), 0);
    let text = PageBox::<str>::from("read only").into_read_only().unwrap();
    assert_eq!((&*text, write_fault(text.as_ptr())), ("read only", Some(text.as_ptr().addr())));
    let reserved = MapOptions::new().reserve(10 * page_size()).unwrap().into_read_only().unwrap();
    let mut pages = reserved.into_writable().unwrap();
    pages.commit(1).unwrap();
    pages[0] = 1;
}

#[test]
fn a_vector_goes_on_after_its_states() {
    for mut vec in [PageVec::new(), PageVec::with_reserved(1 << 20), PageVec::sample(OPTIONS[1])] {
        vec.clear();
        vec.extend(0..3000_u32);
        let mut vec = vec.into_read_only().unwrap().into_writable().unwrap();
        vec.extend(3000..700_000);
        vec.truncate(100_000);
        vec.shrink_to_fit();
        assert!(vec.iter().copied().eq(0..100_000));
        let clone = vec.into_no_access().unwrap().into_writable().unwrap().clone();
        assert_eq!(clone[99_999], 99_999);
    }
}

/// A function of no arguments that returns 42.
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[0xb8, 42, 0, 0, 0, 0xc3];
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];

#[test]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn executable_pages_run_code() {
    in_child(concat!(module_path!(), "::executable_pages_run_code"), || {
        // The byte that holds the lower bits of what the function returns.
        let place = if cfg!(target_arch = "x86_64") { 1 } else { 0 };
        let mut code = PageVec::from(CODE).into_executable().unwrap();
        let run = |code: &Protected<PageVec<u8>, mapalloc::map::ReadExecute>| {
            // SAFETY: the pages hold such a function and are executable.
            unsafe { std::mem::transmute::<*const u8, extern "C" fn() -> i32>(code.as_ptr())() }
        };
        assert_eq!(run(&code), 42);
        // A change of the code is seen by who runs it.
        code.write().unwrap()[place] += if cfg!(target_arch = "x86_64") { 1 } else { 0x20 };
        assert_eq!(run(&code), 43);
        let code = code.protect::<mapalloc::map::ReadOnly>().unwrap();
        let start = code.as_ptr();
        // SAFETY: the call faults, in a child, because the pages cannot be executed.
        let called = fault_of(|| _ = unsafe { std::mem::transmute::<*const u8, extern "C" fn() -> i32>(start)() });
        assert_eq!(called, Some(start.addr()));
    });
}

#[test]
fn a_refusal_gives_the_object_back() {
    in_child(concat!(module_path!(), "::a_refusal_gives_the_object_back"), || {
        let vec: PageVec<u32> = (0..5000).collect();
        let executable = PageVec::from(CODE).into_executable().unwrap();
        let execute = (libc::PROT_READ | libc::PROT_EXEC) as u32;
        if !refuse(&Call { number: libc::SYS_mprotect, argument: Some((2, execute)) }, libc::EPERM) {
            println!("calls cannot be refused here: {}", std::io::Error::last_os_error());
            return;
        }
        let start = vec.as_ptr();
        let refused = vec.into_executable().unwrap_err();
        assert_eq!(
            (refused.error().operation(), refused.error().raw_os_error()),
            (Operation::Protect, Some(libc::EPERM))
        );
        let mut vec = refused.into_inner();
        vec.push(5000);
        assert_eq!(vec.as_ptr(), start);
        assert!(vec.iter().copied().eq(0..5001));

        // From a state the same, and the state is still the old one.
        let object = vec.into_read_only().unwrap();
        let refused = object.protect::<mapalloc::map::ReadExecute>().unwrap_err();
        let object = refused.into_inner();
        assert_access(object.as_ptr(), object.page_bytes(), true, false);
        assert_eq!(object[5000], 5000);
        let object = object.into_writable().unwrap().into_no_access().unwrap();
        let refused = object.protect::<mapalloc::map::ReadExecute>().unwrap_err();
        let refused = refused.into_inner().into_writable().unwrap().into_executable().unwrap_err();
        let shown = format!("{refused:?}, {refused}");
        assert!(shown.contains("mprotect") && !shown.contains("4999"), "{shown}");

        // A guard that cannot be taken back says so, or ends the process.
        let mut executable = executable;
        let error = executable.write().unwrap().close().unwrap_err();
        assert_eq!(error.operation(), Operation::Protect);
        assert_access(executable.as_ptr(), executable.page_bytes(), true, true);
        let code = fork::in_fork(|| {
            drop(executable.write());
            0
        });
        assert_eq!(code, -libc::SIGABRT);

        // An object that is refused and dropped with its error gives its pages back.
        let before = mappings();
        let error: mapalloc::Error = PageVec::<u32>::sample(OPTIONS[0]).into_executable().unwrap_err().into();
        assert_eq!((error.raw_os_error(), mappings()), (Some(libc::EPERM), before));
    });
}

#[test]
fn refusals_at_the_other_states() {
    in_child(concat!(module_path!(), "::refusals_at_the_other_states"), || {
        for protection in [libc::PROT_NONE, libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE] {
            let mut object = PageVec::<u32>::sample(OPTIONS[0]).into_executable().unwrap();
            alone_in_fork(|| {
                let call = Call { number: libc::SYS_mprotect, argument: Some((2, protection as u32)) };
                if !refuse(&call, libc::ENOMEM) {
                    return;
                }
                assert_eq!(object.read().is_err(), protection == libc::PROT_READ);
                assert_eq!(object.write().is_err(), protection == (libc::PROT_READ | libc::PROT_WRITE));
                assert_eq!(object[4999], 4999, "it is as it was");
                let (start, len) = (object.as_ptr(), object.page_bytes());
                assert!(flags(start.addr(), len).contains(VmFlags::EX));
                let object = match object.into_writable() {
                    Ok(vec) => return assert_eq!(vec[4999], 4999),
                    Err(refused) => refused.into_inner(),
                };
                assert_eq!(object[4999], 4999);
                drop(object);
                assert!(!is_mapped(start.addr()));
            });
        }
    });
}

#[test]
fn nothing_of_the_contents_is_printed() {
    let vec: PageVec<u32> = [987_654_321; 10].into_iter().collect();
    let mut object = vec.into_read_only().unwrap();
    let (start, len) = (object.as_ptr(), object.page_bytes());
    let state = format!("Protected {{ ReadOnly, {len} bytes at {start:p} }}");
    assert_eq!(format!("{object:?}"), state);
    assert_eq!(format!("{:?}", object.read().unwrap()), format!("ReadGuard({state})"));
    assert_eq!(format!("{:?}", object.write().unwrap()), format!("WriteGuard({state})"));
    let object = object.protect::<mapalloc::map::NoAccess>().unwrap();
    assert!(format!("{object:?}").contains("NoAccess"));
}

#[test]
fn sealed_pages_stay_as_they_are() {
    in_child(concat!(module_path!(), "::sealed_pages_stay_as_they_are"), || {
        let vec: PageVec<u32> = (0..5000).collect();
        let object = vec.into_read_only().unwrap();
        let (start, len) = (object.as_ptr(), object.page_bytes());
        let contents: &'static [u32] = match object.seal() {
            Ok(contents) => contents,
            Err(refused) => {
                println!("pages cannot be sealed here: {refused}");
                assert_eq!(refused.error().operation(), Operation::Seal);
                assert!(matches!(refused.error().raw_os_error(), Some(libc::ENOSYS | libc::EPERM)));
                assert_eq!(refused.into_inner()[4999], 4999, "the object is as it was");
                return;
            }
        };
        assert_eq!((contents.as_ptr().cast(), contents.len()), (start, 5000));
        let last_error = || std::io::Error::last_os_error().raw_os_error();
        let pages = start.cast_mut().cast();
        // SAFETY: calls that the kernel refuses, on pages of the test's.
        unsafe {
            assert_eq!(
                (libc::mprotect(pages, len, libc::PROT_READ | libc::PROT_WRITE), last_error()),
                (-1, Some(libc::EPERM))
            );
            assert_eq!((libc::munmap(pages, len), last_error()), (-1, Some(libc::EPERM)));
            assert_eq!((libc::madvise(pages, len, libc::MADV_DONTNEED), last_error()), (-1, Some(libc::EPERM)));
        }
        assert_access(start, len, true, false);
        assert!(contents.iter().copied().eq(0..5000));
    });
}

#[test]
fn a_forgotten_guard_leaves_the_access_it_gave() {
    let mut object = Mapping::sample(MapOptions::new()).into_no_access().unwrap();
    std::mem::forget(object.write().unwrap());
    assert_access(object.as_ptr(), object.page_bytes(), true, true);
    drop(object.read().unwrap());
    assert_access(object.as_ptr(), object.page_bytes(), false, false);
}
