//! The models.

use super::gauge::Gauge;
use super::handover::{NumberPlace, PointerPlace};
use super::roster::{Member, Roster};
use super::setup::SetUp;
use super::stack::{Counted, Links, Stack};
use super::watch::{Thread, WORTH_A_THREAD, Watch};
use crate::Model;
use crate::lock::Mutex;
use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize, Ordering::*};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::cell::Cell;

pub(crate) const ALL: [Model; 14] = [
    ("lock: one thread at a time, none left asleep", 3, lock),
    ("stack: what is popped is one thread's, and written whole", 3, stack),
    ("stack: the first is popped and pushed again during a pop", 4, stack_again),
    ("counted stack: never fewer counted than are in it, never more than the limit", 3, counted),
    ("counted stack: what was taken is not idle", 3, counted_idle),
    ("place of a run: one thread gets it", 3, pointer_place),
    ("place of a magazine: one thread gets it, with its count", 3, number_place),
    ("gauge: no lower than it was, and the low is kept", 3, gauge),
    ("roster: one owner, and readers of all see whole members", 3, roster),
    ("set-up: once, and seen whole", 3, setup),
    ("watch: what is freed while the thread rests is looked after", 3, watch_rests),
    ("watch: a figure of a moment ago does not hide what is freed", 3, watch_left),
    ("watch: stopped while it starts, rests or is refused", 3, watch_stops),
    ("watch: forbidden while it starts", 3, watch_forbidden),
];

/// What one thread at a time may use: the model checker fails on two at once.
#[derive(Default)]
struct Owned(UnsafeCell<u32>);

// SAFETY: loom checks each access.
unsafe impl Sync for Owned {}
// SAFETY: as above.
unsafe impl Send for Owned {}

impl Owned {
    /// Adds one; returns what was there.
    fn bump(&self) -> u32 {
        // SAFETY: loom has checked that nobody else uses it.
        self.0.with_mut(|value| unsafe {
            *value += 1;
            *value - 1
        })
    }
}

fn lock() {
    let shared = Arc::new(Mutex::new(Owned::default()));
    let others: Vec<_> = (0..2)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.lock().bump())
        })
        .collect();
    shared.lock().bump();
    others.into_iter().for_each(|other| _ = other.join().unwrap());
    assert_eq!(shared.lock().bump(), 3);
}

/// Things with links, and something in each that is its holder's.
struct Things {
    links: [AtomicU32; 4],
    held: [Owned; 4],
}

impl Things {
    fn new() -> Self {
        Self { links: std::array::from_fn(|_| AtomicU32::new(0)), held: std::array::from_fn(|_| Owned::default()) }
    }
}

impl Links for Things {
    fn next(&self, id: u32) -> &AtomicU32 {
        &self.links[id as usize]
    }
}

fn popped_all(things: &Things, mut pop: impl FnMut() -> Option<u32>) -> Vec<u32> {
    let mut ids: Vec<u32> = std::iter::from_fn(|| pop().inspect(|&id| _ = things.held[id as usize].bump())).collect();
    ids.sort_unstable();
    ids
}

fn stack() {
    let shared = Arc::new((Things::new(), Stack::new()));
    shared.1.push(&shared.0, 1);
    let others: Vec<_> = [2, 3]
        .into_iter()
        .map(|id| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (things, stack) = &*shared;
                things.held[id as usize].bump();
                stack.push(things, id);
                let id = stack.pop(things).expect("as many pushes as pops");
                things.held[id as usize].bump();
                stack.push(things, id);
            })
        })
        .collect();
    others.into_iter().for_each(|other| other.join().unwrap());
    let (things, stack) = &*shared;
    assert_eq!(popped_all(things, || stack.pop(things)), [1, 2, 3]);
}

fn stack_again() {
    let shared = Arc::new((Things::new(), Stack::new()));
    (1..=3).for_each(|id| shared.1.push(&shared.0, id));
    let other = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let (things, stack) = &*shared;
            let id = stack.pop(things).expect("there are three");
            things.held[id as usize].bump();
            id
        })
    };
    let (things, stack) = &*shared;
    // The link of the first is another when it comes back.
    let (first, second) = (stack.pop(things).expect("a third is left"), stack.pop(things));
    things.held[first as usize].bump();
    stack.push(things, first);
    let mut out = vec![other.join().unwrap()];
    out.extend(second);
    out.extend(popped_all(things, || stack.pop(things)));
    out.sort_unstable();
    assert_eq!(out, [1, 2, 3]);
}

