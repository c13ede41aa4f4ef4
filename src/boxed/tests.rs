use super::*;
use crate::page::page_size;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::string::{String, ToString};
use std::vec::Vec;

#[test]
fn a_value_lies_at_the_start_of_a_page() {
    #[repr(align(65536))]
    struct Wide(u8);
    let small = PageBox::new(1_u8);
    assert_eq!((&raw const *small).addr() % page_size(), 0);
    let wide = PageBox::new(Wide(2));
    assert_eq!((&raw const *wide).addr() % 65536, 0);
    assert_eq!(PageBox::into_inner(wide).0, 2);
}

#[test]
fn values_without_a_size_have_no_pages() {
    let unit = PageBox::new(());
    assert_eq!((&raw const *unit).addr(), 1);
    assert_eq!(PageBox::<[u64]>::new_uninit_slice(0).as_ptr().addr(), 8);
    assert_eq!(PageBox::<[()]>::new_uninit_slice(usize::MAX).len(), usize::MAX);
}

#[test]
fn uninitialised_pages_are_zero_and_become_values() {
    let slice = PageBox::<[u32]>::new_uninit_slice(5000);
    // SAFETY: the pages are new, and zero is a `u32`.
    assert_eq!(*unsafe { slice.assume_init() }, [0; 5000]);
    // SAFETY: zero is a `u32`.
    assert_eq!(*unsafe { PageBox::<u32>::zeroed_unchecked() }, 0);
    assert_eq!(*PageBox::write(PageBox::new_uninit(), 4), 4);
    assert_eq!(PageBox::<[u32]>::try_new_uninit_slice(usize::MAX / 2).unwrap_err().raw_os_error(), None);
}

#[test]
fn clones_are_their_own() {
    let mut a = PageBox::new("a".to_string());
    let b = a.clone();
    a.push('!');
    assert_eq!((&**a, &**b), ("a!", "a"));
    a.clone_from(&b);
    assert_eq!(a, b);
    let mut slice: PageBox<[String]> = [a, b].into_iter().map(PageBox::into_inner).collect();
    let copy = slice.clone();
    slice[0].clear();
    assert_ne!(slice, copy);
    slice.clone_from(&copy);
    assert_eq!(slice, copy);
    slice.clone_from(&PageBox::default());
    assert!(slice.is_empty());
    assert_eq!(PageBox::<str>::from("ü").clone().to_string(), "ü");
    assert_eq!(*PageBox::<[u8]>::from(PageBox::<str>::from("ab")), *b"ab");
    assert_eq!(&*PageBox::<str>::default(), "");
}

#[test]
fn slices_and_arrays_turn_into_each_other() {
    let slice: PageBox<[u8]> = PageBox::from([1, 2, 3]);
    let slice = PageBox::<[u8; 2]>::try_from(slice).unwrap_err();
    let array = PageBox::<[u8; 3]>::try_from(slice).unwrap();
    assert_eq!(*array, [1, 2, 3]);
    let mut slice: PageBox<[u8]> = PageBox::from(&[4, 5][..]);
    for element in &mut slice {
        *element += 1;
    }
    assert_eq!((&slice).into_iter().count(), 2);
    assert_eq!(slice.into_iter().rev().collect::<Vec<_>>(), [6, 5]);
}

#[test]
fn boxes_compare_hash_and_print_as_their_values() {
    let (one, two) = (PageBox::new(1), PageBox::new(2));
    assert!(one < two && one != two);
    assert_eq!(std::format!("{one} {two:?}"), "1 2");
    assert_eq!(std::format!("{one:p}"), std::format!("{:p}", &raw const *one));
    let hash = |value: &dyn Fn(&mut PageBox<DefaultHasher>)| {
        let mut hasher = PageBox::new(DefaultHasher::new());
        value(&mut hasher);
        hasher.finish()
    };
    assert_eq!(hash(&|hasher| one.hash(hasher)), hash(&|hasher| 1.hash(&mut **hasher)));
}

#[test]
fn iterators_work_through_the_box() {
    let mut numbers = PageBox::new(0..10);
    assert_eq!((numbers.next(), numbers.next_back(), numbers.nth(1), numbers.len()), (Some(0), Some(9), Some(2), 6));
    let raw = PageBox::into_raw(numbers) as *mut (dyn DoubleEndedIterator<Item = i32> + Send);
    // SAFETY: the same value, from `into_raw`.
    let numbers = unsafe { PageBox::from_raw(raw) };
    assert_eq!(numbers.rev().collect::<Vec<_>>(), [8, 7, 6, 5, 4, 3]);
}

#[test]
fn errors_keep_their_source() {
    use core::error::Error;
    #[derive(Debug)]
    struct Outer(core::fmt::Error);
    impl core::fmt::Display for Outer {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("outer")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    let error: &dyn Error = &PageBox::new(Outer(core::fmt::Error));
    assert!(error.source().is_some_and(|source| source.is::<core::fmt::Error>()));
}

#[test]
fn a_pinned_future_runs() {
    use core::future::Future;
    use core::task::{Context, Poll, Waker};
    let mut context = Context::from_waker(Waker::noop());
    let mut future = PageBox::pin(async { 5 });
    assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(5));
    let mut ready = PageBox::new(core::future::ready(6));
    assert_eq!(Pin::new(&mut ready).poll(&mut context), Poll::Ready(6));
}
