//! Frozen vectors: parts without copies, and elements dropped once.

use mapalloc::{PageVec, Shared};
use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

#[test]
fn freezing_moves_nothing_and_gives_room_back() {
    let mut vec: PageVec<u64> = PageVec::with_capacity(1_000_000);
    vec.extend(0..1000);
    let start = vec.as_ptr();
    let shared = vec.into_shared();
    assert_eq!((shared.as_ptr(), shared.len()), (start, 1000));
    let vec = shared.try_into_vec().unwrap();
    assert_eq!(vec.as_ptr(), start);
    assert!(vec.capacity() * 8 <= 1000 * 8 + mapalloc::page_size());
}

#[test]
fn parts_are_the_same_elements() {
    let shared: Shared<u32> = (0..100).collect::<PageVec<u32>>().into();
    let part = shared.slice(10..=19).slice(5..);
    assert_eq!(part, [15, 16, 17, 18, 19]);
    assert_eq!(part.as_ptr(), shared[15..].as_ptr());
    let found = shared.slice_ref(&shared[3..4]);
    assert_eq!((&*found, shared.owners()), (&[3][..], 3));
    assert_eq!(shared.slice_ref(&[]).len(), 0);
    let whole = shared.try_into_vec().unwrap_err();
    drop((whole, part));
    assert_eq!(found.try_into_vec().unwrap().len(), 100, "the vector comes back whole");
}

#[test]
#[should_panic(expected = "not of these elements")]
fn a_strangers_slice_is_refused() {
    let shared = PageVec::from([1, 2, 3]).into_shared();
    let other = shared.to_vec();
    _ = shared.slice_ref(&other[1..]);
}

#[test]
#[should_panic(expected = "not of these elements")]
fn elements_without_a_size_are_not_made_more() {
    _ = PageVec::from([(); 3]).into_shared().slice_ref(&[(); 4]);
}

#[test]
#[should_panic(expected = "out of range")]
fn a_range_past_the_end_is_refused() {
    _ = PageVec::from([1, 2, 3]).into_shared().slice(2..5);
}

#[test]
fn elements_are_dropped_once_with_the_last_owner() {
    struct Counted(Rc<Cell<u32>>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let drops = Rc::new(Cell::new(0));
    let shared = (0..10).map(|_| Counted(Rc::clone(&drops))).collect::<PageVec<_>>().into_shared();
    let part = shared.slice(..3);
    drop(shared);
    assert_eq!((drops.get(), part.len()), (0, 3));
    drop(part);
    assert_eq!(drops.get(), 10);
}

#[test]
fn owners_may_be_on_other_threads() {
    let shared = (0..100_000_u64).collect::<PageVec<_>>().into_shared();
    let sum: u64 = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..4)
            .map(|n| shared.slice(n * 25_000..(n + 1) * 25_000))
            .map(|part| scope.spawn(move || part.iter().sum::<u64>()))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    });
    assert_eq!(sum, 99_999 * 100_000 / 2);
}

#[test]
fn it_compares_and_hashes_as_a_slice() {
    let (one, two) = (PageVec::from([1, 2]).into_shared(), PageVec::from([1, 3]).into_shared());
    assert!(one < two && one == [1, 2] && one != two && one == one.clone());
    assert!(HashSet::from([one.clone()]).contains(&[1, 2][..]));
    assert_eq!(format!("{one:?} {:?}", Shared::<u8>::default()), "[1, 2] []");
    assert_eq!((&one).into_iter().sum::<i32>(), 3);
}