fn counted() {
    let shared = Arc::new((Things::new(), Counted::new()));
    let putters: Vec<_> = [1, 2]
        .into_iter()
        .map(|id| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (things, stack) = &*shared;
                things.held[id as usize].bump();
                usize::from(stack.put(things, id, 1))
            })
        })
        .collect();
    let (things, stack) = &*shared;
    // A count below what is in it would pass zero here, and panic.
    let taken = (0..2).filter_map(|_| stack.take(things)).inspect(|&id| _ = things.held[id as usize].bump()).count();
    assert!(stack.count() <= 2, "those that are refused count for a moment");
    let put: usize = putters.into_iter().map(|putter| putter.join().unwrap()).sum();
    assert_eq!(stack.count(), put - taken);
    assert!(stack.count() <= 1);
    assert_eq!(popped_all(things, || stack.take(things)).len(), put - taken);
}

fn counted_idle() {
    let shared = Arc::new((Things::new(), Counted::new()));
    let (things, stack) = &*shared;
    (1..=3).for_each(|id| assert!(stack.put(things, id, 3)));
    assert_eq!(stack.idle(), 0, "it began empty");
    let id = stack.take(things).expect("there are three");
    assert!(stack.put(things, id, 3));
    assert_eq!(stack.idle(), 2, "one was needed");
    let other = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let (things, stack) = &*shared;
            let id = stack.take(things).expect("there are three");
            assert!(stack.put(things, id, 3));
        })
    };
    let idle = stack.idle();
    assert!((2..=3).contains(&idle), "{idle}");
    other.join().unwrap();
    // Taken before the first look or after it, it was seen once; in the middle of a look it may count for neither.
    assert!(stack.idle() <= 3);
    assert_eq!((stack.count(), stack.idle()), (3, 3));
}

/// A pointer that stands for a number.
fn pointer(number: usize) -> *mut u8 {
    std::ptr::without_provenance_mut(number)
}

fn pointer_place() {
    let shared = Arc::new((PointerPlace::new(), [Owned::default(), Owned::default(), Owned::default()]));
    let (place, runs) = &*shared;
    let other = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let (place, runs) = &*shared;
            let mut got = 0;
            for _ in 0..2 {
                let run = if place.peek().is_null() { 0 } else { place.take().addr() };
                if run != 0 {
                    runs[run].bump();
                    got += 1;
                }
            }
            got
        })
    };
    // The owner: frees one, frees another in its place, takes what is left.
    let mut got = 0;
    let mut use_run = |run: usize| {
        if run != 0 {
            runs[run].bump();
            got += 1;
        }
    };
    runs[1].bump();
    assert!(place.peek().is_null());
    place.put(pointer(1));
    runs[2].bump();
    use_run(place.replace(pointer(2)).addr());
    use_run(place.take_if(|run| (run.addr() == 2).then_some(2)).unwrap_or(0));
    assert_eq!(place.take_if(|run| (run.addr() == 1).then_some(1)), None);
    let others = other.join().unwrap();
    use_run(place.take().addr());
    assert_eq!(got + others, 2, "each run is got once");
}

fn number_place() {
    /// A magazine: its count is a plain number to all but the model.
    #[derive(Default)]
    struct Magazine {
        count: AtomicU32,
        slots: Owned,
    }
    let shared = Arc::new((NumberPlace::new(), [Magazine::default(), Magazine::default(), Magazine::default()]));
    let (place, magazines) = &*shared;
    let others: Vec<_> = (0..2)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (place, magazines) = &*shared;
                // A reader of counts looks at it without taking it.
                assert!(magazines[place.peek() as usize].count.load(Relaxed) <= 7);
                let magazine = &magazines[place.take() as usize];
                let count = magazine.count.load(Relaxed);
                assert!(count == 7 || std::ptr::eq(magazine, &magazines[0]), "handed over before it was counted");
                if count != 0 {
                    magazine.slots.bump();
                }
                count
            })
        })
        .collect();
    for (id, magazine) in magazines.iter().enumerate().skip(1) {
        if place.peek() == 0 {
            magazine.slots.bump();
            magazine.count.store(7, Relaxed);
            place.put(id as u32);
        }
    }
    let mine = place.take();
    if mine != 0 {
        magazines[mine as usize].slots.bump();
    }
    others.into_iter().for_each(|other| _ = other.join().unwrap());
}

