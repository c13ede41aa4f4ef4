//! `bytes`: pages that a `Bytes` owns. No byte is copied, and the pages go back with the last handle on them.

use crate::boxed::PageBox;
use crate::shared::Shared;
use crate::vec::PageVec;
use ::bytes::Bytes;

impl From<PageBox<[u8]>> for Bytes {
    fn from(pages: PageBox<[u8]>) -> Self {
        Self::from_owner(pages)
    }
}

impl From<PageVec<u8>> for Bytes {
    /// Gives the pages behind the elements back first, as [`PageVec::into_boxed_slice`] does.
    fn from(pages: PageVec<u8>) -> Self {
        Self::from(pages.into_boxed_slice())
    }
}

impl From<Shared<u8>> for Bytes {
    fn from(pages: Shared<u8>) -> Self {
        Self::from_owner(pages)
    }
}
