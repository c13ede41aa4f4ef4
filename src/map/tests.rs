use super::*;
use std::string::ToString;

#[test]
fn a_new_mapping_is_page_aligned_zero_and_rounded_up() {
    let pages = Mapping::new(1).unwrap();
    assert_eq!(pages.len(), page_size());
    assert_eq!(pages.as_ptr().addr() % page_size(), 0);
    assert!(pages.iter().all(|&byte| byte == 0));
}

#[test]
fn alignments_up_to_a_gigabyte_are_kept() {
    // Miri knows none above 512 MiB.
    let most = if cfg!(miri) { 1 << 29 } else { 1 << 30 };
    let mut align = page_size();
    while align <= most {
        let mut pages = MapOptions::new().align(align).map(3 * page_size()).unwrap();
        assert_eq!(pages.as_ptr().addr() % align, 0, "align {align}");
        assert_eq!(pages.len(), 3 * page_size());
        pages[3 * page_size() - 1] = 1;
        pages.grow(5 * page_size()).unwrap();
        assert_eq!(pages.as_ptr().addr() % align, 0, "align {align} after growth");
        assert_eq!(pages[3 * page_size() - 1], 1);
        align *= 8;
    }
}

#[test]
fn absurd_requests_are_refused_before_the_kernel() {
    assert_eq!(Mapping::new(0).unwrap_err().raw_os_error(), None);
    assert_eq!(Mapping::new(usize::MAX).unwrap_err().raw_os_error(), None);
    assert_eq!(Mapping::new(isize::MAX as usize).unwrap_err().raw_os_error(), None);
    let error = MapOptions::new().align(3).map(1).unwrap_err();
    assert_eq!(error.to_string(), "mmap: alignment 3 is not a power of two");
    let mut pages = Mapping::new(page_size()).unwrap();
    assert!(pages.grow(usize::MAX).is_err());
    assert!(pages.commit(pages.len() + 1).is_err());
    let len = pages.len();
    assert!(pages.decommit(0..len + 1).is_err());
    #[expect(clippy::reversed_empty_ranges, reason = "a reversed range is one of the bad inputs")]
    let reversed = 1..0;
    assert!(pages.advise(reversed, Advice::HugePage).is_err());
    assert!(pages.advise(usize::MAX..usize::MAX, Advice::DontDump).is_err());
}

#[test]
#[cfg(not(miri))]
fn a_size_past_the_address_space_names_operation_size_and_errno() {
    let error = Mapping::new(1 << 60).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    assert_eq!(error.to_string(), format!("mmap of {} bytes: Cannot allocate memory (os error 12)", 1u64 << 60));
}

#[test]
fn a_reservation_is_committed_in_place() {
    let mut pages = MapOptions::new().reserve(64 * page_size()).unwrap();
    assert!(pages.is_empty());
    assert_eq!(pages.reserved(), 64 * page_size());
    let start = pages.as_ptr();
    pages.commit(1).unwrap();
    assert_eq!(pages.len(), page_size());
    pages[0] = 9;
    pages.commit(10 * page_size()).unwrap();
    assert_eq!((pages.as_ptr(), pages[0], pages.len()), (start, 9, 10 * page_size()));
    // Less than is committed changes nothing.
    pages.commit(1).unwrap();
    assert_eq!(pages.len(), 10 * page_size());
}

#[test]
fn growth_keeps_contents_and_adds_zeros() {
    let mut pages = MapOptions::new().reserve(4 * page_size()).unwrap();
    let mut written = 0;
    let steps = [1, 2, 4, 5, 9, 100, 600, 5000];
    // Miri takes minutes for the large ones.
    for step in &steps[..if cfg!(miri) { 5 } else { steps.len() }] {
        let len = step * page_size();
        pages.grow(len).unwrap();
        assert!(pages.len() >= len);
        assert!(pages[written..].iter().all(|&byte| byte == 0), "new pages at {step}");
        assert!(pages[..written].iter().enumerate().all(|(i, &byte)| byte == (i / page_size()) as u8));
        written = len;
        for (i, byte) in pages[..written].iter_mut().enumerate() {
            *byte = (i / page_size()) as u8;
        }
    }
}

#[test]
#[cfg(not(miri))]
fn growth_past_a_part_with_its_own_advice_still_keeps_contents() {
    let mut pages = MapOptions::new().dump(false).map(8 << 20).unwrap();
    pages.fill(3);
    pages.advise(2 << 20..4 << 20, Advice::HugePage).unwrap();
    pages.grow(64 << 20).unwrap();
    assert!(pages[..8 << 20].iter().all(|&byte| byte == 3));
    assert!(pages[8 << 20..].iter().all(|&byte| byte == 0));
}

#[test]
fn decommit_clears_exactly_the_range() {
    let mut pages = Mapping::new(4 * page_size()).unwrap();
    pages.fill(1);
    let range = 10..3 * page_size() + 5;
    pages.decommit(range.clone()).unwrap();
    for (i, &byte) in pages.iter().enumerate() {
        assert_eq!(byte, u8::from(!range.contains(&i)), "byte {i}");
    }
    pages.fill(1);
    pages.advise(7..9, Advice::DontNeed).unwrap();
    assert_eq!(pages[6..10], [1, 0, 0, 1]);
}

#[test]
fn shrinking_gives_back_the_end() {
    let mut pages = Mapping::new(8 * page_size()).unwrap();
    pages.fill(2);
    pages.shrink(3 * page_size() - 1).unwrap();
    assert_eq!((pages.len(), pages.reserved()), (3 * page_size(), 3 * page_size()));
    assert!(pages.iter().all(|&byte| byte == 2));
    pages.shrink(0).unwrap();
    assert_eq!(pages.len(), page_size());
}

#[test]
fn a_mapping_given_up_can_be_taken_back() {
    let mut pages = Mapping::new(1).unwrap();
    pages[0] = 5;
    let raw = pages.into_raw();
    // SAFETY: the mapping was given up above, and is taken back once.
    let pages = unsafe { Mapping::from_raw(raw) };
    assert_eq!(pages[0], 5);
}

#[test]
#[cfg(not(miri))]
fn every_advice_is_taken_or_refused_with_its_name() {
    let mut pages = Mapping::new(4 << 20).unwrap();
    let len = pages.len();
    for advice in [
        Advice::HugePage,
        Advice::NoHugePage,
        Advice::PopulateWrite,
        Advice::DontDump,
        Advice::DoDump,
        Advice::DontNeed,
    ] {
        if let Err(error) = pages.advise(0..len, advice) {
            assert_eq!(error.operation(), Operation::Advise, "{advice:?}: {error}");
        }
    }
}

#[test]
#[cfg(not(miri))]
fn a_partly_committed_reservation_grows_past_itself() {
    let page = page_size();
    for (reserved, committed, wanted) in [(8, 2, 20), (8, 8, 9), (600, 3, 2000), (2000, 1, 2001)] {
        let mut pages = MapOptions::new().reserve(reserved * page).unwrap();
        pages.commit(committed * page).unwrap();
        pages.fill(4);
        pages.grow(wanted * page).unwrap();
        assert_eq!((pages.len(), pages.reserved()), (wanted * page, wanted * page));
        assert!(pages[..committed * page].iter().all(|&byte| byte == 4));
        assert!(pages[committed * page..].iter().all(|&byte| byte == 0));
    }
}
