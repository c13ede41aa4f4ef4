//! Mappings, vectors and boxes of every option, and what the kernel says of them.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use crate::fork::fault_of;
use crate::process::{any_flags, flags};
use mapalloc::map::{Fork, Granted, Lock, MapOptions, Mapping};
use mapalloc::{PageBox, PageVec, Result};
use procfs::process::VmFlags;

pub(crate) const NONE: MapOptions = MapOptions::new();

/// What has pages made with options.
pub(crate) enum Holder {
    Pages(Mapping),
    Vec(PageVec<u64>),
    Box(PageBox<[u64]>),
}

impl Holder {
    /// One of each kind, of at least so many bytes, or the errors.
    pub(crate) fn each(bytes: usize, options: MapOptions) -> [(&'static str, Result<Self>); 3] {
        let boxed = || {
            let boxed = PageBox::<[u64]>::new_uninit_slice_with(bytes / 8, options)?;
            // SAFETY: the bytes are zero, as the constructor says.
            Ok(Self::Box(unsafe { boxed.assume_init() }))
        };
        [
            ("mapping", options.map(bytes).map(Self::Pages)),
            ("vector", PageVec::with_options(bytes / 8, options).map(Self::Vec)),
            ("box", boxed()),
        ]
    }

    pub(crate) fn start(&self) -> usize {
        match self {
            Self::Pages(pages) => pages.as_ptr().addr(),
            Self::Vec(vec) => vec.as_ptr().addr(),
            Self::Box(boxed) => boxed.as_ptr().addr(),
        }
    }

    pub(crate) fn granted(&self) -> Granted {
        match self {
            Self::Pages(pages) => pages.granted(),
            Self::Vec(vec) => vec.granted(),
            Self::Box(boxed) => PageBox::granted(boxed),
        }
    }
}

#[track_caller]
pub(crate) fn each(bytes: usize, options: MapOptions) -> impl Iterator<Item = (&'static str, Holder)> {
    Holder::each(bytes, options).into_iter().map(|(kind, holder)| match holder {
        Ok(holder) => (kind, holder),
        Err(error) => panic!("{kind}: {error}"),
    })
}

/// Whether the process may lock as much as these tests do.
pub(crate) fn can_lock() -> bool {
    NONE.lock(Lock::OnFault).map(128 << 20).map_err(|error| println!("too little can be locked here: {error}")).is_ok()
}

/// Options that show as flags of the kernel's, and the flags.
pub(crate) fn flagged() -> Vec<(MapOptions, VmFlags)> {
    let mut flagged = vec![
        (NONE.dump(false), VmFlags::DD),
        (NONE.on_fork(Fork::Omit), VmFlags::DC),
        (NONE.on_fork(Fork::Wipe), VmFlags::WF),
        (NONE.lock(Lock::Now), VmFlags::LO),
        (NONE.lock(Lock::OnFault), VmFlags::LO),
        (NONE.no_reserve(true), VmFlags::NR),
        (NONE.huge_pages(false), VmFlags::NH),
        (NONE.dump(false).on_fork(Fork::Wipe).lock(Lock::OnFault), VmFlags::DD | VmFlags::WF | VmFlags::LO),
        (NONE.dump(false).on_fork(Fork::Omit).guard_pages(1, 2), VmFlags::DD | VmFlags::DC),
        (NONE.dump(false).lock(Lock::Now).guard_pages(2, 1), VmFlags::DD | VmFlags::LO),
        (NONE.on_fork(Fork::Wipe).guard_pages(1, 1), VmFlags::WF),
        (NONE.align(1 << 21).dump(false), VmFlags::DD),
    ];
    if !can_lock() {
        flagged.retain(|(_, flags)| !flags.contains(VmFlags::LO));
    }
    flagged
}

pub(crate) const ALL_FLAGS: VmFlags = VmFlags::DD
    .union(VmFlags::DC)
    .union(VmFlags::WF)
    .union(VmFlags::LO)
    .union(VmFlags::NR)
    .union(VmFlags::NH)
    .union(VmFlags::HG);

/// Every area of a range has these flags of those that options set, and no area has another.
#[track_caller]
pub(crate) fn assert_flags(start: usize, len: usize, expected: VmFlags, what: &str) {
    assert_eq!(flags(start, len) & ALL_FLAGS, expected, "{what}");
    assert_eq!(any_flags(start, len) & ALL_FLAGS, expected, "{what}");
}

/// The guards of a mapping fault at their first and last bytes, and nothing beside them does.
#[track_caller]
pub(crate) fn assert_guards(start: usize, len: usize, (before, after): (usize, usize), what: &str) {
    // SAFETY: the read faults in a child, or reads bytes that nobody writes meanwhile.
    let read = |at: usize| fault_of(|| _ = std::hint::black_box(unsafe { (at as *const u8).read_volatile() }));
    // SAFETY: as above; the child writes to its own copy.
    let write = |at: usize| fault_of(|| unsafe { (at as *mut u8).write_volatile(1) });
    for inside in [start, start + len - 1] {
        assert_eq!((read(inside), write(inside)), (None, None), "{what}");
    }
    let first_and_last = |from: usize, to: usize| if from < to { vec![from, to - 1] } else { vec![] };
    for guarded in [first_and_last(start - before, start), first_and_last(start + len, start + len + after)].concat() {
        assert_eq!((read(guarded), write(guarded)), (Some(guarded), Some(guarded)), "{what}: {guarded:#x}");
    }
}
