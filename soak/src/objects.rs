//! Objects of every kind that the crate and the standard library have, which know what is in them.
//!
//! The contents of an object follow from its seed and its length. They are compared when it is freed, when it is changed,
//! and whenever somebody looks.

use crate::block::Block;
use crate::contents::{Random, check, fill};
use mapalloc::map::{Features, Lock, MapOptions, Mapping, Protect, Protected, ReadOnly};
use mapalloc::{PageBox, PageVec, Secret, Shared};
use std::collections::{BTreeMap, HashMap};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What was done, over all objects of a kind.
#[derive(Debug)]
pub struct Counts {
    pub made: AtomicU64,
    pub changed: AtomicU64,
    pub checked: AtomicU64,
    pub freed: AtomicU64,
}

impl Counts {
    const fn new() -> Self {
        let zero = AtomicU64::new;
        Self { made: zero(0), changed: zero(0), checked: zero(0), freed: zero(0) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Block,
    Vector,
    Text,
    HashMap,
    BTreeMap,
    PageVec,
    PageBox,
    Mapping,
    Protected,
    Shared,
    Secret,
}

/// The kinds, with how many of a hundred objects are of each. Those that have mappings of their own are few: a process can
/// have 65,530.
pub const KINDS: [(Kind, &str, usize); 11] = [
    (Kind::Block, "block", 34),
    (Kind::Vector, "Vec", 16),
    (Kind::Text, "String", 14),
    (Kind::HashMap, "HashMap", 8),
    (Kind::BTreeMap, "BTreeMap", 8),
    (Kind::PageVec, "PageVec", 6),
    (Kind::PageBox, "PageBox", 3),
    (Kind::Mapping, "Mapping", 4),
    (Kind::Protected, "Protected", 2),
    (Kind::Shared, "Shared", 2),
    (Kind::Secret, "Secret", 3),
];

pub static COUNTS: [Counts; KINDS.len()] = [const { Counts::new() }; KINDS.len()];

/// Sizes are below these powers of two, in bytes.
const LARGEST_BLOCK: u32 = 24;
const LARGEST_PAGES: u32 = 22;
const LARGEST_ENTRY: u32 = 10;

/// What is wrong with an object.
#[derive(Debug)]
pub struct Fault(pub String);

enum Body {
    Block(Block),
    Vector(Vec<u8>),
    Text(String),
    HashMap(HashMap<u64, Vec<u8>>),
    BTreeMap(BTreeMap<u64, Box<[u8]>>),
    PageVec(PageVec<u8>),
    PageBox(PageBox<[u8]>),
    Mapping(Mapping),
    Protected(Protected<PageVec<u8>, ReadOnly>),
    Shared(Shared<u8>),
    Secret(Secret<[u8]>),
}

pub struct Object {
    kind: Kind,
    seed: u64,
    /// Of bytes, or of entries.
    len: usize,
    body: Body,
}

impl Object {
    /// An object of any kind.
    pub fn any(random: &mut Random) -> Result<Self, Fault> {
        let mut share = random.below(100);
        for (kind, _, percent) in KINDS {
            if share < percent {
                return Self::new(kind, random);
            }
            share -= percent;
        }
        Self::new(Kind::Block, random)
    }

    pub fn new(kind: Kind, random: &mut Random) -> Result<Self, Fault> {
        let seed = random.next();
        // Most are of a size of which thousands are live at a time.
        let is_large = random.below(10) == 0;
        let len = match kind {
            Kind::Block | Kind::Vector => random.magnitude(if is_large { LARGEST_BLOCK } else { 15 }),
            Kind::Text => random.magnitude(14),
            Kind::HashMap | Kind::BTreeMap => random.magnitude(7),
            Kind::Secret => random.magnitude(11),
            _ => random.magnitude(if is_large { LARGEST_PAGES } else { 16 }),
        };
        let body = match kind {
            Kind::Block => Body::Block(Block::new(random, len)?),
            // Pushed to its length, so that it grows as vectors do.
            Kind::Vector => {
                let mut bytes = Vec::new();
                while bytes.len() < len {
                    bytes.resize((bytes.len() * 2 + 8).min(len), 0);
                }
                Body::Vector(bytes)
            }
            Kind::Text => Body::Text(text(seed, len)),
            Kind::HashMap => Body::HashMap((0..len as u64).map(|key| (key, entry(seed, key).into())).collect()),
            Kind::BTreeMap => Body::BTreeMap((0..len as u64).map(|key| (key, entry(seed, key))).collect()),
            Kind::PageVec | Kind::Protected | Kind::Shared => {
                let mut bytes = match random.below(3) {
                    0 => PageVec::new(),
                    1 => PageVec::with_reserved(4 << LARGEST_PAGES),
                    _ => PageVec::with_options(len, options(random)).map_err(refused)?,
                };
                bytes.resize(len, 0);
                match kind {
                    Kind::PageVec => Body::PageVec(bytes),
                    Kind::Shared => {
                        fill(seed, &mut bytes);
                        Body::Shared(bytes.into_shared())
                    }
                    _ => {
                        fill(seed, &mut bytes);
                        Body::Protected(bytes.into_read_only().map_err(|refusal| refused(refusal.error()))?)
                    }
                }
            }
            Kind::PageBox => {
                let mut bytes = PageBox::new_uninit_slice_with(len, options(random)).map_err(refused)?;
                bytes.fill(MaybeUninit::new(0));
                // SAFETY: all of it is written.
                Body::PageBox(unsafe { bytes.assume_init() })
            }
            Kind::Mapping => {
                let options = options(random);
                let pages = if random.below(2) == 0 {
                    options.map(len)
                } else {
                    options.reserve(len * 2).and_then(|mut pages| pages.commit(len).map(|()| pages))
                };
                Body::Mapping(pages.map_err(refused)?)
            }
            Kind::Secret => Body::Secret(Secret::slice_from_fn(len, |bytes| fill(seed, bytes)).map_err(refused)?),
        };
        let mut object = Self { kind, seed, len, body };
        if let Some(bytes) = object.bytes_mut() {
            fill(seed, bytes);
        }
        object.counts().made.fetch_add(1, Relaxed);
        Ok(object)
    }

    fn counts(&self) -> &'static Counts {
        &COUNTS[self.kind as usize]
    }

    /// The bytes of the object, without what it has in reserve.
    pub fn size(&self) -> usize {
        match &self.body {
            Body::HashMap(map) => map.values().map(|entry| entry.len() + 32).sum(),
            Body::BTreeMap(map) => map.values().map(|entry| entry.len() + 24).sum(),
            Body::Mapping(pages) => pages.len(),
            _ => self.len,
        }
    }

    /// The contents, where they are one piece that can be written to.
    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        match &mut self.body {
            Body::Block(block) => Some(block.bytes_mut()),
            Body::Vector(bytes) => Some(bytes),
            Body::PageVec(bytes) => Some(bytes),
            Body::PageBox(bytes) => Some(bytes),
            Body::Mapping(pages) => Some(&mut pages[..self.len]),
            _ => None,
        }
    }

