//! A ring whose header anybody may write to, and files that claim to be rings, against a model that knows the positions.
//!
//! ```text
//! cargo +nightly fuzz run ipc -- -max_total_time=60 -max_len=4096
//! ```
//!
//! Checked: an end that finds the other's position out of bounds says so, and one that does not moves exactly the bytes that
//! the bounds allow; what is read at a position is what was written last at it; and a file is a ring if and only if its
//! header and its length say so.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use mapalloc::ipc::ring::{Consumer, Producer, Ring, RingError};
use mapalloc::ipc::{MemoryFile, Seals, SharedPages};
use mapalloc::page_size;

/// Where the header has its words.
const MAGIC: usize = 0;
const CAPACITY: usize = 8;
const TAIL: usize = 128;
const HEAD: usize = 256;

#[derive(Arbitrary, Debug)]
enum Input {
    Ends(u8, Vec<Step>),
    File { pages: u8, more: u8, magic: bool, capacity: Position, head: Position, tail: Position },
    Memory(u16, Vec<Access>),
}

#[derive(Arbitrary, Debug)]
enum Step {
    Write(u16, u8),
    Read(u16),
    Room,
    Available,
    /// Anything to one of the positions, or to any byte of the header but for the first two words.
    PokeHead(Position),
    PokeTail(Position),
    PokeByte(u16, u8),
    /// To both positions, which are then as far apart as they may be, or nearly.
    PokeBoth(Position, u16),
    /// What the ends have there themselves.
    Mend,
    /// Ends the one and takes it anew.
    NewProducer,
    NewConsumer,
}

/// Positions near the bounds, and any others.
#[derive(Clone, Copy, Debug)]
struct Position(u64);

impl<'a> Arbitrary<'a> for Position {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let near = u.int_in_range(0..=3 * page_size() as u64)?;
        Ok(Self(match u.int_in_range(0..=3_u8)? {
            0 => u.arbitrary()?,
            1 => u64::MAX - near,
            2 => 1 << u.int_in_range(0..=63)?,
            _ => near,
        }))
    }
}

#[derive(Arbitrary, Debug)]
enum Access {
    Read(u16, u16),
    Write(u16, u16, u8),
    Grow(u16),
    Seal,
}

fn word(pages: &SharedPages, at: usize) -> u64 {
    let mut bytes = [0; 8];
    pages.read_at(at, &mut bytes).expect("the header is there");
    u64::from_ne_bytes(bytes)
}

fn poke(pages: &SharedPages, at: usize, value: u64) {
    pages.write_at(at, &value.to_ne_bytes()).expect("the header is there");
}

struct Model {
    capacity: u64,
    /// The bytes as they were written last, by position modulo the capacity.
    bytes: Vec<u8>,
    /// The ends' own positions, and the other's as each saw it last.
    tail: u64,
    head: u64,
    seen_head: u64,
    seen_tail: u64,
}

impl Model {
    fn between(&self, head: u64, tail: u64) -> Result<u64, RingError> {
        tail.checked_sub(head).filter(|&bytes| bytes <= self.capacity).ok_or(RingError::Corrupt)
    }

    fn room(&mut self, header: &SharedPages) -> Result<usize, RingError> {
        let head = word(header, HEAD);
        let room = self.capacity - self.between(head, self.tail)?;
        self.seen_head = head;
        Ok(room as usize)
    }

    fn available(&mut self, header: &SharedPages) -> Result<usize, RingError> {
        let tail = word(header, TAIL);
        let available = self.between(self.head, tail)?;
        self.seen_tail = tail;
        Ok(available as usize)
    }

    fn write(&mut self, header: &SharedPages, bytes: &[u8]) -> Result<usize, RingError> {
        let mut room = (self.capacity - self.between(self.seen_head, self.tail)?) as usize;
        if room < bytes.len() {
            room = self.room(header)?;
        }
        let count = room.min(bytes.len());
        self.tail.checked_add(count as u64).ok_or(RingError::Corrupt)?;
        for &byte in &bytes[..count] {
            let at = (self.tail % self.capacity) as usize;
            self.bytes[at] = byte;
            self.tail += 1;
        }
        Ok(count)
    }

