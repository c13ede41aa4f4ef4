//! draft
mod error;
mod global;
mod heap;
pub mod map;
mod page;
mod stats;
mod sys;
pub use error::{Error, Operation, Result};
pub use global::PageAlloc;
pub use page::page_size;
pub use stats::{RouteStats, Stats};
