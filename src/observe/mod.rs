//! Seeing what the kernel did: which pages are in memory, what a piece of code faulted in, what the system allows.
//!
//! Everything here only asks, and works for any memory of the process, whoever allocated it. The answers are those of a
//! moment: other threads, and the kernel itself, go on meanwhile.

mod areas;
mod faults;
mod pages;
mod system;

pub use areas::Areas;
pub use faults::Faults;
pub use pages::{PageState, PageStates, Residency};
pub use system::{HugePagePolicy, Overcommit, System};

use crate::page::{page_size, round_down, round_up};
use core::ops::Range;

/// The addresses of the whole pages that a slice lies in.
fn pages_of<T>(memory: &[T]) -> Range<usize> {
    let bytes = memory.as_ptr_range();
    if size_of_val(memory) == 0 {
        return 0..0;
    }
    round_down(bytes.start.addr(), page_size())..round_up(bytes.end.addr(), page_size())
}
