//! Elements that account for every clone and drop, and that panic when told to.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PANICKED_IN: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What [`Ledger::tick`] panics with.
pub(crate) struct Fuse;

/// Runs code that may panic, without the panic's message on standard error.
pub(crate) fn quietly<R>(run: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            } else if let Some(location) = info.location() {
                PANICKED_IN.replace(location.file().to_string());
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    result
}

/// The file that the last quiet panic of this thread named.
pub(crate) fn panicked_in() -> String {
    PANICKED_IN.take()
}

/// The account of a set of elements.
#[derive(Default)]
pub(crate) struct Ledger {
    live: RefCell<HashSet<u64>>,
    next_serial: Cell<u64>,
    fuse: Cell<Option<u32>>,
    dropped_twice: Cell<bool>,
}

impl Ledger {
    pub(crate) fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Lets the `steps`th event from now on panic.
    pub(crate) fn arm(&self, steps: Option<u32>) {
        self.fuse.set(steps);
    }

    /// An event: a clone, a drop, a call of a closure.
    pub(crate) fn tick(&self) {
        match self.fuse.get() {
            Some(0) if !std::thread::panicking() => {
                self.fuse.set(None);
                std::panic::panic_any(Fuse);
            }
            steps => self.fuse.set(steps.map(|steps| steps.saturating_sub(1))),
        }
    }

    /// The number of elements that are alive.
    #[track_caller]
    pub(crate) fn live(&self) -> usize {
        assert!(!self.dropped_twice.get(), "an element was dropped twice");
        self.live.borrow().len()
    }
}

/// An element: a value, and something to make it larger or more aligned.
pub(crate) struct Item<P: Copy> {
    pub(crate) value: u32,
    pub(crate) pad: P,
    serial: u64,
    ledger: Rc<Ledger>,
}

impl<P: Copy> Item<P> {
    pub(crate) fn new(ledger: &Rc<Ledger>, value: u32, pad: P) -> Self {
        let serial = ledger.next_serial.get();
        ledger.next_serial.set(serial + 1);
        ledger.live.borrow_mut().insert(serial);
        Self { value, pad, serial, ledger: Rc::clone(ledger) }
    }

    /// Whether it is initialised and not dropped yet, as far as its own words can be trusted.
    pub(crate) fn is_live(&self) -> bool {
        self.ledger.live.borrow().contains(&self.serial)
    }
}

impl<P: Copy> Clone for Item<P> {
    fn clone(&self) -> Self {
        self.ledger.tick();
        Self::new(&self.ledger, self.value, self.pad)
    }
}

impl<P: Copy> Drop for Item<P> {
    fn drop(&mut self) {
        if !self.ledger.live.borrow_mut().remove(&self.serial) {
            self.ledger.dropped_twice.set(true);
        }
        self.ledger.tick();
    }
}

impl<P: Copy> PartialEq for Item<P> {
    fn eq(&self, other: &Self) -> bool {
        self.ledger.tick();
        self.value == other.value
    }
}
