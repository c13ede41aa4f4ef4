//! The hardened heap under refusals: what it chooses at random makes other calls each time, so it is not a part of the program
//! whose calls are compared.

use crate::fork::in_fork;
use mapalloc::PageAlloc;
use mapalloc::faults::{self, Call, Plan, Which};
use std::alloc::{GlobalAlloc, Layout};
use std::array;
use std::panic::catch_unwind;

static HEAP: PageAlloc = PageAlloc::new().hardened();

const SIZES: [usize; 8] = [1, 40, 700, 3000, 9000, 30_000, 100_000, 6 << 20];

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

/// Allocates, grows, shrinks and frees blocks of all kinds, whose ends are written and checked; how many were refused.
fn program() -> usize {
    let mut refused = 0;
    for _ in 0..3 {
        let mut blocks: [(*mut u8, usize); 64] = array::from_fn(|n| {
            let size = SIZES[n % SIZES.len()] + n;
            // SAFETY: the size is not zero.
            (unsafe { if n % 2 == 0 { HEAP.alloc(layout(size)) } else { HEAP.alloc_zeroed(layout(size)) } }, size)
        });
        for (n, (block, size)) in blocks.iter_mut().enumerate() {
            if block.is_null() {
                refused += 1;
                continue;
            }
            // SAFETY: a live block of that size, which the hardened heap zeroes; a new size that is not zero.
            unsafe {
                assert_eq!((block.read(), block.add(*size - 1).read()), (0, 0));
                block.write(n as u8);
                let new_size = SIZES[(n * 5 + 3) % SIZES.len()] + 2;
                let moved = HEAP.realloc(*block, layout(*size), new_size);
                if moved.is_null() {
                    refused += 1;
                } else {
                    (*block, *size) = (moved, new_size);
                }
                assert_eq!(block.read(), n as u8);
                block.add(*size - 1).write(7);
            }
        }
        for (block, size) in blocks.into_iter().filter(|(block, _)| !block.is_null()) {
            // SAFETY: a live block of that size.
            unsafe { HEAP.dealloc(block, layout(size)) };
        }
        HEAP.purge();
    }
    refused
}

/// In a child: the program under a plan, and then without one.
fn under(plan: Plan) -> bool {
    let code = in_fork(|| {
        let passed = catch_unwind(|| {
            faults::set(plan);
            program();
            faults::clear();
            assert_eq!(program(), 0, "refusals after the faults");
            let stats = HEAP.stats();
            assert_eq!((stats.slab.live, stats.large.live), (0, 0));
        });
        i32::from(passed.is_err())
    });
    code == 0
}

/// Every call of the program failing, alone and with all after it.
pub(crate) fn sweep(step: usize) {
    faults::count();
    assert_eq!(in_fork(|| if program() == 0 && faults::calls() > 150 { 0 } else { 1 }), 0);
    faults::clear();
    let errnos = [libc::ENOMEM, libc::EINVAL, libc::EPERM, libc::ENOSYS];
    for call in (0..400).step_by(step) {
        let errno = errnos[call / step % errnos.len()];
        for which in [Which::Nth(call as u64), Which::From(call as u64)] {
            assert!(under(Plan::new(which, errno)), "{which:?}, errno {errno}");
        }
    }
    // Without the kernel's guards, its random numbers, or any addresses that it may reserve.
    for call in [Call::Advise, Call::Random, Call::Reserve, Call::Protect, Call::Unmap] {
        let plan = Plan { of: Some(call), ..Plan::new(Which::From(0), libc::EINVAL) };
        assert!(under(plan), "no {call:?}");
    }
}
