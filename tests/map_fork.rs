//! What a child of `fork` finds in the place of pages that it does not have.

#[path = "global/child.rs"]
mod child;
mod fork;
mod options;
mod process;

use child::in_child;
use fork::{alone_in_fork, fault_of};
use mapalloc::map::{Fork, Lock};
use mapalloc::{PageBox, PageVec, page_size};
use options::{Holder, NONE, each};
use process::is_mapped;

#[test]
fn a_child_finds_zeros_in_wiped_pages() {
    in_child(concat!(module_path!(), "::a_child_finds_zeros_in_wiped_pages"), || {
        for options in [NONE.on_fork(Fork::Wipe), NONE.on_fork(Fork::Wipe).guard_pages(1, 1).lock(Lock::Now)] {
            let mut pages = options.map(10 * page_size()).unwrap();
            pages.fill(1);
            let mut vec: PageVec<u64> = PageVec::with_options(10, options).unwrap();
            vec.resize(10_000, 1);
            let boxed = PageBox::with_options([1_u64; 5000], options).unwrap();
            let copied: PageVec<u64> = PageVec::with_options(10, NONE.dump(false)).unwrap();
            alone_in_fork(|| {
                assert!(pages.iter().all(|&byte| byte == 0));
                assert!(vec.iter().all(|&element| element == 0));
                assert!(boxed.iter().all(|&element| element == 0));
                // They are the child's own, to be used, grown and dropped.
                vec.resize(100_000, 2);
                assert_eq!((vec[0], vec[99_999], vec.len()), (0, 2, 100_000));
                pages.fill(3);
                drop((pages, vec, boxed, copied));
            });
        }
    });
}

/// Maps a page with this byte at an address where nothing is.
fn place(address: usize, byte: u8) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: the call replaces nothing, and the page is this function's to write to.
    unsafe {
        let got = libc::mmap(address as *mut _, page_size(), libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_eq!(got.addr(), address, "{}", std::io::Error::last_os_error());
        got.cast::<u8>().write(byte);
    }
}

#[test]
fn a_child_has_no_omitted_pages_and_drops_nothing_of_its_own() {
    in_child(concat!(module_path!(), "::a_child_has_no_omitted_pages_and_drops_nothing_of_its_own"), || {
        for options in [NONE.on_fork(Fork::Omit), NONE.on_fork(Fork::Omit).guard_pages(1, 1)] {
            let bytes = 4 * page_size();
            for (kind, holder) in each(bytes, options) {
                let start = holder.start();
                // SAFETY: the read faults in a child.
                let read = || _ = std::hint::black_box(unsafe { (start as *const u8).read_volatile() });
                assert_eq!(fault_of(read), Some(start), "{kind}");
                alone_in_fork(move || {
                    // What knows its pages by their address keeps it from others as long as it is there.
                    let is_held = matches!(holder, Holder::Vec(_) | Holder::Box(_));
                    assert_eq!(is_mapped(start), is_held, "{kind}");
                    let others: Vec<PageVec<u64>> = (0..200)
                        .map(|n| {
                            let options = if n % 2 == 0 { NONE } else { NONE.dump(false) };
                            let mut vec = PageVec::with_options(bytes / 8, options).unwrap();
                            vec.resize(bytes / 8, n);
                            vec
                        })
                        .collect();
                    if !is_held && !is_mapped(start) {
                        place(start, 7);
                    }
                    drop(holder);
                    assert_eq!(is_mapped(start), !is_held, "{kind}");
                    assert!(others.iter().zip(0..).all(|(vec, n)| vec.iter().all(|&element| element == n)), "{kind}");
                    if is_held {
                        place(start, 7);
                    }
                });
            }
        }
        // The parent's are as they were.
        let mut vec: PageVec<u64> = PageVec::with_options(10, NONE.on_fork(Fork::Omit)).unwrap();
        vec.extend(0..1000);
        alone_in_fork(|| ());
        vec.extend(1000..100_000);
        assert!(vec.iter().copied().eq(0..100_000));
    });
}
