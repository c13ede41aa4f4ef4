//! A buffer pool: pages of a file in frames of memory, as many as fit, shared by threads.
//!
//! All frames are elements of one `PageVec` with a reservation, so they are aligned for any device, never move, and go back
//! to the system when the pool shrinks. Which page is in which frame, and which frame is next to be reused, is decided under
//! one mutex; files are read and written, and contents looked at, outside it.
//!
//! A page that was changed goes to the file when its frame is wanted for another, when the pool shrinks, and by
//! [`Pool::flush`]; dropping the pool writes nothing.
//!
//! [`Pool::shared`] and [`Pool::exclusive`] return a guard, which pins the page in its frame and holds the frame's latch for
//! as long as it lives. A thread that holds one may ask for another page, not for the same again, and threads that hold
//! several must all take them in the same order, or they wait for each other.
//!
//! # Invariants
//! * **P1** `base` is that of `state.memory`, whose reservation holds as many frames as there are `slots`: every element
//!   stays where it is. Frame *n* is the element *n*, which exists for `n < state.frames.len()`, and nothing reaches the
//!   elements by way of the vector.
//! * **P2** The contents of a frame are touched only by who has pinned it and holds its latch: shared to read, exclusive to
//!   write.
//! * **P3** A frame is pinned first under the mutex; pins are taken away without it. So under the mutex a frame without pins
//!   stays so. A latch is given up before the pin.
//! * **P4** `table` maps a page to a frame if and only if that frame's entry in `frames` has the page, and no page has two
//!   frames. A frame leaves its page only without other pins and not dirty, so what is in the file is what was last written.
//! * **P5** Whoever holds the mutex never waits for a latch.

use super::file::{NO_PAGE, PageFile};
use mapalloc::map::{Features, MapOptions};
use mapalloc::{PageVec, page_size};
use std::collections::HashMap;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;

/// The pages of a core dump would only say what is in the file anyway.
const OPTIONS: MapOptions = MapOptions::new().dump(false).name(c"buffer pool").best_effort(Features::NAME);

/// Pages of `N` bytes of a file, in frames.
pub(crate) struct Pool<const N: usize> {
    file: PageFile<N>,
    base: Base<N>,
    slots: Box<[Slot]>,
    state: Mutex<State<N>>,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
    write_backs: AtomicU64,
}

/// Where the frames begin.
struct Base<const N: usize>(NonNull<[u8; N]>);

// SAFETY: an address; the pool owns what is there (P1), and any thread touches it by the rules of P2.
unsafe impl<const N: usize> Send for Base<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Sync for Base<N> {}

/// What is under the mutex.
struct State<const N: usize> {
    memory: PageVec<[u8; N]>,
    table: HashMap<u64, usize>,
    /// The page in each frame, if any, and whether it was used since the hand passed.
    frames: Vec<Frame>,
    /// The clock's hand: the frame that is looked at next.
    hand: usize,
}

#[derive(Clone, Copy, Default)]
struct Frame {
    page: Option<u64>,
    referenced: bool,
}

/// What of a frame is not under the mutex.
struct Slot {
    latch: RwLock<()>,
    pins: AtomicU32,
    /// Whether the contents are newer than the file's. Set under the exclusive latch.
    dirty: AtomicBool,
    /// The page that the contents are of, or [`NO_PAGE`] if it could not be read. Set under the exclusive latch.
    holds: AtomicU64,
}

/// What a pool has done so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) evictions: u64,
    pub(crate) write_backs: u64,
}

impl<const N: usize> Pool<N> {
    /// A pool of `frames` frames, which can be resized to `most`.
    pub(crate) fn new(file: PageFile<N>, frames: usize, most: usize) -> mapalloc::Result<Self> {
        let mut memory = PageVec::try_with_reserved(most, OPTIONS)?;
        let base = Base(NonNull::new(memory.as_mut_ptr()).expect("memory is never at address zero"));
        let slot = || Slot {
            latch: RwLock::new(()),
            pins: AtomicU32::new(0),
            dirty: AtomicBool::new(false),
            holds: AtomicU64::new(NO_PAGE),
        };
        let pool = Self {
            file,
            base,
            slots: std::iter::repeat_with(slot).take(most).collect(),
            state: Mutex::new(State { memory, table: HashMap::new(), frames: Vec::new(), hand: 0 }),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            write_backs: AtomicU64::new(0),
        };
        pool.grow(frames)?;
        Ok(pool)
    }

    /// The file below.
    pub(crate) fn file(&self) -> &PageFile<N> {
        &self.file
    }

