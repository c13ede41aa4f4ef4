//! [`Areas`]: what `/proc/self/smaps` says of the areas that a piece of memory lies in.

use super::pages_of;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

/// The sums over the kernel's areas that a piece of memory lies in, in bytes.
///
/// An area can hold more than was asked about, since the kernel joins neighbours of one kind. Pages between guards
/// ([`MapOptions::guard_pages`](crate::map::MapOptions::guard_pages)) have areas of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Areas {
    /// The areas.
    pub count: usize,
    /// Addresses.
    pub size: usize,
    /// Memory, `Rss`.
    pub resident: usize,
    /// Memory, shared pages by their share, `Pss`.
    pub proportional: usize,
    /// Memory that was written to, `Private_Dirty` and `Shared_Dirty`.
    pub dirty: usize,
    /// Memory that only this process has, `Private_Clean` and `Private_Dirty`.
    pub private: usize,
    /// Transparent huge pages of anonymous, shared and file memory.
    pub huge: usize,
    /// Huge pages of the pool.
    pub hugetlb: usize,
    /// Locked memory.
    pub locked: usize,
    /// Memory in the swap.
    pub swapped: usize,
}

impl Areas {
    /// Asks about the areas that a slice lies in.
    ///
    /// # Errors
    /// If `/proc` is not mounted or cannot be read.
    pub fn of<T>(memory: &[T]) -> io::Result<Self> {
        let range = pages_of(memory);
        let mut sums = Self::default();
        let mut is_within = false;
        for line in BufReader::new(File::open("/proc/self/smaps")?).lines() {
            let line = line?;
            if let Some((start, end)) = addresses(&line) {
                is_within = start < range.end && range.start < end;
                sums.count += usize::from(is_within);
            } else if is_within && let Some((key, bytes)) = figure(&line) {
                sums.add(key, bytes);
            }
        }
        Ok(sums)
    }

    fn add(&mut self, key: &str, bytes: usize) {
        match key {
            "Size" => self.size += bytes,
            "Rss" => self.resident += bytes,
            "Pss" => self.proportional += bytes,
            "Shared_Dirty" => self.dirty += bytes,
            "Private_Dirty" => {
                self.dirty += bytes;
                self.private += bytes;
            }
            "Private_Clean" => self.private += bytes,
            "AnonHugePages" | "ShmemPmdMapped" | "FilePmdMapped" => self.huge += bytes,
            "Private_Hugetlb" | "Shared_Hugetlb" => self.hugetlb += bytes,
            "Locked" => self.locked += bytes,
            "Swap" => self.swapped += bytes,
            _ => {}
        }
    }
}

/// The addresses of an area's first line.
fn addresses(line: &str) -> Option<(usize, usize)> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

/// The name of a figure in kB, and its bytes.
fn figure(line: &str) -> Option<(&str, usize)> {
    let (key, value) = line.split_once(':')?;
    let kilobytes: usize = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some((key, kilobytes * 1024))
}