    fn read(&mut self, header: &SharedPages, len: usize) -> Result<Vec<u8>, RingError> {
        let mut available = self.between(self.head, self.seen_tail)? as usize;
        if available < len {
            available = self.available(header)?;
        }
        let count = available.min(len) as u64;
        let read = (self.head..self.head + count).map(|at| self.bytes[(at % self.capacity) as usize]).collect();
        self.head += count;
        Ok(read)
    }
}

fn ends(more: u8, steps: &[Step]) {
    let ring = Ring::new(page_size() << (more % 3)).expect("a ring");
    let header = ring.file().map().expect("a map");
    let capacity = ring.capacity();
    let mut model =
        Model { capacity: capacity as u64, bytes: vec![0; capacity], tail: 0, head: 0, seen_head: 0, seen_tail: 0 };
    let mut producer: Option<Producer> = Some(ring.producer().expect("a free end"));
    let mut consumer: Option<Consumer> = Some(ring.consumer().expect("a free end"));
    assert_eq!(ring.producer().expect_err("there is one"), RingError::Taken);
    assert_eq!(ring.consumer().expect_err("there is one"), RingError::Taken);
    for step in steps {
        match *step {
            Step::Write(len, byte) => {
                let Some(producer) = &mut producer else { continue };
                let bytes: Vec<u8> = (0..len).map(|n| byte.wrapping_add(n as u8)).collect();
                let written = producer.try_write(&bytes);
                assert_eq!(written, model.write(&header, &bytes));
                if written.is_ok_and(|count| count > 0) {
                    assert_eq!(word(&header, TAIL), model.tail, "the header has another layout than this file knows");
                }
            }
            Step::Read(len) => {
                let Some(consumer) = &mut consumer else { continue };
                let mut bytes = vec![0; usize::from(len)];
                let read = consumer.try_read(&mut bytes);
                let expected = model.read(&header, bytes.len());
                assert_eq!(read.map(|count| bytes[..count].to_vec()), expected);
                if read.is_ok_and(|count| count > 0) {
                    assert_eq!(word(&header, HEAD), model.head, "the header has another layout than this file knows");
                }
            }
            Step::Room => {
                let Some(producer) = &mut producer else { continue };
                assert_eq!(producer.room(), model.room(&header));
            }
            Step::Available => {
                let Some(consumer) = &mut consumer else { continue };
                assert_eq!(consumer.available(), model.available(&header));
            }
            Step::PokeHead(Position(at)) => poke(&header, HEAD, at),
            Step::PokeTail(Position(at)) => poke(&header, TAIL, at),
            Step::PokeBoth(Position(at), apart) => {
                poke(&header, HEAD, at);
                poke(&header, TAIL, at.wrapping_add(apart.into()));
            }
            Step::PokeByte(at, byte) => {
                let at = 16 + usize::from(at) % (page_size() - 16);
                header.write_at(at, &[byte]).expect("the header is there");
            }
            Step::Mend => {
                poke(&header, HEAD, model.head);
                poke(&header, TAIL, model.tail);
            }
            Step::NewProducer => {
                drop(producer.take());
                let (head, tail) = (word(&header, HEAD), word(&header, TAIL));
                let is_sound = model.between(head, tail).is_ok();
                let new = ring.producer();
                assert_eq!(new.as_ref().err(), (!is_sound).then_some(&RingError::Corrupt));
                if is_sound {
                    (model.tail, model.seen_head) = (tail, head);
                }
                producer = new.ok();
            }
            Step::NewConsumer => {
                drop(consumer.take());
                let (head, tail) = (word(&header, HEAD), word(&header, TAIL));
                let is_sound = model.between(head, tail).is_ok();
                let new = ring.consumer();
                assert_eq!(new.as_ref().err(), (!is_sound).then_some(&RingError::Corrupt));
                if is_sound {
                    (model.head, model.seen_tail) = (head, tail);
                }
                consumer = new.ok();
            }
        }
    }
}