    /// A page to read.
    ///
    /// It is an error if the file cannot be read, or all frames are pinned: a pool needs more frames than there are guards
    /// and threads that ask for one.
    pub(crate) fn shared(&self, page: u64) -> io::Result<Shared<'_, N>> {
        loop {
            let pin = self.pin(page)?;
            let latch = ignore_poison(pin.slot.latch.read());
            if pin.slot.holds.load(Relaxed) == page {
                return Ok(Shared { _latch: latch, pin });
            }
        }
    }

    /// A page to change. Fails as [`shared`](Self::shared) does.
    pub(crate) fn exclusive(&self, page: u64) -> io::Result<Exclusive<'_, N>> {
        loop {
            let pin = self.pin(page)?;
            let latch = ignore_poison(pin.slot.latch.write());
            if pin.slot.holds.load(Relaxed) == page {
                return Ok(Exclusive { _latch: latch, pin });
            }
        }
    }

    /// Writes every page that is newer than the file's, and has the file written to the device.
    pub(crate) fn flush(&self) -> io::Result<()> {
        for frame in 0..self.slots.len() {
            let state = self.lock();
            if state.frames.get(frame).is_some_and(|frame| frame.page.is_some()) {
                let pin = self.pin_frame(&state, frame);
                drop(state);
                self.write_back(&pin)?;
            }
        }
        self.file.sync()
    }

    /// Changes the number of frames, to at most what the reservation holds.
    ///
    /// Frames that go are written back, and waited for while they are pinned; then their memory goes back to the system.
    /// Their addresses stay.
    pub(crate) fn resize(&self, frames: usize) -> io::Result<()> {
        self.grow(frames)?;
        self.shrink(frames)
    }

    fn grow(&self, frames: usize) -> mapalloc::Result<()> {
        assert!((1..=self.slots.len()).contains(&frames), "{frames} frames are not between one and what is reserved");
        let mut state = self.lock();
        if frames > state.frames.len() {
            // SAFETY: bytes may be zero. By P1 the elements that there are stay untouched.
            unsafe { state.memory.try_resize_zeroed_unchecked(frames) }?;
            state.frames.resize(frames, Frame::default());
        }
        Ok(())
    }

    fn shrink(&self, frames: usize) -> io::Result<()> {
        loop {
            let mut state = self.lock();
            let Some(last) = state.frames.len().checked_sub(1).filter(|&last| last >= frames) else {
                state.memory.decommit()?;
                return Ok(());
            };
            let slot = &self.slots[last];
            if slot.pins.load(Acquire) > 0 {
                drop(state);
                thread::yield_now();
            } else if slot.dirty.load(Relaxed) {
                let pin = self.pin_frame(&state, last);
                drop(state);
                self.write_back(&pin)?;
            } else {
                // By P3 nobody has the frame, and without an entry nobody gets it.
                self.leave(&mut state, last);
                state.frames.pop();
                state.memory.truncate(last);
            }
        }
    }

    /// What was done so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            write_backs: self.write_backs.load(Relaxed),
        }
    }

    /// Bytes of memory that the frames take, as the kernel counts them: a frame that was never used takes none.
    pub(crate) fn resident_bytes(&self) -> io::Result<usize> {
        let bytes = (self.slots.len() * N).next_multiple_of(page_size());
        let mut resident = vec![0_u8; bytes / page_size()];
        // SAFETY: the call asks about addresses that are reserved (P1) and reads nothing there; there is an answer of a byte
        // for each page.
        if unsafe { libc::mincore(self.base.0.as_ptr().cast(), bytes, resident.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(resident.iter().filter(|&&page| page & 1 != 0).count() * page_size())
    }

    fn lock(&self) -> MutexGuard<'_, State<N>> {
        self.state.lock().expect("no thread panics while it holds the pool's mutex")
    }

    /// The frame of a page with a pin. If the page is not there it is read, and whoever else wants it meanwhile waits for
    /// the latch.
    fn pin(&self, page: u64) -> io::Result<Pin<'_, N>> {
        loop {
            let mut state = self.lock();
            if let Some(&frame) = state.table.get(&page) {
                state.frames[frame].referenced = true;
                self.hits.fetch_add(1, Relaxed);
                return Ok(self.pin_frame(&state, frame));
            }
            let Some(frame) = self.victim(&mut state) else {
                return Err(io::Error::other("all frames are pinned"));
            };
            let pin = self.pin_frame(&state, frame);
            if pin.slot.dirty.load(Relaxed) {
                // It stays in the table meanwhile, so that nobody reads the old page from the file. Who knows what will
                // have happened to the frame by then: look again.
                drop(state);
                self.write_back(&pin)?;
                continue;
            }
            if state.frames[frame].page.is_some() {
                self.evictions.fetch_add(1, Relaxed);
            }
            self.leave(&mut state, frame);
            state.table.insert(page, frame);
            state.frames[frame] = Frame { page: Some(page), referenced: true };
            self.misses.fetch_add(1, Relaxed);
            // The pin is the first, so by P3 the latch is free: this does not wait (P5).
            let latch = ignore_poison(pin.slot.latch.write());
            drop(state);
            return self.load(page, pin, latch);
        }
    }

    /// Reads a page into its frame, or takes it out of the table again.
    fn load<'p>(&'p self, page: u64, pin: Pin<'p, N>, latch: RwLockWriteGuard<'p, ()>) -> io::Result<Pin<'p, N>> {
        // SAFETY: P1 and P2.
        let read = self.file.read(page, unsafe { &mut *pin.bytes().as_ptr() });
        pin.slot.holds.store(if read.is_ok() { page } else { NO_PAGE }, Relaxed);
        drop(latch);
        if let Err(error) = read {
            // Those who wait for the page have pins, and look what the frame holds when they get the latch.
            self.leave(&mut self.lock(), pin.frame);
            return Err(error);
        }
        Ok(pin)
    }

    /// Writes the page in a frame to the file if that has an older one.
    fn write_back(&self, pin: &Pin<'_, N>) -> io::Result<()> {
        let _latch = ignore_poison(pin.slot.latch.read());
        // By the pin the frame keeps its page (P4), and by the latch nobody makes it dirty again.
        if !pin.slot.dirty.swap(false, Relaxed) {
            return Ok(());
        }
        self.write_backs.fetch_add(1, Relaxed);
        // SAFETY: P1 and P2.
        let bytes = unsafe { pin.bytes().as_ref() };
        self.file.write(pin.slot.holds.load(Relaxed), bytes).inspect_err(|_| pin.slot.dirty.store(true, Relaxed))
    }

    /// The frame that the clock's hand comes to first of those without pins and without use since it last passed.
    fn victim(&self, state: &mut State<N>) -> Option<usize> {
        // The first round takes the marks away, so the second finds a frame if there is one without pins.
        for _ in 0..2 * state.frames.len() {
            let frame = state.hand % state.frames.len();
            state.hand = frame + 1;
            if self.slots[frame].pins.load(Acquire) == 0 && !std::mem::take(&mut state.frames[frame].referenced) {
                return Some(frame);
            }
        }
        None
    }

    /// A pin on a frame. The state says that the caller holds the mutex (P3).
    fn pin_frame(&self, _state: &State<N>, frame: usize) -> Pin<'_, N> {
        let slot = &self.slots[frame];
        slot.pins.fetch_add(1, Relaxed);
        Pin { pool: self, slot, frame }
    }

    /// Takes a frame's page out of the table.
    fn leave(&self, state: &mut State<N>, frame: usize) {
        if let Some(page) = std::mem::take(&mut state.frames[frame]).page {
            state.table.remove(&page);
        }
    }
}

