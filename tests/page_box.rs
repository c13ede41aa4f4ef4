//! `PageBox`: every way in and out, with the drops and the pages counted.

mod common;

use common::{Item, Ledger, quietly};
use mapalloc::{PageBox, PageVec, page_size};
use std::any::Any;
use std::fmt::Display;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;

/// Marks pages, and sees whether the marked pages are still there: memory that is mapped again holds another value.
#[cfg(not(miri))]
mod pages {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    static NEXT: AtomicU64 = AtomicU64::new(0x6d61_7061_6c6c_6f63);

    /// A value that lies nowhere else.
    pub(super) fn mark() -> u64 {
        NEXT.fetch_add(1, Relaxed)
    }

    /// Whether the mark lies at the address, seen from outside the language.
    pub(super) fn holds(address: usize, mark: u64) -> bool {
        let mut bytes = [0; 8];
        let memory = File::open("/proc/self/mem").unwrap();
        memory.read_exact_at(&mut bytes, address as u64).is_ok() && u64::from_ne_bytes(bytes) == mark
    }
}

#[cfg(miri)]
mod pages {
    pub(super) fn mark() -> u64 {
        7
    }

    /// Miri itself reports what is not given back.
    pub(super) fn holds(_: usize, _: u64) -> bool {
        false
    }
}

#[track_caller]
fn assert_there(address: usize, mark: u64) {
    assert!(pages::holds(address, mark) || cfg!(miri), "the pages should be there");
}

#[track_caller]
fn assert_gone(address: usize, mark: u64) {
    assert!(!pages::holds(address, mark), "the pages should be gone");
}

fn address<T: ?Sized>(boxed: &PageBox<T>) -> usize {
    (&raw const **boxed).addr()
}

/// A value that starts with a mark and panics when it is dropped, if told to.
#[repr(C)]
struct Marked {
    mark: u64,
    panics: bool,
    item: Item<()>,
}

impl Drop for Marked {
    fn drop(&mut self) {
        if self.panics {
            std::panic::panic_any("told to");
        }
    }
}

fn marked(ledger: &Rc<Ledger>, panics: bool) -> Marked {
    Marked { mark: pages::mark(), panics, item: Item::new(ledger, 1, ()) }
}

#[test]
fn dropping_drops_the_value_once_and_unmaps() {
    let ledger = Ledger::new();
    let boxed = PageBox::new(marked(&ledger, false));
    let (at, mark) = (address(&boxed), boxed.mark);
    assert_eq!(at % page_size(), 0);
    assert_there(at, mark);
    drop(boxed);
    assert_gone(at, mark);
    assert_eq!(ledger.live(), 0);
}

#[test]
fn a_destructor_that_panics_still_unmaps() {
    let ledger = Ledger::new();
    let boxed = PageBox::new(marked(&ledger, true));
    let (at, mark) = (address(&boxed), boxed.mark);
    assert!(quietly(|| drop(boxed)).is_err());
    assert_gone(at, mark);
    assert_eq!(ledger.live(), 0, "the value's fields are dropped while the panic goes by");
}

#[test]
fn destructors_that_panic_in_a_slice_or_a_vector_still_unmap() {
    let three = |ledger: &Rc<Ledger>| [false, true, false].map(|panics| marked(ledger, panics));
    let ledger = Ledger::new();

    let boxed: PageBox<[Marked]> = PageBox::from(three(&ledger));
    let (at, mark) = (address(&boxed), boxed[0].mark);
    assert!(quietly(|| drop(boxed)).is_err());
    assert_gone(at, mark);

    let vec = PageVec::from(three(&ledger));
    let (at, mark) = (vec.as_ptr().addr(), vec[0].mark);
    assert!(quietly(|| drop(vec)).is_err());
    assert_gone(at, mark);

    let mut iter = PageVec::from(three(&ledger)).into_iter();
    let (at, mark) = (iter.as_slice().as_ptr().addr(), iter.as_slice()[0].mark);
    drop(iter.next());
    assert_there(at, mark);
    assert!(quietly(|| drop(iter)).is_err());
    assert_gone(at, mark);

    assert_eq!(ledger.live(), 0, "after a panic the other elements are dropped too");
}