    /// Compares the contents.
    pub fn check(&self) -> Result<(), Fault> {
        self.counts().checked.fetch_add(1, Relaxed);
        let fault = |what: String| Fault(format!("{:?} of {} with seed {:#x}: {what}", self.kind, self.len, self.seed));
        let compare = |bytes: &[u8]| match check(self.seed, bytes) {
            Ok(()) if bytes.len() == self.len => Ok(()),
            Ok(()) => Err(fault(format!("it has {} bytes", bytes.len()))),
            Err(at) => Err(fault(format!("its contents have changed at byte {at}"))),
        };
        let pairs = |len: usize, mut wrong: Box<dyn Iterator<Item = u64> + '_>| match wrong.next() {
            None if len == self.len => Ok(()),
            None => Err(fault(format!("it has {len} entries"))),
            Some(key) => Err(fault(format!("its entry {key} has changed"))),
        };
        let is_wrong = |key: u64, bytes: &[u8]| key >= self.len as u64 || *bytes != *entry(self.seed, key);
        match &self.body {
            Body::Block(block) => compare(block.bytes()),
            Body::Vector(bytes) => compare(bytes),
            Body::Text(bytes) if *bytes == text(self.seed, self.len) => Ok(()),
            Body::Text(_) => Err(fault("its text has changed".into())),
            Body::HashMap(map) => {
                pairs(map.len(), Box::new(map.iter().filter(|(key, v)| is_wrong(**key, v)).map(|(key, _)| *key)))
            }
            Body::BTreeMap(map) => {
                pairs(map.len(), Box::new(map.iter().filter(|(key, v)| is_wrong(**key, v)).map(|(key, _)| *key)))
            }
            Body::PageVec(bytes) => compare(bytes),
            Body::PageBox(bytes) => compare(bytes),
            Body::Mapping(pages) => compare(&pages[..self.len]),
            Body::Protected(bytes) => compare(bytes),
            Body::Shared(bytes) => compare(bytes),
            Body::Secret(bytes) => compare(&bytes.try_read().map_err(refused)?),
        }
    }

    /// Changes the size, or what lies behind it, and checks what came along.
    pub fn change(&mut self, random: &mut Random) -> Result<(), Fault> {
        self.check()?;
        self.counts().changed.fetch_add(1, Relaxed);
        let (seed, old) = (self.seed, self.len);
        let grown = random.below(3 * old + 64) + 1;
        match &mut self.body {
            Body::Block(block) => {
                let len = grown.min(2 << LARGEST_BLOCK);
                block.resize(len)?;
                came_along(seed, old, block.bytes())?;
                self.len = len;
            }
            Body::Vector(bytes) => {
                let len = grown.min(2 << LARGEST_BLOCK);
                bytes.resize(len, 0);
                if random.below(2) == 0 {
                    bytes.shrink_to_fit();
                }
                came_along(seed, old, bytes)?;
                self.len = len;
            }
            Body::Text(bytes) => {
                bytes.truncate(grown.min(bytes.len()));
                bytes.shrink_to_fit();
                self.len = bytes.len();
            }
            Body::HashMap(map) => {
                self.len = grown.min(256);
                map.retain(|key, _| *key < self.len as u64);
                for key in 0..self.len as u64 {
                    map.entry(key).or_insert_with(|| entry(self.seed, key).into());
                }
            }
            Body::BTreeMap(map) => {
                self.len = grown.min(256);
                _ = map.split_off(&(self.len as u64));
                for key in 0..self.len as u64 {
                    map.entry(key).or_insert_with(|| entry(self.seed, key));
                }
            }
            Body::PageVec(bytes) => {
                let len = grown.min(2 << LARGEST_PAGES);
                bytes.resize(len, 0);
                match random.below(3) {
                    0 => bytes.shrink_to_fit(),
                    1 => bytes.decommit().map_err(refused)?,
                    _ => {}
                }
                came_along(seed, old, bytes)?;
                self.len = len;
            }
            Body::Mapping(pages) => {
                let len = grown.min(2 << LARGEST_PAGES);
                if len > pages.len() { pages.grow(len) } else { pages.shrink(len) }.map_err(refused)?;
                came_along(seed, old, &pages[..len])?;
                let from = random.below(len);
                let to = from + random.below(len - from + 1);
                pages.decommit(from..to).map_err(refused)?;
                if let Some(at) = pages[from..to].iter().position(|&byte| byte != 0) {
                    return Err(Fault(format!("byte {} of a mapping is not zero after {from}..{to} went", from + at)));
                }
                self.len = len;
            }
            Body::Secret(bytes) => {
                self.seed = random.next();
                fill(self.seed, &mut bytes.try_write().map_err(refused)?);
            }
            Body::PageBox(_) | Body::Protected(_) | Body::Shared(_) => {}
        }
        if let Some(bytes) = self.bytes_mut() {
            fill(seed, bytes);
        }
        Ok(())
    }

    /// Changes one byte behind the object's back, if it can be written to.
    pub fn corrupt(&mut self) -> bool {
        let middle = self.len / 2;
        self.bytes_mut().is_some_and(|bytes| {
            bytes[middle] ^= 1;
            true
        })
    }

    /// Checks it for the last time and drops it.
    pub fn free(self) -> Result<(), Fault> {
        self.counts().freed.fetch_add(1, Relaxed);
        self.check()
    }
}

