//! The traits of other crates for the containers: one module for each cargo feature.

#![allow(unused_imports, reason = "each feature uses a part")]

use mapalloc::{PageBox, PageVec, Shared, page_size};

#[cfg(feature = "serde")]
mod serde {
    use super::*;
    use serde_core::de::value::{BytesDeserializer, Error, SeqDeserializer, StrDeserializer};
    use serde_core::de::{Deserialize, IntoDeserializer};
    use serde_json::{from_str, to_string};

    #[test]
    fn everything_goes_to_json_and_back() {
        let vec: PageVec<Vec<u32>> = [vec![1, 2], vec![]].into_iter().collect();
        assert_eq!(to_string(&vec).unwrap(), "[[1,2],[]]");
        assert_eq!(from_str::<PageVec<Vec<u32>>>("[[1,2],[]]").unwrap(), vec);

        let slice = PageBox::<[i8]>::from([-1, 0, 1]);
        assert_eq!(to_string(&slice).unwrap(), "[-1,0,1]");
        assert_eq!(from_str::<PageBox<[i8]>>("[-1,0,1]").unwrap(), slice);

        let text = PageBox::<str>::from("ä\"\n");
        assert_eq!(to_string(&text).unwrap(), r#""ä\"\n""#);
        assert_eq!(from_str::<PageBox<str>>(r#""ä\"\n""#).unwrap(), text);

        let one = PageBox::new((7, 'x'));
        assert_eq!(to_string(&one).unwrap(), r#"[7,"x"]"#);
        assert_eq!(from_str::<PageBox<(u8, char)>>(r#"[7,"x"]"#).unwrap(), one);
    }

    #[test]
    fn what_is_wrong_is_an_error() {
        assert!(from_str::<PageVec<u8>>("[1,256]").unwrap_err().is_data());
        assert!(from_str::<PageVec<u8>>("7").unwrap_err().to_string().contains("expected a sequence"));
        assert!(from_str::<PageBox<[u8]>>("[1,").unwrap_err().is_eof());
        assert!(from_str::<PageBox<str>>("1").unwrap_err().to_string().contains("expected a string"));
        assert!(from_str::<PageBox<u8>>("[]").is_err());
        let bytes = |bytes| PageBox::<str>::deserialize(BytesDeserializer::<Error>::new(bytes));
        assert_eq!(&*bytes("ö".as_bytes()).unwrap(), "ö");
        assert!(bytes(b"\xff").is_err());
        let text: StrDeserializer<'_, Error> = "kept".into_deserializer();
        assert_eq!(&*PageBox::<str>::deserialize(text).unwrap(), "kept");
    }

    /// Three elements, and any number in the hint.
    struct Claims(std::ops::Range<u64>, usize);

    impl Iterator for Claims {
        type Item = u64;

        fn next(&mut self) -> Option<u64> {
            self.0.next()
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            (self.1, Some(self.1))
        }
    }

    fn claimed(len: usize) -> PageVec<u64> {
        PageVec::deserialize(SeqDeserializer::<_, Error>::new(Claims(0..3, len))).unwrap()
    }

    #[test]
    fn a_stated_length_makes_room_up_to_a_bound() {
        for len in [1 << 30, isize::MAX as usize, usize::MAX] {
            let vec = claimed(len);
            assert_eq!(vec, [0, 1, 2]);
            assert!(vec.capacity() * 8 <= 1 << 20, "{}", vec.capacity());
        }
        assert!(claimed(50_000).capacity() >= 50_000, "room for what is stated and small");
        let nothing: PageVec<()> = from_str("[null,null]").unwrap();
        assert_eq!(nothing.len(), 2);
    }
}

#[cfg(feature = "bytes")]
mod bytes {
    use super::*;
    use ::bytes::Bytes;

    #[test]
    fn the_pages_become_bytes_without_a_copy() {
        let mut vec = PageVec::from(&b"in pages"[..]);
        vec.reserve(100_000);
        let address = vec.as_ptr();
        let all = Bytes::from(vec);
        let part = all.slice(3..);
        assert_eq!((all.as_ptr(), &*all), (address, &b"in pages"[..]));
        drop(all);
        assert_eq!((part.as_ptr(), &*part), (address.wrapping_add(3), &b"pages"[..]));

        let boxed = PageBox::<[u8]>::from([4; 5_000]);
        let address = boxed.as_ptr();
        assert_eq!(Bytes::from(boxed).as_ptr(), address);

        let shared = PageVec::from(&b"shared"[..]).into_shared();
        let bytes = Bytes::from(shared.slice(2..));
        assert_eq!((bytes.as_ptr(), &*bytes), (shared[2..].as_ptr(), &b"ared"[..]));

        assert!(Bytes::from(PageVec::new()).is_empty());
    }

    #[test]
    #[cfg(not(miri))]
    fn the_pages_go_back_with_the_last_handle() {
        let mapped = |address: usize| {
            let memory = std::fs::File::open("/proc/self/mem").unwrap();
            let mut bytes = [0; 16];
            let read = std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, address as u64);
            read.is_ok() && &bytes == b"lies nowhere els"
        };
        let bytes = Bytes::from(PageVec::from(&b"lies nowhere else"[..]));
        let address = bytes.as_ptr().addr();
        let last = bytes.clone();
        drop(bytes);
        assert!(mapped(address));
        drop(last);
        assert!(!mapped(address));
    }
}

#[cfg(feature = "stable_deref_trait")]
mod stable_deref {
    use super::*;
    use stable_deref_trait::{CloneStableDeref, StableDeref};

    fn stays<C: StableDeref>(container: C) {
        let address = &raw const *container;
        let moved = Box::new(container);
        assert!(std::ptr::addr_eq(address, &raw const **moved));
    }

    #[test]
    fn contents_stay_when_the_container_moves() {
        stays(PageBox::new(5));
        stays(PageBox::<str>::from("text"));
        stays(PageBox::<[u8]>::default());
        stays(PageVec::from([1, 2]));
        stays(PageVec::from([1, 2]).into_shared());
        fn clones<C: CloneStableDeref + Clone>(container: &C) {
            assert!(std::ptr::addr_eq(&raw const **container, &raw const *container.clone()));
        }
        clones(&PageVec::from([1, 2]).into_shared());
    }
}

#[cfg(feature = "zeroize")]
mod zeroize {
    use super::*;
    use ::zeroize::Zeroize;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_vector_is_zero_to_the_end_of_its_room() {
        let mut vec: PageVec<u64> = (1..=2_000).collect();
        vec.truncate(1_000);
        let (address, room) = (vec.as_ptr(), vec.capacity());
        vec.zeroize();
        assert_eq!((vec.len(), vec.capacity(), vec.as_ptr()), (0, room, address));
        // SAFETY: it is the room of the vector, whose pages were zero when they were new and have been written since.
        let left = unsafe { std::slice::from_raw_parts(address, room) };
        assert!(left.iter().all(|&n| n == 0));
        PageVec::from([(), ()]).zeroize();
    }

    /// Counts what is done to it.
    struct Counted(Rc<Cell<[u32; 2]>>);

    impl Counted {
        fn count(&self, which: usize) {
            let mut counts = self.0.get();
            counts[which] += 1;
            self.0.set(counts);
        }
    }

    impl Zeroize for Counted {
        fn zeroize(&mut self) {
            self.count(0);
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.count(1);
        }
    }

    #[test]
    fn elements_are_zeroized_by_their_own_word_and_dropped_once() {
        let counts = Rc::default();
        let mut vec: PageVec<Counted> = (0..3).map(|_| Counted(Rc::clone(&counts))).collect();
        vec.zeroize();
        assert_eq!(counts.get(), [3, 3]);
        drop(vec);
        assert_eq!(counts.get(), [3, 3]);

        let counts = Rc::default();
        let mut boxed: PageBox<[Counted]> = (0..2).map(|_| Counted(Rc::clone(&counts))).collect();
        boxed.zeroize();
        assert_eq!(counts.get(), [2, 0]);
    }

    #[test]
    fn a_box_keeps_its_value_and_clears_it() {
        let mut text = PageBox::<str>::from("secret");
        text.zeroize();
        assert_eq!(&*text, "\0\0\0\0\0\0");
        let mut key = PageBox::new([7_u8; 32]);
        key.zeroize();
        assert_eq!(*key, [0; 32]);
    }
}

#[cfg(feature = "arbitrary")]
mod arbitrary {
    use super::*;
    use ::arbitrary::{Arbitrary, Unstructured};

    const BYTES: &[u8] = b"any bytes at all, of which there are enough for some elements";

    /// The same value as the standard library's container makes of the same bytes.
    fn same<T, U>()
    where
        T: for<'a> Arbitrary<'a> + std::fmt::Debug,
        U: for<'a> Arbitrary<'a> + std::fmt::Debug,
    {
        let debug = |value: &dyn std::fmt::Debug| format!("{value:?}");
        for len in 0..BYTES.len() {
            let bytes = &BYTES[..len];
            let (mut ours, mut theirs) = (Unstructured::new(bytes), Unstructured::new(bytes));
            assert_eq!(debug(&T::arbitrary(&mut ours)), debug(&U::arbitrary(&mut theirs)));
            assert_eq!(ours.len(), theirs.len());
            let (ours, theirs) = (Unstructured::new(bytes), Unstructured::new(bytes));
            assert_eq!(debug(&T::arbitrary_take_rest(ours)), debug(&U::arbitrary_take_rest(theirs)));
        }
        assert_eq!(T::size_hint(0), U::size_hint(0));
    }

    #[test]
    fn as_the_standard_containers() {
        same::<PageVec<u16>, Vec<u16>>();
        same::<PageVec<String>, Vec<String>>();
        same::<PageBox<u32>, Box<u32>>();
        same::<PageBox<[u16]>, Box<[u16]>>();
        same::<PageBox<str>, String>();
    }
}