fn gauge() {
    let shared = Arc::new(Mutex::new(()));
    let level = Arc::new(Gauge::new());
    level.set(9);
    assert_eq!(level.lowest(), 0, "it began at 0");
    level.set(4);
    level.set(9);
    assert_eq!(level.lowest(), 4);
    let writers: Vec<_> = [5, 7]
        .into_iter()
        .map(|value| {
            let (shared, level) = (Arc::clone(&shared), Arc::clone(&level));
            thread::spawn(move || {
                let _guard = shared.lock();
                level.set(value);
            })
        })
        .collect();
    let seen = level.lowest();
    assert!([5, 7, 9].contains(&seen), "{seen}");
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let last = level.get();
    assert!([5, 7].contains(&last));
    // The mark may have been set in the middle of a change, but never above what is there.
    assert!(level.lowest() <= last);
    assert_eq!(level.lowest(), last);
}

/// What a cache is to a roster.
struct Cache {
    registered: AtomicPtr<Self>,
    next_free: AtomicPtr<Self>,
    /// Written when it is made, and read by all.
    prepared: UnsafeCell<u32>,
    /// The owner's.
    owned: Owned,
}

// SAFETY: loom checks each access.
unsafe impl Sync for Cache {}

impl Member for Cache {
    fn registered(&self) -> &AtomicPtr<Self> {
        &self.registered
    }

    fn next_free(&self) -> &AtomicPtr<Self> {
        &self.next_free
    }
}

fn roster() {
    let none = std::ptr::null_mut;
    let shared = Arc::new((
        Roster::<Cache>::new(),
        // Members live for ever to the roster; the model's live as long as the model.
        [(); 2].map(|()| Cache {
            registered: AtomicPtr::new(none()),
            next_free: AtomicPtr::new(none()),
            prepared: UnsafeCell::new(0),
            owned: Owned::default(),
        }),
    ));
    fn own(shared: &(Roster<Cache>, [Cache; 2])) {
        let cache = shared.0.take(|number| {
            // SAFETY: the array outlives every thread of the model, and the roster.
            let cache = unsafe { &*std::ptr::from_ref(&shared.1[number]) };
            // SAFETY: loom has checked that nobody else uses it.
            cache.prepared.with_mut(|prepared| unsafe { *prepared = 1 });
            Some(cache)
        });
        let cache = cache.expect("two threads, two caches");
        cache.owned.bump();
        shared.0.put(cache);
    }
    let reader = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let seen = shared.0.all().inspect(|cache| {
                // SAFETY: loom has checked that nobody writes it.
                assert_eq!(cache.prepared.with(|prepared| unsafe { *prepared }), 1);
            });
            assert!(seen.count() <= 2);
        })
    };
    let other = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || (0..2).for_each(|_| own(&shared)))
    };
    (0..2).for_each(|_| own(&shared));
    other.join().unwrap();
    reader.join().unwrap();
    let uses: u32 = shared.0.all().map(|cache| cache.owned.bump()).sum();
    assert_eq!(uses, 4);
}

fn setup() {
    let shared = Arc::new((SetUp::new(), Owned::default(), UnsafeCellOfData(UnsafeCell::new(0))));
    struct UnsafeCellOfData(UnsafeCell<u32>);
    // SAFETY: loom checks each access.
    unsafe impl Sync for UnsafeCellOfData {}
    // SAFETY: as above.
    unsafe impl Send for UnsafeCellOfData {}
    fn come(shared: &(SetUp, Owned, UnsafeCellOfData)) {
        let ready = shared.0.is_ready(|| {
            assert_eq!(shared.1.bump(), 0, "once");
            // SAFETY: loom has checked that nobody else uses it.
            shared.2.0.with_mut(|data| unsafe { *data = 1 });
            true
        });
        assert!(ready && shared.0.was_ready());
        // SAFETY: loom has checked that nobody writes it.
        assert_eq!(shared.2.0.with(|data| unsafe { *data }), 1);
    }
    let others: Vec<_> = (0..2)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || come(&shared))
        })
        .collect();
    come(&shared);
    others.into_iter().for_each(|other| other.join().unwrap());
}