/// After a change of size: what was there before and fits still is there.
fn came_along(seed: u64, old: usize, bytes: &[u8]) -> Result<(), Fault> {
    let len = bytes.len();
    check(seed, &bytes[..old.min(len) & !7])
        .map_err(|at| Fault(format!("from {old} to {len} bytes: byte {at} did not come along")))
}

fn refused(error: mapalloc::Error) -> Fault {
    Fault(format!("refused: {error}"))
}

/// The value of a key in the maps.
fn entry(seed: u64, key: u64) -> Box<[u8]> {
    let mut random = Random::new(seed ^ key);
    let mut bytes = vec![0; random.magnitude(LARGEST_ENTRY)];
    fill(seed ^ key, &mut bytes);
    bytes.into()
}

/// A text of `len` bytes.
fn text(seed: u64, len: usize) -> String {
    let mut bytes = vec![0; len];
    fill(seed, &mut bytes);
    bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

fn options(random: &mut Random) -> MapOptions {
    let options = MapOptions::new().guard_pages(random.below(3), random.below(3)).dump(random.below(2) == 0);
    match random.below(6) {
        0 => options.align(1 << 16),
        1 => options.populate(true),
        2 => options.lock(Lock::OnFault).best_effort(Features::LOCK),
        3 => options.huge_pages(true),
        4 => options.huge_pages(false),
        _ => options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_keeps_its_contents_through_changes_and_notices_a_byte() {
        assert_eq!(KINDS.iter().map(|(_, _, percent)| percent).sum::<usize>(), 100);
        for (n, (kind, ..)) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, n);
            let mut random = Random::new(n as u64);
            for _ in 0..10 {
                let mut object = Object::new(kind, &mut random).unwrap();
                for _ in 0..3 {
                    object.change(&mut random).unwrap();
                }
                object.check().unwrap();
                if object.corrupt() {
                    object.check().unwrap_err();
                    assert!(object.corrupt(), "the byte is put right");
                }
                object.free().unwrap();
            }
        }
    }
}
