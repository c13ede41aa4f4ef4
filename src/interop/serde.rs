//! `serde`: values and rows of values, as the standard library's containers have them.
//!
//! What is read is not trusted: a length that the input states decides about no more than [`TRUSTED`] bytes before there
//! are elements for them, and memory that the kernel refuses is an error of the deserializer.

use crate::boxed::PageBox;
use crate::vec::PageVec;
use core::fmt;
use core::marker::PhantomData;
use serde_core::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde_core::ser::{Serialize, Serializer};

/// Room for so many bytes is made on the word of the input alone.
const TRUSTED: usize = 1 << 20;

impl<T: ?Sized + Serialize> Serialize for PageBox<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<T: Serialize> Serialize for PageVec<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for PageBox<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_new(T::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for PageBox<[T]> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PageVec::deserialize(deserializer).map(Self::from)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for PageVec<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Row(PhantomData))
    }
}

/// Reads a row of elements.
struct Row<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Row<T> {
    type Value = PageVec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<PageVec<T>, A::Error> {
        let stated = elements.size_hint().unwrap_or(0);
        let room = stated.min(TRUSTED / size_of::<T>().max(1));
        let mut vec = PageVec::try_with_capacity(room).map_err(A::Error::custom)?;
        while let Some(element) = elements.next_element()? {
            vec.try_push(element).map_err(A::Error::custom)?;
        }
        Ok(vec)
    }
}

impl<'de> Deserialize<'de> for PageBox<str> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

/// Reads a string.
struct Text;

impl Visitor<'_> for Text {
    type Value = PageBox<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PageBox<str>, E> {
        let mut bytes = PageVec::try_with_capacity(text.len()).map_err(E::custom)?;
        bytes.extend_from_slice(text.as_bytes());
        let raw = PageBox::into_raw(bytes.into_boxed_slice());
        // SAFETY: the bytes are those of a `str`, which has the layout of a byte slice.
        Ok(unsafe { PageBox::from_raw(raw as *mut str) })
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<PageBox<str>, E> {
        match core::str::from_utf8(bytes) {
            Ok(text) => self.visit_str(text),
            Err(_) => Err(E::invalid_value(Unexpected::Bytes(bytes), &self)),
        }
    }
}
