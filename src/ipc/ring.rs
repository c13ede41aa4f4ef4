//! A ring of bytes from one [`Producer`] to one [`Consumer`], in threads or in processes, without locks.
//!
//! The ring lies in a [`MemoryFile`], whose descriptor is what another process needs. Its bytes are mapped twice in a row, so
//! that reading and writing never part at the end. Each end has a lock on a byte of the file, which goes with its process:
//! so a dead peer is told from a slow one, and its place can be taken by another.
//!
//! ```
//! use mapalloc::ipc::ring::Ring;
//! use std::io::{Read, Write};
//!
//! let ring = Ring::new(1 << 16)?;
//! let (mut producer, mut consumer) = (ring.producer()?, ring.consumer()?);
//! let writer = std::thread::spawn(move || producer.write_all(&[7; 1_000_000]));
//! let mut bytes = Vec::new();
//! consumer.read_to_end(&mut bytes)?; // to the end of the producer
//! assert_eq!(bytes.len(), 1_000_000);
//! # writer.join().unwrap()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//! * **N1** `head <= tail <= head + capacity`, where the consumer alone writes `head` and the producer alone `tail`. Each keeps
//!   its own copy, and takes the other's for true only within these bounds: a peer that writes nonsense is an error, not
//!   an access out of bounds.
//! * **N2** The bytes from `head` to `tail` (modulo the capacity) were written before `tail` was; the others are the
//!   producer's to write.