fn file(len: usize, magic: bool, capacity: u64, head: u64, tail: u64) {
    // The magic word of a ring that is one.
    let real = word(&Ring::new(1).and_then(|ring| Ok(ring.file().map()?)).expect("a ring"), MAGIC);
    let file = MemoryFile::growing(c"fuzz", len).expect("a file");
    if len >= page_size() {
        let pages = file.map().expect("a map");
        poke(&pages, MAGIC, if magic { real } else { real ^ tail });
        poke(&pages, CAPACITY, capacity);
        poke(&pages, HEAD, head);
        poke(&pages, TAIL, tail);
    }
    let is_ring = len > page_size()
        && (magic || tail == 0)
        && capacity.is_power_of_two()
        && capacity.is_multiple_of(page_size() as u64)
        && capacity == (len - page_size()) as u64;
    let ring = Ring::from_file(file);
    assert_eq!(ring.is_ok(), is_ring, "{len} bytes, capacity {capacity}: {ring:?}");
    let Ok(ring) = ring else { return };
    let is_sound = tail.checked_sub(head).is_some_and(|bytes| bytes <= capacity);
    assert_eq!(ring.producer().is_ok(), is_sound);
    assert_eq!(ring.consumer().is_ok(), is_sound);
}

fn memory(len: u16, accesses: &[Access]) {
    let file = MemoryFile::growing(c"fuzz", len.into()).expect("a file");
    let mut model = vec![0; len.into()];
    let mut sealed = false;
    for access in accesses {
        let mut pages = (!sealed).then(|| file.map().expect("a map"));
        if sealed {
            // An empty one has no pages to write to.
            assert!(model.is_empty() || file.map().is_err(), "a map for writing of a sealed file");
            pages = Some(file.map_read_only().expect("a map"));
        }
        let pages = pages.expect("one of the two");
        assert_eq!((pages.len(), file.len().expect("a length")), (model.len(), model.len()));
        match *access {
            Access::Read(at, len) => {
                let (at, mut bytes) = (usize::from(at), vec![1; len.into()]);
                let read = pages.read_at(at, &mut bytes);
                let expected = model.get(at..at + bytes.len());
                assert_eq!(read.is_ok(), expected.is_some());
                assert!(expected.is_none_or(|expected| bytes == expected));
            }
            Access::Write(at, len, byte) => {
                let range = usize::from(at)..usize::from(at) + usize::from(len);
                let written = pages.write_at(range.start, &vec![byte; len.into()]);
                let target = model.get_mut(range).filter(|_| !sealed);
                assert_eq!(written.is_ok(), target.is_some());
                target.into_iter().for_each(|target| target.fill(byte));
            }
            Access::Grow(to) => {
                let to = usize::from(to);
                assert_eq!(file.grow(to).is_ok(), !sealed || to <= model.len());
                if !sealed {
                    model.resize(model.len().max(to), 0);
                }
            }
            Access::Seal => {
                drop(pages);
                file.add_seals(Seals::WRITE | Seals::GROW).expect("nobody has it mapped for writing");
                sealed = true;
                assert_eq!(*file.seal().expect("sealed pages"), *model);
            }
        }
    }
}

fuzz_target!(|input: Input| match input {
    Input::Ends(more, steps) => ends(more, &steps),
    Input::File { pages, more, magic, capacity, head, tail } => {
        let len = usize::from(pages % 6) * page_size() + usize::from(more % 4) / 3;
        let capacity = if more & 128 == 0 { len.saturating_sub(page_size()) as u64 } else { capacity.0 };
        file(len, magic, capacity, head.0, tail.0);
    }
    Input::Memory(len, accesses) => memory(len, &accesses[..accesses.len().min(64)]),
});
