//! The engine's protocols between threads, run in every order that the memory model allows, up to a number of preemptions.
//!
//! The files below are the engine's own; `sync` and `sys` stand in for the crate's rooms of these names. Each model is a few
//! threads and what must hold whatever their order. What a model checker cannot see here is said where it matters.
//!
//!     scripts/loom [--long] [part of a model's name]

#![allow(dead_code, reason = "the engine's files have parts that no model uses")]

#[path = "../../../src/lock.rs"]
mod lock;
mod sync;
mod sys;

mod heap {
    #[path = "../../../../src/heap/gauge.rs"]
    mod gauge;
    #[path = "../../../../src/heap/handover.rs"]
    mod handover;
    #[path = "../../../../src/heap/roster.rs"]
    mod roster;
    #[path = "../../../../src/heap/setup.rs"]
    mod setup;
    #[path = "../../../../src/heap/stack.rs"]
    mod stack;
    #[path = "../../../../src/heap/watch.rs"]
    mod watch;

    pub(crate) mod models;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// A model: its name, preemptions in the short form, and its threads.
type Model = (&'static str, usize, fn());

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let long = arguments.iter().any(|argument| argument == "--long");
    let wanted = arguments.iter().find(|argument| !argument.starts_with("--")).map_or("", String::as_str);
    for (name, preemptions, model) in heap::models::ALL {
        if !name.contains(wanted) {
            continue;
        }
        let started = Instant::now();
        let orders = Arc::new(AtomicUsize::new(0));
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions + if long { 2 } else { 0 });
        builder.max_branches = 20_000;
        let counter = Arc::clone(&orders);
        println!("{name} ...");
        builder.check(move || {
            counter.fetch_add(1, Relaxed);
            model();
        });
        println!("    {} orders, {:.1} s", orders.load(Relaxed), started.elapsed().as_secs_f64());
    }
}
