//! A page-aligned allocator on anonymous `mmap`: a global allocator, and containers whose storage is whole pages.
//!
//! The heap of the C library treats large and page-aligned memory badly: it copies when a vector grows, clears memory that
//! the kernel has cleared already, faults the same pages in again and again, keeps what was freed, and gives no control
//! over pages. Asking the kernel directly gives pages that are aligned, zero, private, returnable and movable without a
//! copy. This crate does that in two ways, on one engine.
//!
//! # For the whole program: [`PageAlloc`]
//!
//! ```
//! use mapalloc::PageAlloc;
//!
//! #[global_allocator]
//! static GLOBAL: PageAlloc = PageAlloc::new();
//!
//! let mut table = vec![0u64; 8 << 20]; // 64 MiB that no byte of is touched yet
//! table[1_000_000] = 1;
//! drop(table);
//! println!("{:?}", GLOBAL.stats());
//! ```
//!
//! Small objects stay on the system's heap unless
//! [`with_small_limit(0)`](PageAlloc::with_small_limit) gives every size to the slabs.
//!
//! # For one value: [`PageBox`] and [`PageVec`]
//!
//! ```
//! use mapalloc::{PageVec, page_size};
//!
//! let mut log: PageVec<u64> = PageVec::new();
//! log.extend(0..100_000); // grows by moving pages, not elements
//! assert_eq!(log.as_ptr().addr() % page_size(), 0);
//! assert_eq!(log.iter().sum::<u64>(), 4_999_950_000);
//! ```
//!
//! What a `Vec` cannot do: a vector with [reserved addresses](PageVec::with_reserved) whose elements never move,
//! [zeroed growth](PageVec::resize_zeroed_unchecked) without a memset, [memory given back](PageVec::decommit) while the room
//! stays, and a [frozen vector](PageVec::into_shared) that many own and cut into parts without a copy.
//!
//! # For those who want the pages themselves: [`map`]
//!
//! [`map::Mapping`] is an owned range of pages with reserve and commit, growth in place and by moving, and advice to the
//! kernel. [`map::MapOptions`] says how pages are made, those of mappings, boxes and vectors alike: alignment, guard pages,
//! a ladder of huge pages, locked memory, what core dumps and children of `fork` see, NUMA nodes. [`map::Protect`] takes
//! access to them away, in the types:
//!
//! ```
//! use mapalloc::PageVec;
//! use mapalloc::map::{MapOptions, Protect};
//!
//! let mut table = PageVec::with_options(1000, MapOptions::new().guard_pages(1, 1))?;
//! table.extend((0..1000_u32).map(|n| n * n));
//! let table = table.into_read_only()?; // a stray write faults, and `table[0] = 1` does not compile
//! assert_eq!(table[31], 961);
//! # Ok::<(), mapalloc::Error>(())
//! ```
//!
//! # For what nobody else should see: [`Secret`]
//!
//! ```
//! use mapalloc::Secret;
//!
//! let key = Secret::<[u8; 32]>::from_fn(|key| key.fill(7))?; // in memory that even the kernel cannot read, if it has that
//! assert_eq!(key.read()[31], 7); // open for this borrow only
//! # Ok::<(), mapalloc::Error>(())
//! ```
//!
//! # For files: [`FileMap`](file::FileMap)
//!
//! A file, or any range of it, as memory: to read, to write, or to change without the file. Another process can cut the file
//! at any time. Reading and writing by way of the map then gives an error, and no signal:
//!
//! ```
//! use mapalloc::file::{FileMap, ReadOnly};
//!
//! let program = FileMap::<ReadOnly>::new(std::fs::File::open("/proc/self/exe")?)?;
//! let mut magic = [0; 4];
//! program.read_at(0, &mut magic)?;
//! assert_eq!(&magic, b"\x7fELF");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # For collections that take an allocator
//!
//! [`PageAlloc`] is an `Allocator` too, as is `MapAlloc`, which gives every block a mapping of its own: see the
//! [cargo features](#cargo-features).
//!
//! # When not to use it
//! * Many small buffers in `PageBox` or `PageVec`: each is at least a page, and a mapping of its own, of which Linux allows
//!   65,530 in a process. Use ordinary collections on `PageAlloc` for those.
//! * A program that allocates little and never more than a kilobyte at a time: malloc is fine.
//! * Under valgrind, heaptrack or AddressSanitizer, which see errors only in the heap that they know: build with
//!   [`with_fallback_only`](PageAlloc::with_fallback_only) for them.
//! * Systems other than Linux: every system call sits in one room (`sys`), but only the file for Linux is written.
//!
//! # The rooms
//! Arrows point down only; a room uses only rooms below it.
//!
//! ```text
//! allocator  interop  io                    Allocator handles; traits of other crates, and of std::io
//! global                                    PageAlloc
//!   |   shared  secret  file  ipc  observe  frozen vectors, secrets, files, memory between processes, what the kernel did
//!   |   boxed  vec       |     |      |     PageBox, PageVec
//! heap  pages            |     |      |     the engine (and hardened, a heap that checks); blocks of whole pages by layout
//!   |     |              |     |      |
//!   +--- map ------------+     |      |     owned mappings: all that maps, moves, protects and unmaps private pages
//!         |                    |      |
//!        sys ------------------+------+     the only system calls
//! atomic  lock  page  error  stats          copies by atomics, a lock, arithmetic and plain values
//! sync                                      what protocols between threads are written with
//! ```
//!
//! # Cargo features
//! * `std`, on unless `default-features = false` takes it away: [`PageAlloc`], and the standard library's traits of input
//!   and output, with the conversion of an [`Error`] to [`std::io::Error`]. Without it the crate is `no_std`, and needs
//!   `alloc` and the C library.
//! * `zerocopy`, `bytemuck`: safe `zeroed` constructors of the containers for every type that the named crate proves to
//!   be valid when all its bytes are zero.
//! * `allocator-api2-02`, `allocator-api2-04`: `Allocator` for [`PageAlloc`] and `MapAlloc`, by the trait of `allocator-api2`
//!   0.2 (that of `hashbrown`) and 0.4.
//! * `nightly`: the same by the trait of the standard library, which needs a nightly compiler.
//! * `serde`: `Serialize` and `Deserialize` for [`PageVec`], and for [`PageBox`] of values, slices and strings.
//! * `bytes`: a `PageVec<u8>`, a `PageBox<[u8]>` or a `Shared<u8>` becomes `Bytes`, without a copy.
//! * `stable_deref_trait`: `StableDeref` for [`PageBox`], [`PageVec`] and [`Shared`].
//! * `zeroize`: `Zeroize` for [`PageBox`] and [`PageVec`].
//! * `arbitrary`: `Arbitrary` for [`PageBox`] and [`PageVec`].

