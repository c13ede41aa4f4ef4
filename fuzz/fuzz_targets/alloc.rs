//! Any list of calls to `PageAlloc`, three forms of it and two threads, against a model of what is live.
//!
//! ```text
//! cargo +nightly fuzz run alloc -- -max_total_time=60 -max_len=4096
//! ```
//!
//! Checked: alignment, no overlap, contents kept (both ends and a sample of the pages), zeros zero, and at the end, when
//! all is freed, that the routes' figures are back at the start.
//!
//! `PageAlloc` is called directly and is not the global allocator: the fuzzer's own memory must not disturb the figures.
//! But the engine is one per process, so the state of one input is met by the next: a crash may need the inputs before.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use mapalloc::PageAlloc;
use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex};
use std::thread;

/// The default form, with the fallback heap counted, so that what is left there shows too.
static DEFAULT: PageAlloc = PageAlloc::new().with_fallback_counts(true);
static SLABS_ONLY: PageAlloc = PageAlloc::new().with_small_limit(0);
static HARDENED: PageAlloc = PageAlloc::new().hardened();

/// No list of calls may exhaust the machine, or the fuzzer's own limit.
const MOST_LIVE_BYTES: usize = 512 << 20;
const MOST_LIVE: usize = 4096;
const LARGEST: usize = 64 << 20;
const PAGE: usize = 4096;

#[derive(Arbitrary, Debug)]
enum Call {
    Alloc { heap: Heap, zeroed: bool, size: Size, align: Align },
    Realloc { which: u16, size: Size },
    Free { which: u16 },
    FreeElsewhere { which: u16 },
    Purge,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Heap {
    Default,
    SlabsOnly,
    Hardened,
}

/// Small ones, any up to the largest, and those within 16 bytes of a power of two or three quarters of one.
#[derive(Debug)]
struct Size(usize);

impl<'a> Arbitrary<'a> for Size {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let size = match u.int_in_range(0..=5_u8)? {
            0 | 1 => u.int_in_range(1..=1200)?,
            2 => u.int_in_range(1..=40 << 10)?,
            3 => u.int_in_range(1..=LARGEST)?,
            _ => {
                let power = 1_usize << u.int_in_range(4..=26_u32)?;
                let base = if u.arbitrary()? { power } else { power / 4 * 3 };
                (base + u.int_in_range(0..=32_usize)?).saturating_sub(16)
            }
        };
        Ok(Self(size.clamp(1, LARGEST)))
    }
}

/// From 1 to 2 MiB, mostly small.
#[derive(Debug)]
struct Align(usize);

impl<'a> Arbitrary<'a> for Align {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let most = if u.ratio(3, 4)? { 4 } else { 21 };
        Ok(Self(1 << u.int_in_range(0..=most)?))
    }
}

/// A live allocation. Its contents follow from `seed`.
struct Object {
    heap: &'static PageAlloc,
    ptr: *mut u8,
    layout: Layout,
    seed: u8,
}

// SAFETY: an object owns its memory, as a `Box<[u8]>` does.
unsafe impl Send for Object {}

/// The places that are written and checked: the first and the last 32 bytes, and 32 at the start of some pages. All but
/// the last ones are the same for every size.
fn places(size: usize) -> impl Iterator<Item = usize> {
    let pages = (0..).map(|n: usize| if n < 16 { n * PAGE } else { (n - 15) * 16 * PAGE });
    pages
        .take_while(move |at| *at < size)
        .flat_map(move |at| at..(at + 32).min(size))
        .chain(size.saturating_sub(32)..size)
}

impl Object {
    fn byte(&self, at: usize) -> u8 {
        self.seed.wrapping_add((at / PAGE) as u8) | 1
    }

    fn write(&mut self) {
        for at in places(self.layout.size()) {
            // SAFETY: `places` are inside the object.
            unsafe { self.ptr.add(at).write(self.byte(at)) };
        }
    }

    fn check(&self, len: usize) {
        for at in places(self.layout.size()).filter(|&at| at < len) {
            // SAFETY: `places` are inside the object, and `write` has written them.
            let found = unsafe { self.ptr.add(at).read() };
            assert_eq!(found, self.byte(at), "{:?} at {:?}: byte {at} changed", self.layout, self.ptr);
        }
    }

    fn assert_zero(&self) {
        let size = self.layout.size();
        // Any byte may be left of another object: small ones are read whole, of large ones a little of every page.
        let every = if size <= 64 << 10 { 1 } else { 509 };
        for at in places(size).chain((0..size).step_by(every)) {
            // SAFETY: inside the object, which is said to be zeroed.
            let found = unsafe { self.ptr.add(at).read() };
            assert_eq!(found, 0, "{:?} at {:?}: byte {at} is not zero", self.layout, self.ptr);
        }
    }

