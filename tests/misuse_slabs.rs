//! What the engine makes of memory errors without being hardened: those that it finds in passing end the program.

mod misuse;

use mapalloc::PageAlloc;
use misuse::{Outcome, outcome, run_if_asked};

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().with_small_limit(0);

#[test]
fn child() {
    run_if_asked();
}

/// In these programs the magazine is full when the block is freed again.
#[test]
fn a_block_that_is_freed_twice_in_a_row_into_a_full_magazine_is_found() {
    for name in ["double_free_at_once", "double_free_8k", "realloc_of_freed"] {
        let outcome = outcome(name);
        let found = matches!(&outcome, Outcome::Reported(line) if line.starts_with("mapalloc: double free at 0x"));
        assert!(found, "{name}: {outcome:?}");
    }
}

#[test]
fn what_is_no_page_run_is_found() {
    for name in ["double_free_large", "free_inside_page", "wrong_route", "wrong_size_large"] {
        let outcome = outcome(name);
        let found = matches!(&outcome, Outcome::Reported(line) if line.starts_with("mapalloc: "));
        assert!(found, "{name}: {outcome:?}");
    }
}