#![cfg_attr(not(any(feature = "std", test)), no_std)]
// Parts of the lower rooms are there for the engine, or for files, alone.
#![cfg_attr(any(not(feature = "std"), miri), allow(dead_code, unused_imports))]
#![cfg_attr(feature = "nightly", feature(allocator_api))]
// Documentation on docs.rs says which feature an item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

// Without `std`, what the crate uses of it is what `alloc` has under the same names.
#[cfg(not(any(feature = "std", test)))]
extern crate alloc as std;

#[cfg(any(feature = "allocator-api2-02", feature = "allocator-api2-04", feature = "nightly"))]
mod allocator;
#[cfg(all(feature = "std", not(miri)))]
mod atomic;
mod boxed;
mod error;
#[cfg(all(feature = "std", not(miri)))]
pub mod file;
#[cfg(feature = "std")]
mod global;
#[cfg(feature = "std")]
mod hardened;
#[cfg(feature = "std")]
mod heap;
mod interop;
#[cfg(feature = "std")]
mod io;
#[cfg(all(feature = "std", not(miri)))]
pub mod ipc;
mod lock;
pub mod map;
#[cfg(feature = "std")]
pub mod observe;
mod page;
mod pages;
mod secret;
mod shared;
#[cfg(feature = "std")]
mod stats;
mod sync;
mod sys;
pub mod vec;
#[cfg(any(feature = "zerocopy", feature = "bytemuck"))]
mod zeroed;

#[cfg(any(feature = "allocator-api2-02", feature = "allocator-api2-04", feature = "nightly"))]
pub use allocator::MapAlloc;
pub use boxed::PageBox;
pub use error::{Error, Operation, Result};
#[cfg(feature = "std")]
pub use global::PageAlloc;
#[cfg(feature = "std")]
pub use heap::HugePages;
pub use page::page_size;
pub use secret::{Secrecy, Secret, SecretMut, SecretRef, SecretValue, SecretVec};
pub use shared::Shared;
#[cfg(feature = "std")]
pub use stats::{RouteStats, Stats};
// For the tests of the crate only: see `scripts/faults`.
#[cfg(mapalloc_faults)]
#[doc(hidden)]
pub use sys::faults;
pub use vec::PageVec;

// The README's examples are compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