#[test]
fn clones_that_panic_leave_nothing_behind() {
    let ledger = Ledger::new();
    let slice: PageBox<[Item<()>]> = (0..10).map(|n| Item::new(&ledger, n, ())).collect();
    let one = PageBox::new(Item::new(&ledger, 10, ()));
    for fuse in 0..10 {
        ledger.arm(Some(fuse));
        assert!(quietly(|| slice.clone()).is_err());
        assert_eq!(ledger.live(), 11);
    }
    ledger.arm(Some(0));
    assert!(quietly(|| one.clone()).is_err());
    assert_eq!((slice.clone().len(), one.clone().value), (10, 10));
    assert_eq!(ledger.live(), 11);
}

#[test]
fn into_inner_moves_the_value_and_unmaps() {
    let ledger = Ledger::new();
    let boxed = PageBox::new(marked(&ledger, false));
    let (at, mark) = (address(&boxed), boxed.mark);
    let value = PageBox::into_inner(boxed);
    assert_eq!((value.mark, ledger.live()), (mark, 1));
    assert_gone(at, mark);
    drop(value);
    assert_eq!(ledger.live(), 0);
}

#[test]
fn raw_pointers_make_the_box_again() {
    let ledger = Ledger::new();
    let boxed = PageBox::new(marked(&ledger, false));
    let (at, mark) = (address(&boxed), boxed.mark);
    let raw = PageBox::into_raw(boxed);
    assert_eq!((raw.addr(), ledger.live()), (at, 1));
    assert_there(at, mark);
    // SAFETY: from `into_raw` above, once.
    drop(unsafe { PageBox::from_raw(raw) });
    assert_gone(at, mark);
    assert_eq!(ledger.live(), 0);

    // More than a page, so that the length has to be found.
    let slice: PageBox<[u64]> = (0..5000).collect();
    let raw = PageBox::into_raw(slice);
    // SAFETY: as above.
    let slice = unsafe { PageBox::from_raw(raw) };
    assert!(slice.iter().copied().eq(0..5000));
    let last = address(&slice) + 4999 * 8;
    drop(slice);
    assert_gone(last, 4999);
}

#[test]
fn pages_without_elements_are_given_back() {
    let full = || (0..100_000).map(|_| pages::mark()).collect::<PageVec<u64>>();
    let (at, last) = (|vec: &PageVec<u64>| (&raw const vec[99_999]).addr(), |vec: &PageVec<u64>| vec[99_999]);

    let mut vec = full();
    let (place, mark) = (at(&vec), last(&vec));
    vec.truncate(1000);
    assert_there(place, mark);
    vec.shrink_to_fit();
    assert_gone(place, mark);
    assert_eq!(vec.capacity(), (1000 * 8_usize).next_multiple_of(page_size()) / 8);

    for len in [1000, 0] {
        let mut vec = full();
        let (place, mark) = (at(&vec), last(&vec));
        vec.truncate(len);
        let boxed = vec.into_boxed_slice();
        assert_gone(place, mark);
        assert_eq!(boxed.len(), len);
    }
}

#[test]
#[cfg(not(miri))]
fn leaked_values_stay() {
    let ledger = Ledger::new();
    let value: &'static mut Marked = PageBox::leak(PageBox::new(marked(&ledger, true)));
    value.panics = false;
    assert_there((&raw const *value).addr(), value.mark);
    assert_eq!(ledger.live(), 1);

    let mut vec = PageVec::from([1, pages::mark()]);
    vec.reserve(10_000);
    let elements: &'static mut [u64] = vec.leak();
    elements[0] = pages::mark();
    assert_there(elements.as_ptr().addr(), elements[0]);
    assert_there((&raw const elements[1]).addr(), elements[1]);
}

#[test]
fn trait_objects_are_dropped_by_their_type() {
    trait Shape {
        fn area(&self) -> u32;
    }
    #[repr(align(16384))]
    struct Square(Item<()>);
    impl Shape for Square {
        fn area(&self) -> u32 {
            self.0.value * self.0.value
        }
    }
    let ledger = Ledger::new();
    let raw = PageBox::into_raw(PageBox::new(Square(Item::new(&ledger, 3, ())))) as *mut dyn Shape;
    // SAFETY: the same value, from `into_raw`.
    let shape: PageBox<dyn Shape> = unsafe { PageBox::from_raw(raw) };
    assert_eq!((shape.area(), address(&shape) % 16384), (9, 0));
    drop(shape);
    assert_eq!(ledger.live(), 0);

    let raw = PageBox::into_raw(PageBox::new(5_u8)) as *mut (dyn Any + Send);
    // SAFETY: as above.
    let any: PageBox<dyn Any + Send> = unsafe { PageBox::from_raw(raw) };
    let any = std::thread::spawn(move || any).join().unwrap();
    assert_eq!(any.downcast_ref::<u8>(), Some(&5));
}

