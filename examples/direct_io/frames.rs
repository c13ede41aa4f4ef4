//! A pool of buffers for direct I/O: frames of one size, aligned as the device wants them, used again and again.
//!
//! A mapping is dear to make and dearer to fault in, so a frame that is dropped goes back to the pool with its pages. A
//! frame is always as long as the pool says; what is in it is what its last user left, zeros in a new one.

use mapalloc::map::MapOptions;
use mapalloc::{PageVec, page_size};
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The pool.
pub(crate) struct Frames {
    len: usize,
    align: usize,
    idle: Mutex<Vec<PageVec<u8>>>,
    allocated: AtomicUsize,
    recycled: AtomicUsize,
}

impl Frames {
    /// A pool of frames of `len` bytes, whose addresses are multiples of `align` bytes and of the page size.
    pub(crate) fn new(len: usize, align: usize) -> Self {
        Self {
            len,
            align: align.max(page_size()),
            idle: Mutex::new(Vec::new()),
            allocated: AtomicUsize::new(0),
            recycled: AtomicUsize::new(0),
        }
    }

    /// A frame that was used before, or a new one.
    pub(crate) fn take(&self) -> mapalloc::Result<Frame<'_>> {
        let idle = self.idle().pop();
        let bytes = match idle {
            Some(bytes) => {
                self.recycled.fetch_add(1, Relaxed);
                bytes
            }
            None => {
                let mut bytes = PageVec::with_options(self.len, MapOptions::new().align(self.align))?;
                bytes.resize(self.len, 0);
                self.allocated.fetch_add(1, Relaxed);
                bytes
            }
        };
        Ok(Frame { bytes, pool: self })
    }

    /// How many frames were made so far.
    pub(crate) fn allocated(&self) -> usize {
        self.allocated.load(Relaxed)
    }

    /// How often a frame was handed out again.
    pub(crate) fn recycled(&self) -> usize {
        self.recycled.load(Relaxed)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<PageVec<u8>>> {
        // Between its push and its pop a list is whole, whoever panicked.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A vector on loan from the pool.
pub(crate) struct Frame<'p> {
    bytes: PageVec<u8>,
    pool: &'p Frames,
}

impl Deref for Frame<'_> {
    type Target = PageVec<u8>;

    fn deref(&self) -> &PageVec<u8> {
        &self.bytes
    }
}

impl DerefMut for Frame<'_> {
    fn deref_mut(&mut self) -> &mut PageVec<u8> {
        &mut self.bytes
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.bytes);
        // A user may have put another vector in its place, without the room or the alignment.
        if bytes.capacity() >= self.pool.len && bytes.as_ptr().addr().is_multiple_of(self.pool.align) {
            bytes.resize(self.pool.len, 0);
            self.pool.idle().push(bytes);
        }
    }
}
