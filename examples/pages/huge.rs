//! Which pages are parts of huge ones, by the ioctl `PAGEMAP_SCAN`
//! ([pagemap](https://docs.kernel.org/admin-guide/mm/pagemap.html), Linux 6.7).

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// `struct pm_scan_arg` of `linux/fs.h`.
#[repr(C)]
#[derive(Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

const PAGE_IS_HUGE: u64 = 1 << 6;

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u64 = 3 << 30 | (size_of::<Scan>() as u64) << 16 | 0x66 << 8 | 16;

/// The addresses with huge pages in a range; none where the kernel does not say.
pub(crate) fn pages(range: &Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let Ok(pagemap) = File::open("/proc/self/pagemap") else { return found };
    let mut start = range.start as u64;
    while start < range.end as u64 {
        let mut regions = [Region::default(); 64];
        let mut scan = Scan {
            size: size_of::<Scan>() as u64,
            start,
            end: range.end as u64,
            vec: regions.as_mut_ptr().expose_provenance() as u64,
            vec_len: regions.len() as u64,
            category_mask: PAGE_IS_HUGE,
            return_mask: PAGE_IS_HUGE,
            ..Scan::default()
        };
        // SAFETY: the argument is as the kernel has it, the regions are there in the number it says, and without flags the
        // call only reads the page tables.
        let count = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN as _, &raw mut scan) };
        let Some(filled) = usize::try_from(count).ok().and_then(|count| regions.get(..count)) else { break };
        found.extend(filled.iter().map(|region| region.start as usize..region.end as usize));
        if scan.walk_end <= start {
            break;
        }
        start = scan.walk_end;
    }
    found
}