/// The engine as the watch sees it: what is free, and a thread that gives it back.
struct Engine {
    watch: Watch,
    free: AtomicUsize,
    /// The thread that was started last.
    thread: std::sync::Mutex<Option<thread::JoinHandle<()>>>,
    /// Whether the system starts threads.
    grants: bool,
    started: std::sync::atomic::AtomicUsize,
    joined: std::sync::atomic::AtomicUsize,
}

thread_local! {
    /// The engine of this order of the model: all of loom's threads are one thread of the system.
    static ENGINE: Cell<*const Engine> = const { Cell::new(std::ptr::null()) };
}

struct Handle;

fn engine() -> &'static Engine {
    // SAFETY: set by `with_engine`, which outlives every thread of the model.
    unsafe { &*ENGINE.get() }
}

impl Thread for Handle {
    fn start(&self) -> bool {
        let engine = engine();
        if !engine.grants {
            return false;
        }
        let before = engine.started.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let joined = engine.joined.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(before, joined, "the last thread was joined before the next is started");
        let handle = thread::spawn(move || {
            // All that is free is given back at each look.
            engine.watch.run(|| engine.free.swap(0, AcqRel) > 0, || engine.free.load(Relaxed));
        });
        *engine.thread.lock().unwrap() = Some(handle);
        true
    }

    fn join(&self) {
        let handle = engine().thread.lock().unwrap().take();
        handle.expect("a thread that was started, and not joined yet").join().unwrap();
        engine().joined.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

fn with_engine(grants: bool, model: impl FnOnce(&'static Engine)) {
    let made = Box::new(Engine {
        watch: Watch::new(),
        free: AtomicUsize::new(0),
        thread: std::sync::Mutex::new(None),
        grants,
        started: Default::default(),
        joined: Default::default(),
    });
    ENGINE.set(&raw const *made);
    model(engine());
    // Whoever was not joined by the protocol ends before the engine does.
    let left = engine().thread.lock().unwrap().take();
    if let Some(handle) = left {
        handle.join().unwrap();
    }
}

/// A thread of the program frees something, and what it frees is worth a thread.
fn free_much(engine: &'static Engine) {
    let free = engine.free.fetch_add(WORTH_A_THREAD + 1, Relaxed) + WORTH_A_THREAD + 1;
    engine.watch.notice(free, &Handle);
}

fn watch_rests() {
    with_engine(true, |engine| {
        free_much(engine);
        let other = thread::spawn(move || free_much(engine));
        other.join().unwrap();
        let last = engine.thread.lock().unwrap().take();
        last.expect("one was started").join().unwrap();
        let free = engine.free.load(Relaxed);
        assert!(free <= WORTH_A_THREAD, "{free} bytes lie idle and nobody looks after them");
    });
}

fn watch_left() {
    const UNIT: usize = WORTH_A_THREAD + 1;
    with_engine(true, |engine| {
        // A thread has left some that it could not give back, as in the parent of a process whose child this is.
        engine.watch.run(|| false, || 4 * UNIT);
        engine.watch.forget();
        engine.free.store(4 * UNIT, Relaxed);
        // A figure of a moment ago, which is less than the first thread has left.
        let other = thread::spawn(move || engine.watch.notice(2 * UNIT, &Handle));
        let free = engine.free.fetch_add(4 * UNIT, Relaxed) + 4 * UNIT;
        engine.watch.notice(free, &Handle);
        other.join().unwrap();
        free_much(engine);
        let last = engine.thread.lock().unwrap().take();
        last.expect("one was started").join().unwrap();
        let free = engine.free.load(Relaxed);
        assert!(free <= WORTH_A_THREAD, "{free} bytes lie idle and nobody looks after them");
    });
}

fn watch_stops() {
    for grants in [true, false] {
        with_engine(grants, |engine| {
            let other = thread::spawn(move || free_much(engine));
            engine.watch.allow(false, &Handle);
            other.join().unwrap();
        });
    }
}

fn watch_forbidden() {
    with_engine(true, |engine| {
        free_much(engine);
        let other = thread::spawn(move || free_much(engine));
        engine.watch.allow(false, &Handle);
        other.join().unwrap();
        let [started, joined] =
            [&engine.started, &engine.joined].map(|count| count.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(started, joined, "a thread runs although it is forbidden");
    });
}
