//! The bytes of a map as atomics, which others may change.
//!
//! Only writable maps lend them: whoever has a reference to an atomic may store to it.

use super::{FileMap, Writable};
use crate::atomic::Atomic;
use core::ops::Range;
use core::slice;
use core::sync::atomic::AtomicU8;

impl<K: Writable> FileMap<K> {
    /// The bytes, as atomics.
    ///
    /// Other processes, and [`write_at`](Self::write_at), may change them meanwhile. A page that is not there, since the
    /// file has become shorter, the disk cannot read it or has no space for it, ends the program with `SIGBUS`.
    #[inline]
    pub const fn atomic_bytes(&self) -> &[AtomicU8] {
        // SAFETY: by L1 and L2 the bytes are mapped, readable and writable; by L3 whatever else refers to them is atomic,
        // and a page that is taken away under it stops the program and yields no value.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.len) }
    }

    /// The bytes of a range as larger atomics, in the byte order of the machine. `None` if the range is not within the map,
    /// does not start at the alignment of `A`, or is not a multiple of its size.
    ///
    /// A page that is not there ends the program as for [`atomic_bytes`](Self::atomic_bytes).
    ///
    /// # Safety
    /// While the slice lives, nobody in this process accesses its bytes as atomics of another size, unless one access
    /// happens before the other, or both only read.
    #[inline]
    pub unsafe fn atomics<A: Atomic>(&self, range: Range<usize>) -> Option<&[A]> {
        let bytes = self.atomic_bytes().get(range)?;
        let start = bytes.as_ptr().cast::<A>();
        if bytes.is_empty() {
            return Some(&[]);
        }
        if !start.is_aligned() || bytes.len() % size_of::<A>() != 0 {
            return None;
        }
        // SAFETY: the bytes of the slice above, aligned, in which every pattern is a value; the caller sees to it that sizes
        // are not mixed.
        Some(unsafe { slice::from_raw_parts(start, bytes.len() / size_of::<A>()) })
    }
}
