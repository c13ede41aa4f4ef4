//! draft
mod boxed;
mod error;
mod global;
mod heap;
pub mod map;
mod page;
mod pages;
mod stats;
mod sys;
pub mod vec;
#[cfg(any(feature = "zerocopy", feature = "bytemuck"))]
mod zeroed;
pub use boxed::PageBox;
pub use error::{Error, Operation, Result};
pub use global::PageAlloc;
pub use page::page_size;
pub use stats::{RouteStats, Stats};
pub use vec::PageVec;
