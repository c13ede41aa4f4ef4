//! What `.hardened()` makes of every memory error, as its documentation says.

mod misuse;

use mapalloc::PageAlloc;
use misuse::programs::{Left, PROGRAMS};
use misuse::{Outcome, outcome, run_if_asked};

#[global_allocator]
static GLOBAL: PageAlloc = PageAlloc::new().hardened();

#[test]
fn child() {
    run_if_asked();
}

/// What is expected of a program, every time.
enum Expected {
    /// A report with these words.
    Report(&'static str),
    Fault,
    Harmless,
    /// Which of them is a matter of chance.
    ReportOrFault,
    /// Whether it is found is a matter of chance.
    NoHarm,
}

use Expected::{Fault, Harmless, NoHarm, Report, ReportOrFault};

fn expected(name: &str) -> Expected {
    match name {
        "double_free_at_once"
        | "double_free_after_another"
        | "double_free_after_many"
        | "double_free_8k"
        | "double_free_large"
        | "realloc_of_freed" => Report("mapalloc: double free at 0x"),
        "free_inside_small" | "free_inside_page" | "free_misaligned" => {
            Report("mapalloc: free of a pointer into a block at 0x")
        }
        "free_of_stack" | "free_of_static" | "free_of_mapping" => {
            Report("mapalloc: free of an address that is not given out at 0x")
        }
        "wrong_class" | "wrong_route" | "wrong_size_large" => {
            Report("mapalloc: free with another size than the allocation's at 0x")
        }
        "wrong_size"
        | "overflow_of_one"
        | "overflow_of_one_odd"
        | "overflow_of_a_zero"
        | "overflow_of_eight"
        | "overflow_large_slack" => {
            Report("mapalloc: write behind the end of a block, or free with another size, at 0x")
        }
        // Behind the one, and before others.
        "overflow_into_neighbours" => Report("mapalloc: write "),
        "write_after_free" | "write_after_free_8k" => Report("mapalloc: write to a freed block at 0x"),
        "overflow_of_all"
        | "overflow_large"
        | "underflow_large"
        | "write_after_free_large"
        | "read_after_free_large" => Fault,
        "read_after_free" | "reuse_after_free" | "left_over_contents" | "next_address" => Harmless,
        // The slot before is live, or free, or there is none.
        "underflow_small" => ReportOrFault,
        // Found when a slot that was written to is given out again, which may be never.
        "forged_link" => NoHarm,
        _ => panic!("nothing is said of {name}"),
    }
}

/// A byte of the canary is by chance the one that is written, once in 255 times: that often a report may be missing.
fn depends_on_one_byte(name: &str) -> bool {
    matches!(name, "overflow_of_one" | "overflow_of_one_odd")
}

#[test]
fn every_error_ends_as_promised() {
    // A few times each: what depends on chance shows.
    const ROUNDS: usize = 3;
    for program in PROGRAMS {
        let name = program.name;
        let outcomes: Vec<Outcome> = (0..ROUNDS).map(|_| outcome(name)).collect();
        let as_promised = |outcome: &&Outcome| match expected(name) {
            Report(words) => matches!(outcome, Outcome::Reported(line) if line.starts_with(words)),
            Fault => **outcome == Outcome::Fault,
            Harmless => **outcome == Outcome::Ran(Left::Harmless),
            ReportOrFault => matches!(outcome, Outcome::Fault | Outcome::Reported(_)),
            NoHarm => **outcome != Outcome::Ran(Left::Harm),
        };
        let kept = outcomes.iter().filter(as_promised).count();
        assert!(kept >= ROUNDS - usize::from(depends_on_one_byte(name)), "{name}: {outcomes:?}");
    }
}