use super::MemoryFile;
use super::copy::{load, store};
use super::mirror::Mirror;
use crate::error::Error;
use crate::page::page_size;
use crate::sys::files;
use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is wrong with a ring, or with its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError {
    /// There is a producer, or a consumer, already.
    Taken,
    /// The file is no ring, or one of another layout.
    NotARing,
    /// The other end has written what makes no sense.
    Corrupt,
    /// The other end was there, and has ended.
    Gone,
    /// The kernel refused.
    Refused(Error),
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("the ring has such an end already"),
            Self::NotARing => f.write_str("the file is no ring"),
            Self::Corrupt => f.write_str("the other end of the ring has written nonsense"),
            Self::Gone => f.write_str("the other end of the ring is gone"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RingError {}

impl From<Error> for RingError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<RingError> for io::Error {
    fn from(error: RingError) -> Self {
        let kind = match error {
            RingError::Taken => ErrorKind::ResourceBusy,
            RingError::NotARing | RingError::Corrupt => ErrorKind::InvalidData,
            RingError::Gone => ErrorKind::BrokenPipe,
            RingError::Refused(error) => return error.into(),
        };
        Self::new(kind, error)
    }
}

/// A line that one end writes, apart from the other's: processors fetch two lines of 64 bytes at once.
#[repr(C, align(128))]
struct End {
    /// How many bytes it has written or read since the ring was made.
    position: AtomicU64,
    /// One while it sleeps; the other end wakes it.
    sleeps: AtomicU32,
    /// One once there was such an end.
    was_there: AtomicU32,
}

/// The first page of the file.
#[repr(C)]
struct Header {
    magic: AtomicU64,
    capacity: AtomicU64,
    producer: End,
    consumer: End,
}

/// "mapring" and the version of the layout.
const MAGIC: u64 = u64::from_be_bytes(*b"mapring\x01");

/// A byte of the file, past its end, for the lock of each end.
const PRODUCER_BYTE: i64 = 1 << 60;
const CONSUMER_BYTE: i64 = PRODUCER_BYTE + 1;

/// How long an end sleeps at the most before it looks whether the other one still lives, in milliseconds.
const NAP: u32 = 20;

/// How often an end looks again before it sleeps.
const SPINS: u32 = 200;

/// A ring whose ends are still to be taken, here or in another process.
#[derive(Debug)]
pub struct Ring {
    file: MemoryFile,
    capacity: usize,
}

impl Ring {
    /// A ring for at least `capacity` bytes; the capacity is a power of two, and at least a page.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new(capacity: usize) -> Result<Self, RingError> {
        let too_large = Error::capacity(crate::error::Operation::File, capacity);
        let capacity = capacity.max(page_size()).checked_next_power_of_two().ok_or(too_large)?;
        let file = MemoryFile::new(c"ring", page_size().checked_add(capacity).ok_or(too_large)?)?;
        let pages = file.map()?;
        pages.write_at(offset_of!(Header, capacity), &(capacity as u64).to_ne_bytes())?;
        pages.write_at(offset_of!(Header, magic), &MAGIC.to_ne_bytes())?;
        Ok(Self { file, capacity })
    }

    /// The ring in a file that another process has passed.
    ///
    /// # Errors
    /// [`NotARing`](RingError::NotARing).
    pub fn from_file(file: MemoryFile) -> Result<Self, RingError> {
        let len = file.len()?;
        if len < page_size() {
            return Err(RingError::NotARing);
        }
        let pages = file.map()?;
        let word = |offset| {
            let mut bytes = [0; 8];
            pages.read_at(offset, &mut bytes).map(|()| u64::from_ne_bytes(bytes))
        };
        let (magic, capacity) = (word(offset_of!(Header, magic))?, word(offset_of!(Header, capacity))?);
        let is_ring = magic == MAGIC && capacity.is_power_of_two() && capacity as usize == len - page_size();
        if !is_ring || !(capacity as usize).is_multiple_of(page_size()) {
            return Err(RingError::NotARing);
        }
        Ok(Self { file, capacity: capacity as usize })
    }

    /// The file, to be passed to another process.
    #[must_use]
    pub const fn file(&self) -> &MemoryFile {
        &self.file
    }

    /// How many bytes the ring holds.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes the end that writes.
    ///
    /// # Errors
    /// [`Taken`](RingError::Taken), or the kernel refuses.
    pub fn producer(&self) -> Result<Producer, RingError> {
        let ends = Ends::take(self, PRODUCER_BYTE, CONSUMER_BYTE)?;
        ends.header().producer.was_there.store(1, SeqCst);
        let (tail, head) =
            (ends.header().producer.position.load(Relaxed), ends.header().consumer.position.load(Acquire));
        within(head, tail, self.capacity)?;
        Ok(Producer { ends, tail, head })
    }

    /// Takes the end that reads.
    ///
    /// # Errors
    /// [`Taken`](RingError::Taken), or the kernel refuses.
    pub fn consumer(&self) -> Result<Consumer, RingError> {
        let ends = Ends::take(self, CONSUMER_BYTE, PRODUCER_BYTE)?;
        ends.header().consumer.was_there.store(1, SeqCst);
        let (tail, head) =
            (ends.header().producer.position.load(Acquire), ends.header().consumer.position.load(Relaxed));
        within(head, tail, self.capacity)?;
        Ok(Consumer { ends, head, tail })
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// How many bytes lie between the two positions, if N1 holds.
fn within(head: u64, tail: u64, capacity: usize) -> Result<usize, RingError> {
    match tail.checked_sub(head) {
        Some(bytes) if bytes <= capacity as u64 => Ok(bytes as usize),
        _ => Err(RingError::Corrupt),
    }
}

/// What both ends have: the memory, and the lock that says that they live.
struct Ends {
    mirror: Mirror,
    /// Holds the lock. It is a descriptor of this end's own: locks are those of an open file, which a descriptor that was
    /// passed shares.
    lock: OwnedFd,
    other_byte: i64,
}

impl Ends {
    fn take(ring: &Ring, own_byte: i64, other_byte: i64) -> Result<Self, RingError> {
        let refused = |errno| Error::os(crate::error::Operation::File, ring.capacity, errno);
        let lock = files::reopen(ring.file.as_fd()).map_err(refused)?;
        files::try_lock_byte(lock.as_fd(), own_byte).map_err(|errno| match errno {
            libc::EAGAIN | libc::EACCES => RingError::Taken,
            errno => refused(errno).into(),
        })?;
        let mirror = Mirror::new(lock.as_fd(), ring.capacity)?;
        Ok(Self { mirror, lock, other_byte })
    }

    fn header(&self) -> &Header {
        const { assert!(size_of::<Header>() <= 4096 && align_of::<Header>() <= 4096) };
        // SAFETY: by K1 the first page is mapped, and everything in a header is an atomic.
        unsafe { self.mirror.header().cast().as_ref() }
    }

    /// Where the bytes at a position start; behind it lie as many as the ring holds, in a row.
    fn at(&self, position: u64) -> *mut u8 {
        // SAFETY: below the capacity, a power of two, so within the first copy of the bytes (K1).
        unsafe { self.mirror.data().add(position as usize & (self.mirror.capacity() - 1)) }
    }

    /// Whether the other end was there and has ended.
    fn other_is_gone(&self, other: &End) -> bool {
        other.was_there.load(SeqCst) != 0 && !files::byte_is_locked(self.lock.as_fd(), self.other_byte).unwrap_or(true)
    }

    /// Waits until `is_ready`, or until the other end is gone: then `false`.
    fn wait(
        &self,
        own: &End,
        other: &End,
        mut is_ready: impl FnMut() -> Result<bool, RingError>,
    ) -> Result<bool, RingError> {
        for _ in 0..SPINS {
            if is_ready()? {
                return Ok(true);
            }
            core::hint::spin_loop();
        }
        loop {
            own.sleeps.store(1, Relaxed);
            // The other end writes its position and then looks whether this one sleeps; this one says that it sleeps and
            // then looks at the position. With a fence on both sides one of them sees the other.
            fence(SeqCst);
            if is_ready()? {
                own.sleeps.store(0, Relaxed);
                return Ok(true);
            }
            if self.other_is_gone(other) {
                own.sleeps.store(0, Relaxed);
                // What it wrote last may have come before its end.
                return is_ready();
            }
            files::futex_wait_shared(&own.sleeps, 1, NAP);
        }
    }

    fn wake(other: &End) {
        fence(SeqCst);
        if other.sleeps.load(Relaxed) != 0 && other.sleeps.swap(0, Relaxed) != 0 {
            files::futex_wake_shared(&other.sleeps);
        }
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends").field("capacity", &self.mirror.capacity()).finish_non_exhaustive()
    }
}

/// The end of a [`Ring`] that writes. Its [`Write`] waits for room, and fails with [`ErrorKind::BrokenPipe`] when the consumer
/// has ended.
#[derive(Debug)]
pub struct Producer {
    ends: Ends,
    /// N1: the own position, and the other one as it was when it was looked at last.
    tail: u64,
    head: u64,
}

impl Producer {
    /// How many bytes there is room for, as of now.
    ///
    /// # Errors
    /// [`Corrupt`](RingError::Corrupt).
    pub fn room(&mut self) -> Result<usize, RingError> {
        let (capacity, head) = (self.ends.mirror.capacity(), self.ends.header().consumer.position.load(Acquire));
        let room = capacity - within(head, self.tail, capacity)?;
        self.head = head;
        Ok(room)
    }

    /// Writes as many bytes as there is room for, none perhaps, and does not wait.
    ///
    /// # Errors
    /// [`Corrupt`](RingError::Corrupt).
    pub fn try_write(&mut self, bytes: &[u8]) -> Result<usize, RingError> {
        let capacity = self.ends.mirror.capacity();
        let mut room = capacity - within(self.head, self.tail, capacity)?;
        if room < bytes.len() {
            room = self.room()?;
        }
        let count = room.min(bytes.len());
        if count > 0 {
            // Nobody writes so much, but a peer can have said where this end was to begin.
            let tail = self.tail.checked_add(count as u64).ok_or(RingError::Corrupt)?;
            // SAFETY: `count` bytes in a row from there, of which this end is the only writer (N2).
            unsafe { store(&bytes[..count], self.ends.at(self.tail)) };
            self.tail = tail;
            let header = self.ends.header();
            header.producer.position.store(self.tail, Release);
            Ends::wake(&header.consumer);
        }
        Ok(count)
    }

    /// Whether there was a consumer, and it has ended.
    #[must_use]
    pub fn consumer_is_gone(&self) -> bool {
        self.ends.other_is_gone(&self.ends.header().consumer)
    }
}

impl Write for Producer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let written = self.try_write(bytes)?;
        if written > 0 {
            return Ok(written);
        }
        let header = self.ends.header();
        let (capacity, tail) = (self.ends.mirror.capacity(), self.tail);
        let has_room = || Ok(within(header.consumer.position.load(Acquire), tail, capacity)? < capacity);
        if self.ends.wait(&header.producer, &header.consumer, has_room)? {
            Ok(self.try_write(bytes)?)
        } else {
            Err(RingError::Gone.into())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end of a [`Ring`] that reads. Its [`Read`] waits for bytes, and ends when the producer has ended and all is read.
#[derive(Debug)]
pub struct Consumer {
    ends: Ends,
    /// N1: the own position, and the other one as it was when it was looked at last.
    head: u64,
    tail: u64,
}

impl Consumer {
    /// How many bytes there are to be read, as of now.
    ///
    /// # Errors
    /// [`Corrupt`](RingError::Corrupt).
    pub fn available(&mut self) -> Result<usize, RingError> {
        let tail = self.ends.header().producer.position.load(Acquire);
        let available = within(self.head, tail, self.ends.mirror.capacity())?;
        self.tail = tail;
        Ok(available)
    }

    /// Reads as many bytes as there are, none perhaps, and does not wait.
    ///
    /// # Errors
    /// [`Corrupt`](RingError::Corrupt).
    pub fn try_read(&mut self, bytes: &mut [u8]) -> Result<usize, RingError> {
        let mut available = within(self.head, self.tail, self.ends.mirror.capacity())?;
        if available < bytes.len() {
            available = self.available()?;
        }
        let count = available.min(bytes.len());
        if count > 0 {
            // SAFETY: `count` bytes in a row from there, mapped (K1), which the other end has written before (N2).
            unsafe { load(self.ends.at(self.head), &mut bytes[..count]) };
            // Up to the other's position at the most (N1).
            self.head += count as u64;
            let header = self.ends.header();
            header.consumer.position.store(self.head, Release);
            Ends::wake(&header.producer);
        }
        Ok(count)
    }

    /// Whether there was a producer, and it has ended.
    #[must_use]
    pub fn producer_is_gone(&self) -> bool {
        self.ends.other_is_gone(&self.ends.header().producer)
    }
}

impl Read for Consumer {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let read = self.try_read(bytes)?;
        if read > 0 {
            return Ok(read);
        }
        let header = self.ends.header();
        let (capacity, head) = (self.ends.mirror.capacity(), self.head);
        let has_bytes = || Ok(within(head, header.producer.position.load(Acquire), capacity)? > 0);
        self.ends.wait(&header.consumer, &header.producer, has_bytes)?;
        Ok(self.try_read(bytes)?)
    }
}
