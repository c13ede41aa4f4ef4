use super::*;
use crate::page::page_size;
use std::collections::HashSet;
use std::string::{String, ToString};

static EMPTY: PageVec<u64> = PageVec::new();

#[test]
fn an_empty_vector_is_a_constant_without_storage() {
    assert_eq!((EMPTY.len(), EMPTY.capacity()), (0, 0));
    assert_eq!(EMPTY.as_ptr().addr(), align_of::<u64>());
    assert_eq!(EMPTY.as_slice(), [0_u64; 0]);
}

#[test]
fn capacity_is_all_that_the_pages_hold() {
    let mut vec = PageVec::with_capacity(1);
    assert_eq!(vec.capacity(), page_size() / 8);
    vec.resize(vec.capacity(), 1_u64);
    assert_eq!(vec.capacity(), page_size() / 8);
    vec.push(2);
    assert_eq!(vec.capacity(), 2 * page_size() / 8);
    vec.reserve_exact(2 * page_size() / 8);
    assert_eq!(vec.capacity(), 4 * page_size() / 8);
    assert_eq!(vec.spare_capacity_mut().len(), vec.capacity() - vec.len());
}

#[test]
fn shrinking_gives_pages_back_and_starts_anew_from_nothing() {
    let mut vec: PageVec<u32> = (0..10_000).collect();
    vec.truncate(5);
    vec.shrink_to(page_size());
    assert_eq!(vec.capacity(), page_size());
    vec.shrink_to_fit();
    assert_eq!((vec.capacity(), &vec[..]), (page_size() / 4, &[0, 1, 2, 3, 4][..]));
    vec.clear();
    vec.shrink_to_fit();
    assert_eq!((vec.capacity(), vec.as_ptr().addr()), (0, align_of::<u32>()));
    vec.push(9);
    assert_eq!(vec, [9]);
}

#[test]
fn a_box_and_its_vector_share_their_pages() {
    let vec: PageVec<u16> = (0..9000).collect();
    let start = vec.as_ptr();
    let boxed = vec.into_boxed_slice();
    assert_eq!(boxed.as_ptr(), start);
    let mut vec = PageVec::from(boxed);
    assert_eq!(vec.as_ptr(), start);
    assert_eq!(vec.capacity(), (9000 * 2_usize).next_multiple_of(page_size()) / 2);
    vec.push(9000);
    assert!(vec.iter().copied().eq(0..=9000));
    assert_eq!(PageVec::from(PageBox::<[u8]>::default()).capacity(), 0);
}

#[test]
fn raw_parts_make_the_vector_again() {
    let vec = PageVec::from(["a".to_string(), "b".to_string()]);
    let (ptr, len, capacity) = vec.into_raw_parts();
    // SAFETY: the parts of one call, used once.
    let vec = unsafe { PageVec::<String>::from_raw_parts(ptr, len, capacity) };
    assert_eq!(vec, ["a", "b"]);
    let (ptr, len, capacity) = PageVec::from([(); 3]).into_raw_parts();
    // SAFETY: as above.
    assert_eq!(unsafe { PageVec::from_raw_parts(ptr, len, capacity) }, [(); 3]);
}

#[test]
fn zeroed_elements_are_zero_to_the_last() {
    // SAFETY: zero is a `u64`.
    let vec = unsafe { PageVec::<u64>::zeroed_unchecked(3000) };
    assert_eq!(vec, [0; 3000]);
    // SAFETY: as above.
    assert_eq!(unsafe { PageVec::<u64>::try_zeroed_unchecked(usize::MAX) }.unwrap_err().raw_os_error(), None);
}

#[test]
fn impossible_capacities_are_errors_for_the_asking() {
    let mut vec = PageVec::from([1_u64, 2]);
    assert!(vec.try_reserve(usize::MAX).is_err());
    assert!(vec.try_reserve(usize::MAX / 16).is_err());
    assert!(vec.try_reserve_exact(isize::MAX as usize / 8).is_err());
    assert!(PageVec::<u64>::try_with_capacity(usize::MAX).is_err());
    assert_eq!(vec, [1, 2]);
    vec.try_push(3).unwrap();
    assert_eq!(vec, [1, 2, 3]);
}

#[test]
#[cfg(not(miri))]
fn a_refusal_of_the_kernel_is_its_errno() {
    let mut vec = PageVec::from([1_u8]);
    assert_eq!(vec.try_reserve(1 << 60).unwrap_err().raw_os_error(), Some(libc::ENOMEM));
    vec.try_push(2).unwrap();
    assert_eq!(vec, [1, 2]);
}

#[test]
fn conversions_keep_the_elements() {
    let heap = std::vec!["x".to_string(), "y".to_string()];
    let vec = PageVec::from(heap.clone());
    assert_eq!(vec, heap);
    assert_eq!(heap, vec);
    assert_eq!(Vec::from(vec.clone()), heap);
    assert_eq!(<[String; 2]>::try_from(vec.clone()).unwrap(), ["x", "y"]);
    assert_eq!(<[String; 3]>::try_from(vec).unwrap_err(), heap);
    assert_eq!(PageVec::from("abc"), b"abc");
    assert_eq!(PageVec::from(&[1, 2][..]), PageVec::from(&[1, 2]));
    let mut vec = PageVec::new();
    vec.extend(&[1, 2]);
    vec.extend([3]);
    assert_eq!(std::format!("{vec:?}"), "[1, 2, 3]");
    let longer = PageVec::from([1, 2, 3, 0]);
    assert!(vec < longer && longer.cmp(&vec).is_gt());
    assert!(HashSet::from([vec]).contains(&[1, 2, 3][..]));
}

#[test]
fn iterators_run_from_both_ends() {
    let vec: PageVec<String> = (0..6).map(|n| n.to_string()).collect();
    let mut iter = vec.into_iter();
    assert_eq!((iter.next().unwrap(), iter.next_back().unwrap(), iter.len()), ("0".into(), "5".into(), 4));
    iter.as_mut_slice()[0].push('!');
    assert_eq!(iter.clone().collect::<PageVec<_>>(), ["1!", "2", "3", "4"]);
    assert_eq!(iter.as_slice(), ["1!", "2", "3", "4"]);
    drop(iter);
    assert_eq!(IntoIter::<u8>::default().next(), None);

    let mut vec: PageVec<u32> = (0..10).collect();
    let mut drain = vec.drain(2..=7);
    assert_eq!((drain.next(), drain.next_back(), drain.as_slice()), (Some(2), Some(7), &[3, 4, 5, 6][..]));
    drop(drain);
    assert_eq!(vec, [0, 1, 8, 9]);
    assert_eq!(vec.drain(..).rev().collect::<Vec<_>>(), [9, 8, 1, 0]);
    assert!(vec.is_empty());
}

/// Under Miri this says that the vector makes no other reference to the element meanwhile, which would end this one.
#[test]
fn a_borrow_of_an_element_outlives_what_happens_behind_it() {
    let mut vec = PageVec::with_reserved(8 * page_size());
    vec.push(7_u8);
    let first = vec.as_mut_ptr();
    // SAFETY: an element of a reserved vector, which nobody reaches by way of the vector while the reference is used.
    let first = unsafe { &mut *first };
    vec.resize(3 * page_size(), 1);
    *first += 1;
    vec.truncate(1);
    vec.decommit().unwrap();
    *first += 1;
    // SAFETY: a byte may be zero.
    unsafe { vec.resize_zeroed_unchecked(5 * page_size()) };
    *first += 1;
    vec.truncate(1);
    vec.shrink_to_fit();
    *first += 1;
    assert_eq!(vec, [11]);
}