/// A claim on a frame: its page stays in it.
struct Pin<'p, const N: usize> {
    pool: &'p Pool<N>,
    slot: &'p Slot,
    frame: usize,
}

impl<const N: usize> Pin<'_, N> {
    fn bytes(&self) -> NonNull<[u8; N]> {
        // SAFETY: the frame is an element (P1), since one with a pin does not go.
        unsafe { self.pool.base.0.add(self.frame) }
    }
}

impl<const N: usize> Drop for Pin<'_, N> {
    fn drop(&mut self) {
        // What was done with the frame happens before whatever follows from its being free.
        self.slot.pins.fetch_sub(1, Release);
    }
}

/// A page that stays where it is and is not changed, for as long as this lives.
pub(crate) struct Shared<'p, const N: usize> {
    // Before the pin, as P3 has it.
    _latch: RwLockReadGuard<'p, ()>,
    pin: Pin<'p, N>,
}

/// A page that stays where it is and that nobody else sees, for as long as this lives.
pub(crate) struct Exclusive<'p, const N: usize> {
    // Before the pin, as P3 has it.
    _latch: RwLockWriteGuard<'p, ()>,
    pin: Pin<'p, N>,
}

impl<const N: usize> Deref for Shared<'_, N> {
    type Target = [u8; N];

    fn deref(&self) -> &[u8; N] {
        // SAFETY: P1 and P2.
        unsafe { self.pin.bytes().as_ref() }
    }
}

impl<const N: usize> Deref for Exclusive<'_, N> {
    type Target = [u8; N];

    fn deref(&self) -> &[u8; N] {
        // SAFETY: P1 and P2, and `&self` keeps writers away.
        unsafe { self.pin.bytes().as_ref() }
    }
}

impl<const N: usize> DerefMut for Exclusive<'_, N> {
    fn deref_mut(&mut self) -> &mut [u8; N] {
        self.pin.slot.dirty.store(true, Relaxed);
        // SAFETY: P1 and P2, and `&mut self` is exclusive.
        unsafe { self.pin.bytes().as_mut() }
    }
}

/// A latch whose holder panicked: the contents are bytes all the same, and whether they make sense is their checksum's
/// matter.
fn ignore_poison<G>(result: Result<G, PoisonError<G>>) -> G {
    result.unwrap_or_else(PoisonError::into_inner)
}