#[test]
fn values_without_a_size_are_dropped_too() {
    struct Counts<'a>(&'a std::cell::Cell<u32>);
    impl Drop for Counts<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    #[derive(Default, Clone, Copy, PartialEq, Debug)]
    #[repr(align(16384))]
    struct Aligned;

    let dropped = std::cell::Cell::new(0);
    drop(PageBox::new(Counts(&dropped)));
    drop(PageBox::into_inner(PageBox::new(Counts(&dropped))));
    assert_eq!(dropped.get(), 2);
    let boxed = PageBox::<Aligned>::default();
    assert_eq!((address(&boxed), *boxed), (16384, Aligned));
    let slice: PageBox<[Aligned]> = [Aligned; 9].into();
    assert_eq!((address(&slice), slice.len()), (16384, 9));
    assert_eq!(slice.into_iter().count(), 9);
}

#[test]
fn alignments_past_the_page_are_kept() {
    #[derive(Clone)]
    #[repr(align(32768))]
    struct Wide(u8);
    let one = PageBox::try_new(Wide(1)).unwrap();
    let mut many: PageVec<Wide> = PageVec::new();
    for n in 0..20 {
        many.push(Wide(n));
        assert_eq!(many.as_ptr().addr() % 32768, 0);
    }
    let copy = many.clone().into_boxed_slice();
    assert_eq!((address(&one) % 32768, address(&copy) % 32768), (0, 0));
    assert!(copy.iter().map(|wide| wide.0).eq(0..20));
    assert_eq!(one.0, 1);
}

#[test]
fn pinned_values_stay_where_they_are() {
    let pinned = PageBox::pin(std::marker::PhantomPinned);
    let moved = [pinned];
    assert_eq!(moved.len(), 1);
    let boxed = PageBox::new([1_u8; 10_000]);
    let at = address(&boxed);
    let pinned: Pin<PageBox<_>> = boxed.into();
    assert_eq!((&raw const *pinned).addr(), at);
    assert_eq!(*PageBox::try_pin(4).unwrap(), 4);
}

#[test]
fn memory_that_is_written_later() {
    let mut place: PageBox<MaybeUninit<[u32; 3000]>> = PageBox::try_new_uninit().unwrap();
    // SAFETY: the place is as large as the array.
    unsafe { place.as_mut_ptr().cast::<u32>().add(2999).write(5) };
    // SAFETY: the pages are new, so what was not written is zero.
    let value = unsafe { place.assume_init() };
    assert_eq!((value[0], value[2999]), (0, 5));

    let mut slice = PageBox::<[String]>::try_new_uninit_slice(3).unwrap();
    for (n, place) in slice.iter_mut().enumerate() {
        place.write(n.to_string());
    }
    // SAFETY: all three are written.
    assert_eq!(*unsafe { slice.assume_init() }, ["0", "1", "2"]);
    // SAFETY: zero is a value.
    assert_eq!(*unsafe { PageBox::<u64>::try_zeroed_unchecked() }.unwrap(), 0);
    // SAFETY: as above.
    assert_eq!(*unsafe { PageBox::<[u64]>::try_zeroed_slice_unchecked(600) }.unwrap(), [0; 600]);
}

#[test]
#[cfg(not(miri))]
fn zeroed_pages_cost_no_memory_until_they_are_touched() {
    let resident = || procfs::process::Process::myself().unwrap().statm().unwrap().resident * procfs::page_size();
    let before = resident();
    // SAFETY: zero is a byte.
    let pages = unsafe { PageBox::<[u8]>::zeroed_slice_unchecked(1 << 30) };
    assert_eq!(pages[1 << 29], 0);
    assert!(resident() < before + (256 << 20), "{} before, {} after", before, resident());
}

