//! What every global allocator must do, whatever its configuration.
//!
//! One process has one global allocator: each `tests/global_*.rs` sets `GLOBAL` and includes this room, so that its tests
//! run once per configuration.

mod child;
mod collections;
mod failure;
mod fork;
mod fork_background;
mod model;
mod routes;
mod sequences;
mod signals;
mod stats;
mod storms;
mod threads;

// For tests of one configuration only.
#[allow(unused_imports)]
pub(crate) use model::{Block, Random};
