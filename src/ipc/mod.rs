//! Memory that processes share: [`SharedPages`] for children of `fork`, [`MemoryFile`] to be passed by its descriptor,
//! [`NamedMemory`] to be found by a name, and a [`ring`] of bytes between two of them.
//!
//! # What is sound when another process writes
//! A `&[u8]` promises that nobody writes while it lives, and no process can promise that for another. So memory that others
//! can write to is copied in and out by the kernel ([`SharedPages::read_at`], [`SharedPages::write_at`]), or used as atomics
//! of one size ([`SharedPages::atomic_bytes`], [`SharedAtomics`]). Plain references come where the kernel guarantees that nobody writes
//! ([`MemoryFile::seal`] and [`SealedPages`]), and from `unsafe` functions for those who know.
//!
//! # What a peer can still do
//! A file that is made shorter takes the pages from everyone who has them mapped. Copies in and out then are errors; touching
//! the pages, as atomics do, ends the process by `SIGBUS`, which is no undefined behaviour, but an end. So a [`MemoryFile`] is
//! sealed against shrinking before it is mapped. Named memory knows no seals: whoever may open it for writing may shorten it,
//! and its mode should say who that is.

mod atomics;
mod copy;
mod file;
mod mirror;
mod named;
mod pages;
pub mod ring;

pub use crate::atomic::Atomic;
pub use atomics::SharedAtomics;
pub use file::{MemoryFile, SealedPages, Seals};
pub use named::{NamedError, NamedMemory};
pub use pages::SharedPages;