#[test]
#[cfg(not(miri))]
fn refusals_are_errors_with_their_cause() {
    let error = PageBox::<[u8]>::try_new_uninit_slice(1 << 60).unwrap_err();
    assert_eq!((error.raw_os_error(), error.bytes()), (Some(12), 1 << 60));
    let error = PageBox::<[u64]>::try_new_uninit_slice(usize::MAX).unwrap_err();
    assert_eq!(error.raw_os_error(), None);
    assert!(quietly(|| PageBox::<[u64]>::new_uninit_slice(usize::MAX)).is_err());
}

#[test]
fn a_box_prints_through_a_trait_object() {
    let boxed: Box<dyn Display> = Box::new(PageBox::<str>::from("text"));
    assert_eq!(boxed.to_string(), "text");
}

#[cfg(any(feature = "zerocopy", feature = "bytemuck"))]
#[test]
fn safe_zeroed_values() {
    assert_eq!(*PageBox::<[u64; 1000]>::zeroed(), [0; 1000]);
    assert_eq!(*PageBox::<u16>::try_zeroed().unwrap(), 0);
    assert_eq!(*PageBox::<[u8]>::zeroed_slice(10_000), [0; 10_000]);
    assert!(PageBox::<[u64]>::try_zeroed_slice(usize::MAX).is_err());
    let mut vec = PageVec::<u32>::zeroed(3);
    vec.push(1);
    assert_eq!(vec, [0, 0, 0, 1]);
    assert!(PageVec::<u32>::try_zeroed(usize::MAX).is_err());
}

#[cfg(feature = "bytemuck")]
#[test]
fn safe_zeroed_values_by_bytemuck_whatever_else_is_on() {
    assert_eq!(*PageBox::<[u64; 1000]>::zeroed_bytemuck(), [0; 1000]);
    assert_eq!(*PageBox::<[u8]>::zeroed_slice_bytemuck(10_000), [0; 10_000]);
    assert_eq!(PageVec::<u32>::zeroed_bytemuck(3), [0; 3]);

    /// A type that only one of the two crates knows.
    struct Known(u16);
    // SAFETY: zero is a `u16`.
    unsafe impl bytemuck::Zeroable for Known {}
    assert_eq!(PageBox::<Known>::try_zeroed_bytemuck().unwrap().0, 0);
    assert!(PageBox::<[Known]>::try_zeroed_slice_bytemuck(usize::MAX).is_err());
    assert_eq!(PageVec::<Known>::try_zeroed_bytemuck(5).unwrap()[4].0, 0);
}

#[test]
fn conversions_are_those_of_a_box() {
    use std::borrow::Cow;
    use std::os::fd::{AsFd, AsRawFd};
    let slice: PageBox<[u16]> = vec![1, 2, 3].into();
    assert_eq!(*slice, [1, 2, 3]);
    assert_eq!(*PageBox::<[u16]>::from(Cow::Borrowed(&[4, 5][..])), [4, 5]);
    assert_eq!(*PageBox::<[u16]>::from(Cow::<[u16]>::Owned(vec![6])), [6]);
    assert_eq!(*PageBox::<[u16; 3]>::try_from(PageVec::from([7, 8, 9])).unwrap(), [7, 8, 9]);
    assert_eq!(PageBox::<[u16; 2]>::try_from(PageVec::from([7, 8, 9])).unwrap_err(), [7, 8, 9]);
    let mut text = String::from("käse");
    assert_eq!(&*PageBox::<str>::from(text.as_mut_str()), "käse");
    assert_eq!(&*PageBox::<str>::from(Cow::Borrowed("brot")), "brot");
    assert_eq!(String::from(PageBox::<str>::from(text)), "käse");
    assert_eq!(&*"abc".chars().rev().collect::<PageBox<str>>(), "cba");
    assert_eq!(&*["a", "b"].into_iter().collect::<PageBox<str>>(), "ab");
    assert_eq!(&*[String::from("x")].into_iter().collect::<PageBox<str>>(), "x");
    assert!(PageBox::<str>::from(String::new()).is_empty());
    let input = PageBox::new(std::io::stdin());
    assert_eq!(input.as_raw_fd(), input.as_fd().as_raw_fd());
}
