//! Guard pages of mappings, vectors and boxes fault, wherever their pages go.

#[path = "global/child.rs"]
mod child;
mod fork;
mod options;
mod process;

use child::in_child;
use mapalloc::map::{Fork, Guard, Lock};
use mapalloc::{PageVec, page_size};
use options::{NONE, assert_guards, each};
use process::{is_mapped, mappings};

#[test]
fn guards_fault_at_their_first_and_last_bytes() {
    in_child(concat!(module_path!(), "::guards_fault_at_their_first_and_last_bytes"), || {
        let page = page_size();
        for counts in [(1, 1), (0, 2), (2, 0), (3, 3)] {
            for options in [
                NONE,
                NONE.lock(Lock::Now),
                NONE.lock(Lock::OnFault),
                NONE.on_fork(Fork::Wipe),
                NONE.align(1 << 21),
                NONE.populate(true),
                NONE.dump(false),
            ] {
                let options = options.guard_pages(counts.0, counts.1);
                let guards = (counts.0 * page, counts.1 * page);
                for (kind, holder) in each(3 * page, options) {
                    assert_guards(holder.start(), 3 * page, guards, kind);
                }
                let mut vec: PageVec<u8> = PageVec::with_options(page, options).unwrap();
                if options == options.on_fork(Fork::Wipe) {
                    assert_eq!(vec.granted().guards(), Some(Guard::Protected), "markers are not there in a child");
                }
                for len in [5 * page, 3 << 20, 2 * page, page, 7 * page, 4 * page] {
                    vec.resize(len, 1);
                    vec.shrink_to_fit();
                    assert_eq!(vec.capacity(), len);
                    assert_guards(vec.as_ptr().addr(), len, guards, &format!("{len} bytes of {options:?}"));
                }
                let clone = vec.clone();
                assert_guards(clone.as_ptr().addr(), 4 * page, guards, "clone");

                let mut pages = options.reserve(10 * page).unwrap();
                for len in [4 * page, 10 * page, 2 * page] {
                    pages.commit(len).unwrap();
                    pages.uncommit(len).unwrap();
                    let start = pages.as_ptr().addr();
                    let closed = 10 * page - len;
                    assert_guards(start, len, (guards.0, closed + guards.1), &format!("{len} of a reservation"));
                }
                pages.shrink(3 * page).unwrap();
                pages.commit(3 * page).unwrap();
                assert_guards(pages.as_ptr().addr(), 3 * page, guards, "a shrunk reservation");
                pages.grow(30 * page).unwrap();
                assert_guards(pages.as_ptr().addr(), 30 * page, guards, "a grown reservation");
            }
        }
    });
}

#[test]
fn guards_go_with_their_mapping() {
    in_child(concat!(module_path!(), "::guards_go_with_their_mapping"), || {
        let page = page_size();
        for options in [NONE.guard_pages(2, 2), NONE.guard_pages(2, 2).on_fork(Fork::Wipe)] {
            let before = mappings();
            let mut vec: PageVec<u8> = PageVec::with_options(10 * page, options).unwrap();
            vec.resize(20 * page, 1);
            vec.truncate(1);
            vec.shrink_to_fit();
            vec.resize(30 * page, 1);
            let start = vec.as_ptr().addr();
            drop(vec);
            for at in [start - 2 * page, start - 1, start, start + 30 * page, start + 32 * page - 1] {
                assert!(!is_mapped(at), "{at:#x}");
            }
            // The table of what has options stays.
            assert!(mappings() <= before + 1);
        }
    });
}