    fn free(self) {
        self.check(self.layout.size());
        // SAFETY: allocated by this heap with this layout, and gone after this.
        unsafe { self.heap.dealloc(self.ptr, self.layout) };
    }
}

/// The thread that frees for the fuzzer's, and says when it has.
static OTHER: LazyLock<Mutex<SyncSender<(Object, SyncSender<()>)>>> = LazyLock::new(|| {
    let (sender, receiver) = sync_channel::<(Object, SyncSender<()>)>(0);
    thread::spawn(move || {
        for (object, done) in receiver {
            object.free();
            _ = done.send(());
        }
    });
    Mutex::new(sender)
});

fn free_elsewhere(object: Object) {
    let (done, wait) = sync_channel(0);
    let sender = OTHER.lock().expect("no panic");
    sender.send((object, done)).expect("the other thread lives");
    wait.recv().expect("the other thread found the contents as they were");
}

#[derive(Default)]
struct Model {
    objects: Vec<Object>,
    /// Where each ends, by where it starts.
    ranges: BTreeMap<usize, usize>,
    live_bytes: usize,
}

impl Model {
    fn insert(&mut self, object: Object) {
        let (start, size) = (object.ptr as usize, object.layout.size());
        assert_eq!(start % object.layout.align(), 0, "{:?} at {start:x} is not aligned", object.layout);
        let before = self.ranges.range(..start + size).next_back();
        assert!(before.is_none_or(|(_, &end)| end <= start), "{start:x} + {size} overlaps {before:x?}");
        self.ranges.insert(start, start + size);
        self.live_bytes += size;
        self.objects.push(object);
    }

    fn remove(&mut self, which: u16) -> Option<Object> {
        if self.objects.is_empty() {
            return None;
        }
        let object = self.objects.swap_remove(usize::from(which) % self.objects.len());
        self.ranges.remove(&(object.ptr as usize));
        self.live_bytes -= object.layout.size();
        Some(object)
    }

    fn has_room(&self, size: usize) -> bool {
        self.objects.len() < MOST_LIVE && self.live_bytes + size <= MOST_LIVE_BYTES
    }

    fn call(&mut self, call: &Call, seed: u8) {
        match *call {
            Call::Alloc { heap, zeroed, size: Size(size), align: Align(align) } if self.has_room(size) => {
                let heap = match heap {
                    Heap::Default => &DEFAULT,
                    Heap::SlabsOnly => &SLABS_ONLY,
                    Heap::Hardened => &HARDENED,
                };
                let layout = Layout::from_size_align(size, align).expect("a valid layout");
                // SAFETY: the size is not zero.
                let ptr = unsafe { if zeroed { heap.alloc_zeroed(layout) } else { heap.alloc(layout) } };
                assert!(!ptr.is_null(), "no memory for {layout:?} with {} bytes live", self.live_bytes);
                let mut object = Object { heap, ptr, layout, seed };
                if zeroed {
                    object.assert_zero();
                }
                object.write();
                self.insert(object);
            }
            Call::Realloc { which, size: Size(size) } if self.has_room(size) => {
                let Some(mut object) = self.remove(which) else { return };
                let old = object.layout;
                // SAFETY: allocated by this heap with this layout; the new size is neither zero nor too large.
                let ptr = unsafe { object.heap.realloc(object.ptr, old, size) };
                assert!(!ptr.is_null(), "no memory to go from {old:?} to {size} bytes");
                object.ptr = ptr;
                object.check(old.size().min(size));
                object.layout = Layout::from_size_align(size, old.align()).expect("a valid layout");
                object.write();
                self.insert(object);
            }
            Call::Free { which } => self.remove(which).into_iter().for_each(Object::free),
            Call::FreeElsewhere { which } => self.remove(which).into_iter().for_each(free_elsewhere),
            Call::Purge => _ = DEFAULT.purge(),
            Call::Alloc { .. } | Call::Realloc { .. } => {}
        }
    }
}

fuzz_target!(|calls: Vec<Call>| {
    let routes = || {
        let stats = DEFAULT.stats();
        [stats.fallback, stats.slab, stats.run, stats.large]
    };
    let before = routes();
    let mut model = Model::default();
    for (seed, call) in calls.iter().enumerate() {
        model.call(call, seed as u8);
    }
    for (n, object) in model.objects.drain(..).enumerate() {
        if n % 4 == 3 { free_elsewhere(object) } else { object.free() }
    }
    assert_eq!(routes(), before, "everything was freed");
    DEFAULT.purge();
});
